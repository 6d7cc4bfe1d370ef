"""TODO conformance/spec."""
