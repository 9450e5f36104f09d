"""From a table to a `Panel`: many regular series of one frequency."""
