"""What the LSTM is compared with: ARIMA, ETS, Theta and seasonal naive."""
