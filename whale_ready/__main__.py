"""``whale-ready``, and ``python -m whale_ready``: ours are the packages that are imported."""

from __future__ import annotations

import sys

from whale_ready.imports import hidden, ours_first


def main() -> None:
    """Run the command line."""
    ours_first()
    problem = hidden()
    if problem is not None:
        sys.stderr.write(f"Error: {problem}\n")
        sys.exit(3)
    from fake_whale.own_arguments import hide

    hide()
    from whale_ready.cli import main as commands
    from whale_ready.lines import log_to_stderr

    log_to_stderr()
    commands()


if __name__ == "__main__":
    main()
