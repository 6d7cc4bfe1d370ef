"""``whale-ready images``: which images the challenges need, and having them on the engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import click
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException
from rich import progress as bars
from rich.markup import escape
from rich.table import Table

from engines.catalog import StaticCatalog
from engines.catalog_file import load_catalog
from engines.cre.image_pull import Progress, pull_image
from engines.cre.runtimes.connection import connect
from engines.errors import BackendUnavailable, EngineError, ImageMissing, SettingsError
from engines.settings import Settings
from whale_ready.command import COULD_NOT_RUN, INTERRUPTED, Command, CommandGroup
from whale_ready.console import Console
from whale_ready.lines import echo

PLAIN_STEP = 0.25
"""Between two lines about one image where there is no terminal."""


@dataclass(frozen=True)
class _Image:
    """An image of the catalogue."""

    name: str
    challenges: tuple[str, ...]
    size: int | None
    """Bytes on the engine; None: it is not there."""


@click.group(
    "images", cls=CommandGroup, short_help="The images of the challenges: list them, pull them."
)
def images() -> None:
    """The images that the challenges of CONTAINER_CHALLENGES_FILE need, companions too."""


@images.command(
    "list",
    cls=Command,
    short_help="Show which images are here and which are missing.",
    epilog="""\b
Exit codes:
  0    every image is on the engine
  1    some are missing, or the engine cannot be asked
  3    could not run: a bad option or setting
""",
)
def list_command() -> None:
    """Show every image of the catalogue: whether it is on the engine, its size, and for which
    challenges."""
    with _engine() as (api, catalog):
        known = _images(api, catalog)
    table = Table("image", "here", "size", "challenges")
    for image in known:
        here = "yes" if image.size is not None else "missing"
        size = "" if image.size is None else _megabytes(image.size)
        table.add_row(*map(escape, (image.name, here, size, ", ".join(image.challenges))))
    _console().print(table)
    sys.exit(1 if any(image.size is None for image in known) else 0)


@images.command(
    "pull",
    cls=Command,
    short_help="Put images on the engine before players ask for them.",
    epilog="""\b
Exit codes:
  0    every image that was asked for is on the engine
  1    some could not be pulled, or the engine cannot be asked
  3    could not run: a bad option or setting
  130  interrupted; an image is there as a whole or not at all

\b
Examples:
  whale-ready images pull
  whale-ready images pull registry.example.org/ctf/cookie-jar:3
""",
)
@click.argument("names", metavar="[IMAGE]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Those that are here too: tags move.")
def pull_command(names: tuple[str, ...], everything: bool) -> None:
    """Pull the images that are missing, or those that are named.

    Credentials of registries come from CRE_REGISTRY_CONFIG, else from ~/.docker/config.json.
    """
    console = _console()
    try:
        with _engine() as (api, catalog):
            failed = _pull_all(api, _chosen(api, catalog, names, everything), console)
    except KeyboardInterrupt:
        console.print("interrupted", style="bold")
        sys.exit(INTERRUPTED)
    sys.exit(1 if failed else 0)


def _chosen(
    api: Any, catalog: StaticCatalog, names: tuple[str, ...], everything: bool
) -> list[str]:
    known = _images(api, catalog)
    strange = sorted(set(names) - {image.name for image in known})
    if strange:
        raise SettingsError(
            f"{strange[0]} is no image of the catalogue; see whale-ready images list"
        )
    if names:
        return [image.name for image in known if image.name in names]
    return [image.name for image in known if everything or image.size is None]


def _pull_all(api: Any, names: list[str], console: Console) -> int:
    """Pull one image after the other; returns how many failed."""
    if not names:
        console.print("every image is here")
    failed = 0
    for name in names:
        try:
            with _shown(name, console) as tell:
                pull_image(api, name, tell)
            console.say(f"{name}: here")
        except ImageMissing as error:
            failed += 1
            console.say(f"{name}: failed: {error}", "red")
    return failed


@contextmanager
def _shown(name: str, console: Console) -> Iterator[Callable[[Progress], None]]:
    """Shows a pull as a bar on a terminal, as lines elsewhere."""
    if not console.is_terminal:
        yield _PlainLines(name, console)
        return
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=None),
        bars.DownloadColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(escape(name), total=None)
        yield lambda at: bar.update(task, completed=at.done, total=at.total or None)


class _PlainLines:
    def __init__(self, name: str, console: Console) -> None:
        self._name = name
        self._console = console
        self._next = PLAIN_STEP
        console.say(f"{name}: pulling")

    def __call__(self, at: Progress) -> None:
        if at.fraction >= self._next:
            self._next = at.fraction + PLAIN_STEP
            self._console.say(f"{self._name}: {at} of {_megabytes(at.total)}")


@contextmanager
def _engine() -> Iterator[tuple[Any, StaticCatalog]]:
    """The engine and the catalogue that the settings name; ends the program where there is none."""
    try:
        settings = Settings.from_environ()
        if settings.challenges_file is None:
            raise SettingsError("CONTAINER_CHALLENGES_FILE: name the file with the challenges")
        catalog = load_catalog(settings.challenges_file)
        with closing(connect(settings)) as client:
            if _manages_a_swarm(client.api):
                echo(
                    "This engine manages a swarm: its nodes pull for themselves when a challenge "
                    "starts there; this is about this one node.",
                    err=True,
                )
            yield client.api, catalog
    except BackendUnavailable as error:
        echo(f"Error: {error}", err=True)
        sys.exit(1)
    except EngineError as error:
        echo(f"Error: {error}", err=True)
        sys.exit(COULD_NOT_RUN)
    except (DockerException, RequestException) as error:
        # The error's own text may quote a request.
        echo(f"Error: the Docker engine refused: {type(error).__name__}", err=True)
        sys.exit(1)


def _manages_a_swarm(api: Any) -> bool:
    return bool((api.info().get("Swarm") or {}).get("ControlAvailable"))


def _images(api: Any, catalog: StaticCatalog) -> list[_Image]:
    users: dict[str, list[str]] = {}
    for spec in catalog.all():
        for image in dict.fromkeys(spec.images):
            users.setdefault(image, []).append(f"{spec.name} ({spec.id})")
    return [_Image(name, tuple(who), _size(api, name)) for name, who in sorted(users.items())]


def _size(api: Any, image: str) -> int | None:
    try:
        return int(api.inspect_image(image)["Size"])
    except NotFound:
        return None
    except APIError as error:
        raise BackendUnavailable("the Docker engine refused to show an image") from error


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _console() -> Console:
    return Console(soft_wrap=True)
