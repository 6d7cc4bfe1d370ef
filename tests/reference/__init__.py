"""A backend that keeps the contract in plain dictionaries, for the tests of the suite itself."""
