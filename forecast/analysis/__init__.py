"""What is odd in a series, and what moved a forecast."""
