"""Backends that are broken on purpose: the suite must fail each of them."""
