"""What a backend must do, and what a scenario has at hand to look whether it does."""
