"""The harnesses that come with the suite."""
