"""TODO engines/state."""
