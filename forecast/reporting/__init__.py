"""What a run leaves behind: its folder, its charts, its page."""
