"""The only table input: CSV, Parquet, Feather, standard input, databases, frames."""
