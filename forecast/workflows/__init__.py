"""The way of each command, from a table to files, read top to bottom."""
