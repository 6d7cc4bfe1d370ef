"""The command ``fake-whale``: serve, verify, record."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from .demo import DEMO_WORLD
from .own_arguments import hide
from .sessions.fidelity_doc import drops, write_table
from .sessions.recorder import RecordedWhale
from .sessions.recorder import record as record_sessions
from .sessions.recording import read_sessions
from .web.dialect import FakeDialect
from .whale.clock import EpochClock, SystemEpochClock, VirtualEpochClock
from .whale.database import Dbms, TransactionIsolation
from .whale.errors import FakeWhaleError
from .whale.flavours import FLAVOURS
from .whale.instances import FRP_MANNERS, InstanceOptions
from .whale.runtimes import WhaleRuntime
from .whale.world import WhaleWorld

if TYPE_CHECKING:
    from .sessions.verify import Fidelity

EXIT_DIFFERENT = 1
EXIT_COULD_NOT_RUN = 3
FILE = click.Path(path_type=Path, dir_okay=False)

_Choice = TypeVar("_Choice", Dbms, FakeDialect, TransactionIsolation, WhaleRuntime)


def _choice(kind: type[_Choice]) -> click.Choice[str]:
    return click.Choice([member.value for member in kind])


class _Discreet(click.Group):
    def main(self, *args: Any, **extra: Any) -> Any:
        hide()
        return super().main(*args, **extra)


@click.group(cls=_Discreet)
def main() -> None:
    """A Whale to test against: CTFd with ctfd-whale, imitated down to its quirks."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0: any free one.")
@click.option("--world", "world_file", type=FILE, help="World file; a small demo world without it.")
@click.option("--clock", type=click.Choice(["real", "virtual"]), default="real", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Makes uuids, ports, faults repeatable.")
@click.option("--dialect", type=_choice(FakeDialect), default="ctfd-whale", show_default=True)
@click.option("--flavour", type=click.Choice(list(FLAVOURS)), help="Which ctfd-whale.")
@click.option(
    "--isolation", type=_choice(TransactionIsolation), default="repeatable-read", show_default=True
)
@click.option("--database", type=_choice(Dbms), default="mariadb", show_default=True)
@click.option("--no-redis", is_flag=True, help="CTFd's cache is files: there are no locks.")
@click.option("--workers", default=1, show_default=True, help="gunicorn's; two behave as one.")
@click.option("--runtime", type=_choice(WhaleRuntime), default="simulated", show_default=True)
@click.option("--public-url", help="The URL clients know this server by, if it is another.")
@click.option(
    "--control-token",
    envvar="FAKE_WHALE_CONTROL_TOKEN",
    show_envvar=True,
    help="Guards /_fake/; better in the variable.",
)
@click.option("--instance-host", default="127.0.0.1", show_default=True, help="Instances' address.")
@click.option("--instance-http-port", default=0, show_default=True, help="Http instances' port.")
@click.option("--reachable", is_flag=True, help="Hand out addresses that lead to the instances.")
@click.option("--not-found-page", type=FILE, help="frps' custom_404_page; its own without it.")
@click.option(
    "--resolver-delay",
    default=0.0,
    show_default=True,
    help="Seconds that frpc's resolver takes for a name that is not there.",
)
@click.option("--frpc-file", is_flag=True, help="Writes at once spoil frpc.ini, as a real one.")
@click.option("--frpc-returns", is_flag=True, help="frpc comes back when Docker restarts.")
@click.option(
    "--frp",
    type=click.Choice(list(FRP_MANNERS)),
    help="Be this frp in all measured ways: boot delay, resolver, --frpc-file.",
)
@click.option("--no-instances", is_flag=True, help="Do not answer for the instances.")
def serve(
    host: str,
    port: int,
    world_file: Path | None,
    clock: str,
    seed: int,
    dialect: str,
    flavour: str | None,
    isolation: str,
    database: str,
    no_redis: bool,
    workers: int,
    runtime: str,
    public_url: str | None,
    control_token: str | None,
    instance_host: str,
    instance_http_port: int,
    reachable: bool,
    not_found_page: Path | None,
    resolver_delay: float,
    frpc_file: bool,
    frpc_returns: bool,
    frp: str | None,
    no_instances: bool,
) -> None:
    """Serve until stopped. The first line on stdout is one JSON object with at least "url"."""
    from .fake import FakeWhale

    chosen: EpochClock = VirtualEpochClock() if clock == "virtual" else SystemEpochClock()
    try:
        options = InstanceOptions(
            instance_host,
            instance_http_port,
            instance_host,
            reachable=reachable,
            not_found_page=not_found_page.read_text() if not_found_page else None,
            resolver_delay=resolver_delay,
        )
        fake = FakeWhale(
            WhaleWorld.from_file(world_file) if world_file else DEMO_WORLD,
            clock=chosen,
            seed=seed,
            instances=None if no_instances else options,
            isolation=TransactionIsolation(isolation),
            database=Dbms(database),
            redis=not no_redis,
            workers=workers,
            dialect=FakeDialect(dialect),
            runtime=WhaleRuntime(runtime),
            frpc_file=frpc_file,
            frpc_returns=frpc_returns,
            frp=frp,
            flavour=flavour,
        )
    except (FakeWhaleError, OSError) as error:
        _fail(str(error))
    stop = threading.Event()

    def stop_now(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, stop_now)
    signal.signal(signal.SIGINT, stop_now)
    try:
        with fake, fake.serve(host, port, control_token=control_token) as server:
            listener = fake.http_listener
            line = {
                "url": public_url or server.url,
                "listening": server.url,
                "control": fake.control_rule.enabled,
                "clock": clock,
                "dialect": dialect,
                "flavour": fake.flavour.name,
                "isolation": isolation,
                "runtime": runtime,
                "instances": None if listener is None else f"http://{listener[0]}:{listener[1]}",
            }
            click.echo(json.dumps(line))
            sys.stdout.flush()
            stop.wait()
    except FakeWhaleError as error:
        _fail(str(error))


@main.command()
@click.option("--sessions", "sessions_file", type=FILE, required=True, help="Recorded sessions.")
@click.option("--world", "world_file", type=FILE, help="Their world; beside them without it.")
@click.option("--differences", default=5, show_default=True, help="How many to show a section.")
@click.option("--doc", type=FILE, help="Write the fidelity table into this file.")
@click.option("--check", is_flag=True, help="With --doc: do not write, fail when it has dropped.")
def verify(
    sessions_file: Path, world_file: Path | None, differences: int, doc: Path | None, check: bool
) -> None:
    """Replay recorded sessions and say, section by section, how true the fake is.

    Exits 0 when every step matches (but for at most 0.5 % that lie on a time limit), 1 when not, 3
    when the files cannot be used.
    """
    from .sessions.verify import verify as verify_sessions

    beside = sessions_file.with_name("whale-world.json")
    try:
        world = WhaleWorld.from_file(world_file or beside)
        fidelity = verify_sessions(world, read_sessions(sessions_file))
        _show(fidelity, differences)
        lost = _keep(doc, fidelity, check=check) if doc else []
    except FakeWhaleError as error:
        _fail(str(error))
    for line in lost:
        click.echo(f"fidelity dropped: {line}", err=True)
    if lost or not fidelity.good:
        raise SystemExit(EXIT_DIFFERENT)


@main.command()
@click.option("--base-url", required=True, help="The CTFd to record; a fake will do.")
@click.option("--world", "world_file", type=FILE, required=True, help="Its users and challenges.")
@click.option("--seed", default=0, show_default=True, help="The same seed asks the same.")
@click.option("--sessions", default=10, show_default=True, help="How many to record.")
@click.option(
    "--control-token",
    envvar="FAKE_WHALE_CONTROL_TOKEN",
    show_envvar=True,
    help="If it is a guarded fake; better in the variable.",
)
@click.option("--output", "-o", type=FILE, help="File to write; stdout without it.")
def record(
    base_url: str,
    world_file: Path,
    seed: int,
    sessions: int,
    control_token: str | None,
    output: Path | None,
) -> None:
    """Record new sessions with a Whale, for `verify` to replay."""
    try:
        whale = RecordedWhale(base_url, control_token)
        lines = [
            session.as_json()
            for session in record_sessions(whale, WhaleWorld.from_file(world_file), seed, sessions)
        ]
    except FakeWhaleError as error:
        _fail(str(error))
    text = "\n".join(lines) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{len(lines)} sessions written to {output}")


def _show(fidelity: Fidelity, differences: int) -> None:
    click.echo(fidelity.as_markdown())
    for section in fidelity.sections:
        found = [d for d in fidelity.differences if d.section == section]
        for difference in found[:differences]:
            click.echo(f"\n[{section}] {difference}")
        if len(found) > differences:
            click.echo(f"\n[{section}] … and {len(found) - differences} more")


def _keep(doc: Path, fidelity: Fidelity, *, check: bool) -> list[str]:
    if check:
        return drops(doc, fidelity.as_markdown())
    write_table(doc, fidelity.as_markdown())
    return []


def _fail(message: str) -> NoReturn:
    click.echo(f"fake-whale: {message}", err=True)
    raise SystemExit(EXIT_COULD_NOT_RUN)
