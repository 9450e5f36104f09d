"""Builders of awkward input files, one function an idea."""
