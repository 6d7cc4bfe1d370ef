"""Recorded sessions of a Whale: how they are made, read and replayed on the fake."""
