"""Tests of the model, the stories and the search over orders."""
