"""What ctfd-whale itself has: its control, its stores and the machines below it."""
