"""Networks, baselines, and a trained forecaster in memory and on disk."""
