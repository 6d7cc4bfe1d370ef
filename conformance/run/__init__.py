"""Runs the scenarios, in one process or several, and judges what came of each."""
