"""Kills the engine at every boundary of what it does, and looks at what is left."""
