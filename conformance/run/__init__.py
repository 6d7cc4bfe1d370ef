"""TODO conformance/run."""
