"""``python -m fake_whale`` is ``fake-whale``."""

from .cli import main

main()
