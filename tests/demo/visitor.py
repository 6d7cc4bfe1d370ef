"""Somebody who asks a demo over HTTP, as the page's script does, or otherwise."""

from __future__ import annotations

import json
import re
from typing import Any

import requests

_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
SECONDS = 30.0


class Visitor:
    """A browser's session with a demo."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self.front = self._session.get(f"{self.url}/", timeout=SECONDS)
        found = _DATA.search(self.front.text)
        assert found is not None, self.front.text[:200]
        self.csrf: str = json.loads(found[1])["csrf"]

    def get(self, path: str, **headers: str) -> requests.Response:
        return self._session.get(f"{self.url}{path}", headers=headers, timeout=SECONDS)

    def post(self, path: str, body: Any, **headers: str) -> requests.Response:
        """As the page asks; ``headers`` with an underscore for a dash, and over the page's own."""
        ours = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._session.post(
            f"{self.url}{path}",
            data=body if isinstance(body, str) else json.dumps(body),
            headers={"Content-Type": "application/json", "CSRF-Token": self.csrf, **ours},
            timeout=SECONDS,
        )

    def play(self, user_id: int) -> None:
        answer = self.post("/demo/player", {"user_id": user_id})
        assert answer.status_code == 200, answer.text
        self.csrf = answer.json()["data"]["csrf"]

    def start(self, challenge_id: int) -> dict[str, Any]:
        """The new instance."""
        answer = self.post("/api/v1/container/start", {"challenge_id": challenge_id})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()["data"]
        return found

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/demo/state").json()["data"]
        return found

    def close(self) -> None:
        self._session.close()
