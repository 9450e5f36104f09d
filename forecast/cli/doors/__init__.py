"""Doors for programs and people without a terminal: HTTP, MCP and a local page."""
