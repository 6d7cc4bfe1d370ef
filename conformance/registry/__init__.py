"""Which backends there are to run on: ours, installed ones, and a path to anybody's."""
