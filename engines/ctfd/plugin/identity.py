"""Who asks, as CTFd's own login says."""

from __future__ import annotations

import hmac

from flask import Request, session
from werkzeug.exceptions import HTTPException

from engines.web import Caller

from .platform import authed, get_current_user, is_teams_mode


class SiteIdentity:
    """CTFd's session cookie, or one of its access tokens."""

    def who(self, request: Request) -> Caller | None:
        """Who is logged in; None also where the session is of an old password or a deleted user."""
        if not authed():
            return None
        try:
            user = get_current_user()
        except HTTPException:
            return None  # CTFd has just logged them out
        if user is None:
            return None
        team_id = user.team_id if is_teams_mode() else None
        return Caller(user.id, team_id, is_admin=user.type == "admin", name=user.name)

    def csrf_ok(self, request: Request) -> bool:
        """Whether the nonce of the session was shown; who comes with a token has no session.

        CTFd has checked such a token by now: it does so for requests with a JSON body only, so for
        others the header says nothing.
        """
        if request.headers.get("Authorization") and request.is_json:
            return True
        nonce = str(session.get("nonce") or "")
        shown = request.headers.get("CSRF-Token", "")
        return bool(nonce) and hmac.compare_digest(nonce.encode(), shown.encode())
