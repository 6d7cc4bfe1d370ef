"""TODO conformance/registry."""
