"""Micro-benchmarks, run by pytest-benchmark: ``pytest benchmarks/micro --benchmark-only``."""
