"""TODO fake_whale/sessions."""
