"""Backbones trained on synthetic series of many named families."""
