"""What instances are called in labels and reservations: derived from their rows, so that a crash
loses none. Programs inside never see these names (:attr:`engines.cre.runtimes.base.Launch.opaque`).
"""

from __future__ import annotations

import secrets


def instance_name(deployment: str, owner: str, account: str, challenge_id: int) -> str:
    """The name of the one instance an (account, challenge) can have.

    ``owner``, the id of the database, keeps two of one deployment's name out of each other's way.
    """
    return f"wr-{deployment}-{owner}-{account.replace(':', '-')}-c{challenge_id}"


def warm_name(deployment: str, owner: str) -> str:
    """A new name for a container that waits for a start."""
    return f"wr-{deployment}-{owner}-warm-{secrets.token_hex(8)}"
