"""A local page: choose a file, see what was understood, forecast, train, download."""
