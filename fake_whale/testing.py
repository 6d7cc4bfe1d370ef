"""For tests against a Whale: players who call it as a well-behaved client does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import requests

from .whale.world import WhaleWorld

PATH = "/api/v1/plugins/ctfd-whale/container"


@dataclass(frozen=True)
class WhalePlayer:
    """Calls Whale by token, keeping no cookies and following no redirects."""

    url: str
    token: str = field(repr=False)

    def call(self, method: str, challenge_id: object = None, path: str = PATH) -> requests.Response:
        """One call; ``challenge_id`` None sends no query."""
        return requests.request(
            method,
            self.url + path,
            params=None if challenge_id is None else {"challenge_id": str(challenge_id)},
            headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
            allow_redirects=False,
            timeout=30,
        )

    def get(self, challenge_id: object = 1) -> requests.Response:
        """GET on the player's container."""
        return self.call("GET", challenge_id)

    def post(self, challenge_id: object = 1) -> requests.Response:
        """POST on the player's container."""
        return self.call("POST", challenge_id)

    def patch(self, challenge_id: object = 1) -> requests.Response:
        """PATCH on the player's container."""
        return self.call("PATCH", challenge_id)

    def delete(self, challenge_id: object = 1) -> requests.Response:
        """DELETE on the player's container."""
        return self.call("DELETE", challenge_id)


def tokens(world: WhaleWorld) -> dict[str, str]:
    """Tokens by user name."""
    return {user.name: user.token for user in world.users if user.token}


def said(response: requests.Response) -> tuple[int, Any]:
    """Status and message of an answer."""
    return response.status_code, response.json().get("message")
