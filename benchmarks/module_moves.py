"""How far a call travels: ``python -m benchmarks.module_moves``.

One ``POST start`` and one ``GET status`` at the endpoints, over the engine on simulated containers.
A move is a call from a function of one module of ``engines`` to a function of another one, on the
request's own thread, whatever lies between them. Fewer moves and fewer modules are easier to hold
in mind; transactions are those that the request begins.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import click
import sqlalchemy as sa
from flask import Flask, Request
from werkzeug.test import TestResponse

import engines
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.memory import MemoryRuntime
from engines.settings import Settings
from engines.state.database import Database
from engines.web import PREFIX, Caller, container_blueprint

ENGINES = str(Path(engines.__file__).parent)
PLAYER = 1


class OnePlayer:
    """Every request is this player's."""

    def who(self, _request: Request) -> Caller | None:
        return Caller(PLAYER)

    def csrf_ok(self, _request: Request) -> bool:
        return True


@dataclass
class CallPath:
    """What one request went through."""

    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    transactions: int = 0

    def modules(self) -> set[str]:
        return {each for pair in self.moves for each in pair}


@contextmanager
def followed(engine: sa.engine.Engine) -> Iterator[CallPath]:
    """Count what this thread calls inside the block."""
    way = CallPath()
    rooms: list[str] = []

    def begun(_connection: object) -> None:
        way.transactions += 1

    def follow(frame: FrameType, event: str, _argument: object) -> None:
        file = frame.f_code.co_filename
        if event not in ("call", "return") or not file.startswith(ENGINES):
            return
        if event == "return":
            if rooms:
                rooms.pop()
            return
        here = str(Path(file).relative_to(ENGINES))
        if rooms and rooms[-1] != here:
            way.moves[rooms[-1], here] += 1
        rooms.append(here)

    sa.event.listen(engine, "begin", begun)
    sys.setprofile(follow)
    try:
        yield way
    finally:
        sys.setprofile(None)
        sa.event.remove(engine, "begin", begun)


def measured() -> dict[str, CallPath]:
    """By request, its way; the same in each run."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        settings = Settings(database_url=f"sqlite:///{folder}/state.db")
        database = Database(settings.state_url)
        stack.callback(database.close)
        engine = ContainerRuntimeEngine(
            settings,
            runtime=MemoryRuntime(),
            catalog=StaticCatalog([ChallengeSpec(id=1, name="C", image="c:1")]),
            database=database,
        )
        stack.callback(engine.close)
        app = Flask(__name__)
        app.register_blueprint(container_blueprint(lambda: engine, OnePlayer()))
        client = app.test_client()
        requests: dict[str, Callable[[], TestResponse]] = {
            "POST start": lambda: client.post(f"{PREFIX}/start", json={"challenge_id": 1}),
            "GET status": lambda: client.get(f"{PREFIX}/status?challenge_id=1"),
        }
        ways = {}
        for name, ask in requests.items():
            with followed(database.engine) as way:
                answer = ask()
            answer.get_data()
            if answer.status_code >= HTTPStatus.BAD_REQUEST:
                raise RuntimeError(f"{name}: {answer.status}")
            ways[name] = way
        return ways


if __name__ == "__main__":
    for request, way in measured().items():
        moves, modules = sum(way.moves.values()), len(way.modules())
        click.echo(f"{request}: {moves} moves, {modules} modules, {way.transactions} transactions")
        for (left, right), times in way.moves.most_common():
            click.echo(f"  {times:3} {left} > {right}")
