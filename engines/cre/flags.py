"""Flags: made here, given to the container, compared with what a player submits."""

from __future__ import annotations

import secrets

from engines.catalog import ChallengeSpec


def new_flag(spec: ChallengeSpec) -> str:
    """A flag that nobody has had and nobody guesses."""
    return f"{spec.flag_prefix}{{{secrets.token_hex(16)}}}"
