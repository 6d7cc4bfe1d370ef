"""TODO whale_ready/commands."""
