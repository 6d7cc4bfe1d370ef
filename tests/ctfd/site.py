"""A real CTFd with the plugin in it, in a child process: made from the checkout in ``CTFD_HOME``.

Nothing is written into the checkout: the site's folder holds links to everything in it, and a
plugins folder of its own.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from support.changed_settings import shipped

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "engines" / "ctfd" / "plugin"
OWN_PLUGINS = Path(__file__).parent / "plugins"
READY_SECONDS = 90.0
TOO_MANY = 429
PASSWORD = "correct horse battery"
FIX = (
    "set CTFD_HOME to a checkout of CTFd 3.8 whose .venv (or CTFD_PYTHON) has its requirements and "
    "the packages docker, msgspec and pybreaker"
)


def home() -> Path | None:
    """The checkout, where there is one."""
    given = os.environ.get("CTFD_HOME", "").strip()
    found = Path(given) if given else None
    return found if found and (found / "CTFd" / "plugins").is_dir() and python(found) else None


def python(checkout: Path) -> Path | None:
    """The Python that has CTFd's requirements."""
    given = os.environ.get("CTFD_PYTHON", "").strip()
    found = Path(given) if given else checkout / ".venv" / "bin" / "python"
    return found if found.exists() else None


class Visitor:
    """Somebody's session at the site, as a script would hold it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.nonce = ""

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.session.get(self.url + path, timeout=60, **more)

    def form(self, path: str, **fields: str) -> requests.Response:
        """Fill in the form of a page and send it."""
        page = self.get(path)
        fields["nonce"] = _nonce(page.text)
        return self.session.post(self.url + path, data=fields, timeout=60)

    def log_in(self, name: str, password: str = PASSWORD) -> Visitor:
        answer = self.form("/login", name=name, password=password)
        while answer.status_code == TOO_MANY:  # ten in five seconds from one address
            time.sleep(1)  # CTFd does not say when
            answer = self.form("/login", name=name, password=password)
        assert answer.ok, answer.status_code
        self.nonce = _nonce(self.get("/challenges").text or "")
        return self

    def json(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Ask the API as the pages' scripts do; returns the answer's JSON."""
        return self.ask(method, path, body, **headers).json()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        sent = {"Content-Type": "application/json", "CSRF-Token": self.nonce, **headers}
        return self.session.request(
            method, self.url + path, json=body, headers=sent, timeout=120, allow_redirects=False
        )


class Site:
    """One CTFd, set up, with an admin of the name ``admin``.

    Args:
        folder: empty; everything of the site is kept below it.
        teams: whether teams play.
        plugins: further plugins, folders to link; names as CTFd loads them.
        database_url: of an empty database; SQLite below the folder unless given.
        server: gunicorn's options for workers.
    """

    def __init__(
        self,
        folder: Path,
        *,
        teams: bool = False,
        plugins: Mapping[str, Path] | None = None,
        database_url: str = "",
        environ: Mapping[str, str] | None = None,
        server: tuple[str, ...] = ("--worker-class", "gevent"),
    ) -> None:
        checkout = home()
        assert checkout is not None, FIX
        self.folder, self.teams = folder, teams
        self.python = python(checkout)
        self.log = folder / "ctfd.log"
        self._overlay(checkout, {"whale_ready": PLUGIN, **(plugins or {})})
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {
            **shipped(),
            "PYTHONPATH": f"{ROOT}:{folder}",
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": database_url or f"sqlite:///{folder / 'ctfd.db'}",
            "SECRET_KEY": secrets.token_hex(16),
            "UPLOAD_FOLDER": str(folder / "uploads"),
            "LOG_FOLDER": str(folder / "logs"),
            "UPDATE_CHECK": "false",
            **(environ or {}),
        }
        self.server = server
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self._upgrade()
            self.start()
            self._set_up(teams)
        except BaseException:  # Ctrl-C too: no server is left behind; raised again
            self.stop()
            raise

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(self.python), "-m", "gunicorn", "CTFd:create_app()"),
                    *("--bind", f"127.0.0.1:{self.port}", "--timeout", "120", *self.server),
                ],
                cwd=self.folder,
                env=self.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                requests.get(self.url + "/healthcheck", timeout=10)
                return
            except requests.RequestException:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"CTFd did not start:\n{self.said()}") from None
                time.sleep(0.1)  # a server that comes up gives no sign to wait for

    def stop(self) -> None:
        """End the server."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # its own group: nobody else's
                process.wait(timeout=30)

    def said(self) -> str:
        """The last of the server's log."""
        return self.log.read_text(errors="replace")[-6000:]

    def visitor(self, name: str) -> Visitor:
        """Somebody, logged in."""
        return Visitor(self.url).log_in(name)

    @property
    def admin(self) -> Visitor:
        """The admin, logged in."""
        if not hasattr(self, "_admin"):
            self._admin = self.visitor("admin")
        return self._admin

    # What an organiser sets up.

    def player(self, name: str, **more: object) -> int:
        """A player of this name; returns the id."""
        body = {
            "name": name,
            "email": f"{name}@example.org",
            "password": PASSWORD,
            "type": "user",
            "verified": True,
            **more,
        }
        return int(self._made("/api/v1/users", body)["id"])

    def team(self, name: str, *members: int) -> int:
        """A team of these users; returns the id."""
        body = {"name": name, "email": f"{name}@teams.example.org", "password": PASSWORD}
        team_id = int(self._made("/api/v1/teams", body)["id"])
        for user_id in members:
            self._made(f"/api/v1/teams/{team_id}/members", {"user_id": user_id})
        return team_id

    def challenge(self, name: str, **columns: object) -> int:
        """A visible challenge of our type; returns the id."""
        body = {
            "name": name,
            "category": "web",
            "description": "Find the *flag*.",
            "value": "100",
            "state": "visible",
            "type": "whale_ready",
            **columns,
        }
        return int(self._made("/api/v1/challenges", body)["id"])

    def change(self, challenge_id: int, **fields: object) -> Any:
        """Edit a challenge; returns the API's answer."""
        return self.admin.json("PATCH", f"/api/v1/challenges/{challenge_id}", fields)

    def config(self, **values: object) -> None:
        """Change CTFd's own configuration."""
        answer = self.admin.json("PATCH", "/api/v1/configs", values)
        assert answer["success"], answer

    def _made(self, path: str, body: object) -> Any:
        answer = self.admin.json("POST", path, body)
        assert answer.get("success"), answer
        return answer["data"]

    def _upgrade(self) -> None:
        """Make the tables, as CTFd's image does before it starts several workers."""
        with self.log.open("ab") as log:
            subprocess.run(
                [str(self.python), "-m", "flask", "db", "upgrade"],
                cwd=self.folder,
                env=self.environ,
                stdout=log,
                stderr=log,
                check=True,
                timeout=120,
            )

    def _set_up(self, teams: bool) -> None:
        answer = Visitor(self.url).form(
            "/setup",
            ctf_name="Test CTF",
            ctf_description="",
            user_mode="teams" if teams else "users",
            challenge_visibility="private",
            account_visibility="public",
            score_visibility="public",
            registration_visibility="public",
            verify_emails="false",
            name="admin",
            email="admin@example.org",
            password=PASSWORD,
            ctf_theme="core",
            start="",
            end="",
        )
        assert answer.ok, self.said()

    def _overlay(self, checkout: Path, plugins: Mapping[str, Path]) -> None:
        """Links to all of CTFd, and a folder of plugins that is ours."""
        # Not a link: Python would take the CTFd beside the file it leads to, without our plugins.
        shutil.copy(checkout / "manage.py", self.folder / "manage.py")
        for path in checkout.iterdir():
            if path.name not in ("manage.py", ".git", ".venv", "CTFd", ".data", ".ctfd_secret_key"):
                (self.folder / path.name).symlink_to(path)
        package = self.folder / "CTFd"
        package.mkdir()
        for path in (checkout / "CTFd").iterdir():
            if path.name not in ("plugins", "uploads", "logs", "__pycache__"):
                (package / path.name).symlink_to(path)
        own = package / "plugins"
        own.mkdir()
        for path in (checkout / "CTFd" / "plugins").iterdir():
            if path.name not in ("__pycache__", *plugins):
                (own / path.name).symlink_to(path)
        for name, folder in plugins.items():
            (own / name).symlink_to(folder)
        for name in ("uploads", "logs"):
            (self.folder / name).mkdir()


def _nonce(page: str) -> str:
    found = re.search(r"csrfNonce'?\"?: \"(\w+)\"", page) or re.search(
        r'name="nonce"[^>]*value="(\w+)"', page
    )
    assert found, page[:500]
    return found[1]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
