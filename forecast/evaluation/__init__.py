"""Metrics, score tables, significance, and rolling origins."""
