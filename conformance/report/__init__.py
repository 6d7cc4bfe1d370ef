"""TODO conformance/report."""
