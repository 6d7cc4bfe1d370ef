"""What players notice of a Docker engine that hangs, through the web servers that sites use.

Run: ``python -m benchmarks.hung_engine``. Prints a table; progress goes to stderr.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from benchmarks.figures import Times
from conformance.harness import CannotRun
from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.own_engine import OwnEngine
from engines.cre.tables import cre_instances
from engines.probe import wait_until
from engines.state.audit_log import AuditLog
from engines.state.database import Database
from engines.state.instance_store import InstanceStore
from engines.state.instances import Claimed, InstanceRequest
from engines.web import PREFIX

COULD_NOT_RUN = 3
SERVERS = {
    "sync": ("--workers", "4"),
    "gevent": ("--worker-class", "gevent", "--workers", "2"),
}
CHALLENGE = 1
LIFE = timedelta(hours=2)
UP_SECONDS = 60.0
PATIENCE = 600.0
"""Until a player's browser gives up; longer than any hang that is measured."""

HELP = """\
Stop a Docker engine of its own with SIGSTOP and let players ask for their status meanwhile.

Each player asks, reads the answer, and asks again a second later, for as long as the engine is
stopped; who has no answer by then waits for it, and that counts too. All players' rows name one
real container, so that a small machine is enough. It needs root and dockerd, and takes about as
long as --hang for each server, and a minute.
"""
EPILOG = """\
columns:
  status      how long a status took, in milliseconds, over all players
  last_known  statuses that were answered from the records
  start       one start at the middle of the hang, and its code
  again       seconds from the engine's going on to the first status that it answered

exit codes:
  0    measured
  3    could not run: a bad option, no root, no dockerd

examples:
  python -m benchmarks.hung_engine
  python -m benchmarks.hung_engine --hang 30 --server gevent
  python -m benchmarks.hung_engine --engines /path/to/another/checkout     # before and after
"""


@dataclass
class PlayerTimes:
    """What the players of one server saw."""

    times: Times = field(default_factory=Times)
    codes: Counter[str] = field(default_factory=Counter)
    start: str = ""
    again: float = 0.0


class HungSite:
    """One server with its own records, while it is entered."""

    def __init__(self, name: str, engine: OwnEngine, checkout: Path | None, players: int) -> None:
        self.name = name
        self._folder = Path(tempfile.mkdtemp(prefix="whale-ready-hung-"))
        self._engine = engine
        self._checkout = checkout
        self._players = players
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._url = f"sqlite:///{self._folder / 'state.db'}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> HungSite:
        with closing(self._engine.client()) as client:
            image = ensure_image(client)
            container = client.containers.run(image, detach=True)
        self._fill(str(container.id))
        (self._folder / "challenges.toml").write_text(
            f'[[challenge]]\nid = {CHALLENGE}\nname = "One"\nimage = "{image}"\nports = [80]\n'
        )
        shutil.copy(Path(__file__).with_name("hung_site.py"), self._folder)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - ours, and on loopback
                [
                    *(sys.executable, "-m", "gunicorn", "hung_site:app"),
                    *("--bind", f"127.0.0.1:{self._port}", "--timeout", "0"),
                    *SERVERS[self.name],
                ],
                cwd=self._folder,
                env={**os.environ, **self._settings()},
                stdout=log,
                stderr=log,
            )
        if not wait_until(lambda _timeout: self.ask("GET", 1)[0] == "ok", UP_SECONDS):
            raise CannotRun(
                f"the site did not come up: {(self._folder / 'log').read_text()[-500:]}"
            )
        for _ in range(40):  # each worker has met the engine once
            self.ask("GET", 1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, method: str, player: int) -> tuple[str, int | None]:
        """The code of a status (GET) or of a start (POST), and the Retry-After."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        path = f"{PREFIX}/status?challenge_id={CHALLENGE}" if method == "GET" else f"{PREFIX}/start"
        body = None if method == "GET" else json.dumps({"challenge_id": CHALLENGE})
        headers = {"X-Player": str(player), "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return type(error).__name__, None
        finally:
            connection.close()
        return str(answer["code"]), answer["retry_after"]

    def _said(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-500:]

    def _settings(self) -> dict[str, str]:
        return {
            "CONTAINER_DATABASE_URL": self._url,
            "CONTAINER_CHALLENGES_FILE": str(self._folder / "challenges.toml"),
            "CRE_DOCKER_HOST": self._engine.url,
            "CRE_FIREWALL": "none",
            **({"PYTHONPATH": str(self._checkout)} if self._checkout else {}),
        }

    def _fill(self, container_id: str) -> None:
        """Give each player an instance; the server's first process made nothing yet."""
        with closing(Database(self._url)) as database:
            store = InstanceStore(database, AuditLog(database), cre_instances)
            now = database.clock.now()
            for player in range(1, self._players + 1):
                request = InstanceRequest(
                    account=f"user:{player}",
                    challenge_id=CHALLENGE,
                    user_id=player,
                    team_id=None,
                    flag="flag{none}",
                    account_limit=1,
                    capacity=None,
                    lease_seconds=60,
                )
                claim = store.claim(request, now)
                if not isinstance(claim, Claimed):
                    raise CannotRun(f"no row for player {player}: {claim}")
                store.save(
                    claim.row.activated(
                        container_id=container_id,
                        host="127.0.0.1",
                        ports=("30000",),
                        started_at=now,
                        expires_at=now + LIFE,
                    )
                )


def measured(site: HungSite, engine: OwnEngine, players: int, seconds: float) -> PlayerTimes:
    """Stop the engine for so long while the players ask."""
    seen, over, lock = PlayerTimes(), threading.Event(), threading.Lock()

    def play(player: int) -> None:
        while not over.is_set():
            began = time.perf_counter()
            code, _ = site.ask("GET", player)
            with lock:
                seen.times.add("status", (time.perf_counter() - began) * 1000)
                seen.codes[code] += 1
            over.wait(1.0)

    def start() -> None:
        if over.wait(seconds / 2):
            return
        began = time.perf_counter()
        code, retry_after = site.ask("POST", players + 1)
        seen.start = f"{time.perf_counter() - began:.1f} s {code}, retry after {retry_after}"

    threads = [threading.Thread(target=play, args=(number + 1,)) for number in range(players)]
    threads.append(threading.Thread(target=start))
    with engine.hanging():
        for thread in threads:
            thread.start()
        time.sleep(seconds)
    began = time.perf_counter()
    over.set()
    for thread in threads:
        thread.join()
    while site.ask("GET", 1)[0] != "ok":
        time.sleep(0.05)
    seen.again = time.perf_counter() - began
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    if chosen.players < 1 or chosen.hang <= 0:
        _say("Error: --players and --hang must be above 0")
        return COULD_NOT_RUN
    rows = []
    try:
        with _engine() as engine:
            for name in chosen.server or SERVERS:
                _say(f"{name}: {chosen.players} players, the engine hangs for {chosen.hang:g} s")
                with HungSite(name, engine, chosen.engines, chosen.players) as site:
                    rows.append((name, measured(site, engine, chosen.players, chosen.hang)))
    except CannotRun as error:
        _say(f"Error: {error}")
        return COULD_NOT_RUN
    lines = ["| server | statuses | p50 ms | p99 ms | last_known | others | start | again s |"]
    lines += ["|---|---|---|---|---|---|---|---|", *(_row(name, seen) for name, seen in rows)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _row(name: str, seen: PlayerTimes) -> str:
    known = seen.codes.pop("last_known", 0)
    others = ", ".join(f"{code} {count}" for code, count in seen.codes.most_common()) or "–"
    p50, p99 = seen.times.p50("status") or 0.0, seen.times.p99("status") or 0.0
    server = f"{name} ({' '.join(SERVERS[name]).replace('--', '')})"
    return (
        f"| {server} | {seen.times.count('status')} | {p50:.0f} | {p99:.0f} | {known} | {others} | "
        f"{seen.start or 'not tried'} | {seen.again:.1f} |"
    )


@contextmanager
def _engine() -> Iterator[OwnEngine]:
    with closing(OwnEngine()) as engine:
        yield engine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hung_engine",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--players", type=int, default=50, help="how many (50)")
    parser.add_argument("--hang", type=float, default=30.0, help="seconds (30)")
    parser.add_argument("--server", action="append", choices=list(SERVERS), help="only this one")
    parser.add_argument(
        "--engines", type=Path, metavar="FOLDER", help="a checkout whose engines are served instead"
    )
    return parser


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
