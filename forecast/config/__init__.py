"""Settings: their defaults, their options, and where each value came from."""
