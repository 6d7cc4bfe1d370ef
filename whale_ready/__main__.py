"""``python -m whale_ready``."""

from whale_ready.cli import main

main()
