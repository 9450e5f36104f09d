"""Settings sought by trials on validation origins."""
