"""The least file of ``--whale-world`` for tests."""

from __future__ import annotations

from pathlib import Path

USERS = (11, 12, 13)


def written_world(folder: Path, whale: str = "", each: str = 'token = "tok-{}"') -> Path:
    """A file for three players and two challenges; ``whale`` is its table of that name,
    and ``each`` a line for each player with the user's id in it."""
    players = (f"[[players]]\nuser_id = {user}\n{each.format(user)}\n" for user in USERS)
    path = folder / "world.toml"
    path.write_text(
        "".join(players) + "[challenges]\nfirst = 1\nsecond = 2\nunknown = 99999\n" + whale,
        encoding="utf-8",
    )
    path.chmod(0o600)
    return path
