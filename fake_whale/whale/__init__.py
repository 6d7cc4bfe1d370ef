"""TODO fake_whale/whale."""
