"""Everything of CTFd that the plugin touches, in one place (CTFd 3.8).

CTFd has no types and is not there where this project is checked, hence the ignores: each name is
``Any`` to the rest of the plugin.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import time
from typing import Any

from CTFd.cache import cache
from CTFd.exceptions.challenges import ChallengeCreateException, ChallengeUpdateException
from CTFd.models import Challenges, Flags, Partials, Solves, Teams, Users, db
from CTFd.plugins import (
    register_admin_plugin_menu_bar,
    register_plugin_assets_directory,
)
from CTFd.plugins.challenges import CHALLENGE_CLASSES, BaseChallenge, ChallengeResponse
from CTFd.plugins.challenges.logic import (
    challenge_attempt_all,
    challenge_attempt_any,
    challenge_attempt_team,
)
from CTFd.plugins.migrations import upgrade
from CTFd.utils import get_config
from CTFd.utils.config import is_teams_mode
from CTFd.utils.dates import ctf_ended, ctf_paused, ctf_started, view_after_ctf
from CTFd.utils.decorators import admins_only
from CTFd.utils.exports import import_ctf
from CTFd.utils.user import authed, get_current_team, get_current_user, is_admin, is_verified

try:
    from CTFd.utils.modules import can_access_challenge
except ImportError:  # before modules and release times there was nothing to keep anybody out

    def can_access_challenge(challenge: Any, user: Any) -> bool:
        """Whether a challenge's time has come and its module is open to this user."""
        return True


def give_attempt_back(account_id: int, challenge_id: int, *, limited: bool) -> None:
    """Undo that CTFd has counted a submission, as it does before it has it judged.

    Args:
        limited: only as often as a player may be wrong in a minute, because the challenge has
            flags of CTFd's too, which nobody may try for ever.
    """
    limit = int(get_config("incorrect_submissions_per_min", default=10))
    timeout = int(get_config("max_attempts_timeout", 300))
    if limited:
        given_back = f"whale_ready_given_back_{account_id}_{challenge_id}"
        times = cache.inc(given_back)
        cache.expire(given_back, _MINUTE)
        if times > limit:
            return
    counted = f"account_kpm_{account_id}_{challenge_id}_{limit}_{timeout}"
    if cache.inc(counted, -1) < 0:  # an admin's preview, or a CTFd that counts otherwise
        cache.inc(counted)
    cache.expire(counted, _MINUTE)


def importing() -> bool:
    """Whether an import is at work, which one process of CTFd tells the others by its cache."""
    begun, ended = cache.get("import_start_time"), cache.get("import_end_time")
    return bool(begun) and not ended and time.time() - float(begun) < _LONGEST_IMPORT


_MINUTE = 60
_LONGEST_IMPORT = 3600
"""Seconds after which an import that has told no end was killed."""

__all__ = [
    "CHALLENGE_CLASSES",
    "BaseChallenge",
    "ChallengeCreateException",
    "ChallengeResponse",
    "ChallengeUpdateException",
    "Challenges",
    "Flags",
    "Partials",
    "Solves",
    "Teams",
    "Users",
    "admins_only",
    "authed",
    "can_access_challenge",
    "challenge_attempt_all",
    "challenge_attempt_any",
    "challenge_attempt_team",
    "ctf_ended",
    "ctf_paused",
    "ctf_started",
    "db",
    "get_config",
    "get_current_team",
    "get_current_user",
    "give_attempt_back",
    "import_ctf",
    "importing",
    "is_admin",
    "is_teams_mode",
    "is_verified",
    "register_admin_plugin_menu_bar",
    "register_plugin_assets_directory",
    "upgrade",
    "view_after_ctf",
]
