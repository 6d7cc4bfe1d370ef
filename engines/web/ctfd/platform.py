"""Everything of CTFd that the plugin touches, in one place (CTFd 3.8).

CTFd has no types and is not there where this project is checked, hence the ignores: each name is
``Any`` to the rest of the plugin.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

from typing import Any

from CTFd.exceptions.challenges import ChallengeCreateException, ChallengeUpdateException
from CTFd.models import Challenges, Flags, Solves, Teams, Users, db
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
from CTFd.utils.user import authed, get_current_team, get_current_user, is_verified

try:
    from CTFd.utils.modules import can_access_challenge
except ImportError:  # before modules and release times there was nothing to keep anybody out

    def can_access_challenge(challenge: Any, user: Any) -> bool:
        """Whether a challenge's time has come and its module is open to this user."""
        return True


__all__ = [
    "CHALLENGE_CLASSES",
    "BaseChallenge",
    "ChallengeCreateException",
    "ChallengeResponse",
    "ChallengeUpdateException",
    "Challenges",
    "Flags",
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
    "import_ctf",
    "is_teams_mode",
    "is_verified",
    "register_admin_plugin_menu_bar",
    "register_plugin_assets_directory",
    "upgrade",
    "view_after_ctf",
]
