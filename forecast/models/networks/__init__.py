"""Networks: one network a file."""
