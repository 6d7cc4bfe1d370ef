"""One pull of an image, as the engine reports it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker.auth
from docker.errors import DockerException
from docker.utils import parse_repository_tag
from requests import Response
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from engines.errors import BackendUnavailable, ImageMissing
from engines.printable import printable

ANSWER_SECONDS = 60.0
"""Until the engine takes the request up."""
SILENCE_SECONDS = 600.0
"""Silence after which a pull is given up; a large layer is unpacked without a word."""
REASON_LENGTH = 200


@dataclass(frozen=True)
class Progress:
    """How far a pull is, in bytes; those of layers whose size is not known yet are guessed."""

    done: int = 0
    total: int = 0

    @property
    def fraction(self) -> float:
        """From 0 to 0.99: an image is there when the pull has ended, not before."""
        return min(self.done / self.total, 0.99) if self.total else 0.0

    def __str__(self) -> str:
        """``34 %``; empty as long as nothing is known."""
        return f"{int(self.fraction * 100)} %" if self.total else ""


Tell = Callable[[Progress], None]


class Canceller:
    """Ends a pull from another thread."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._response: Response | None = None

    @property
    def told(self) -> bool:
        return self._told.is_set()

    def watch(self, response: Response) -> None:
        """The answer that is to be cut off."""
        self._response = response

    def cancel(self) -> None:
        self._told.set()
        # urllib3 2.3 and later wake a reader; with an older one the next line ends the pull.
        shutdown = getattr(getattr(self._response, "raw", None), "shutdown", None)
        if shutdown is not None:
            try:
                shutdown()
            except (OSError, ValueError, HTTPError):
                return  # it has ended by itself


def pull_image(api: Any, image: str, tell: Tell, canceller: Canceller | None = None) -> None:
    """Pull an image through the engine; returns when it is there.

    The SDK's own pull waits without end for a registry that is silent, so only its way of finding
    credentials is used.

    Args:
        api: the SDK's low-level client.
        tell: is given the progress whenever it changes.

    Raises:
        ImageMissing: it cannot be had, or the pull was cancelled; says why, without credentials.
        BackendUnavailable: the engine cannot be asked or went away.
    """
    canceller = canceller or Canceller()
    repository, tag = parse_repository_tag(image)
    try:
        with api.post(
            f"{api.base_url}/v{api.api_version}/images/create",
            params={"fromImage": repository, "tag": tag or "latest"},
            headers=_credentials(api, repository),
            stream=True,
            timeout=(ANSWER_SECONDS, SILENCE_SECONDS),
        ) as response:
            if response.status_code != 200:
                raise ImageMissing(reason(_message(response)))
            canceller.watch(response)
            _follow(response, tell, canceller)
    except (RequestException, HTTPError, OSError) as error:
        if canceller.told:
            raise ImageMissing("the pull was cancelled") from None
        raise BackendUnavailable("the Docker engine broke off a pull") from error


def reason(text: str) -> str:
    """A registry's reason for a log: one line, without what an address may carry of secrets."""
    first = next(iter(text.strip().splitlines()), "") or "no reason given"
    return printable(re.sub(r"://[^/\s@]*@", "://", re.sub(r"\?\S*", "", first))[:REASON_LENGTH])


def _credentials(api: Any, repository: str) -> dict[str, Any]:
    try:
        registry, _ = docker.auth.resolve_repository_name(repository)
        header = docker.auth.get_config_header(api, registry)
    except (DockerException, OSError, ValueError, KeyError):
        # A credential helper's own words may hold what it keeps.
        raise ImageMissing("the registry's credentials cannot be read") from None
    return {"X-Registry-Auth": header} if header else {}


def _message(response: Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"the Docker engine answered {response.status_code}"


def _follow(response: Response, tell: Tell, canceller: Canceller) -> None:
    layers = Layers()
    for line in response.iter_lines():
        if canceller.told:
            break
        row = _row(line)
        if "error" in row:
            raise ImageMissing(reason(str(row["error"])))
        if layers.take(row):
            tell(layers.progress)
    if canceller.told:
        raise ImageMissing("the pull was cancelled")


def _row(line: bytes) -> dict[str, Any]:
    """A line of the stream; empty for one that is none of ours."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


class Layers:
    """Adds up what the lines of a pull say of single layers.

    A layer's size is known once its download has begun. What is known counts for as much as it is
    of all layers, so that a small one that is here does not pass for the whole; the progress may
    fall when the size of a large one becomes known.
    """

    def __init__(self) -> None:
        self._announced: set[str] = set()
        self._sizes: dict[str, tuple[int, int]] = {}
        self.progress = Progress()

    def take(self, row: dict[str, Any]) -> bool:
        """Count one line; returns whether the progress has changed."""
        layer, status, detail = row.get("id"), row.get("status"), row.get("progressDetail")
        if not isinstance(layer, str):
            return False
        if status == "Pulling fs layer":
            self._announced.add(layer)
        elif status == "Downloading" and isinstance(detail, dict):
            done, total = detail.get("current"), detail.get("total")
            if isinstance(done, int) and isinstance(total, int) and 0 <= done <= total:
                self._sizes[layer] = (done, total)
        elif status in ("Download complete", "Pull complete"):
            self._announced.discard(layer)  # too small to be told of, unless its size is known
            if layer in self._sizes:
                total = self._sizes[layer][1]
                self._sizes[layer] = (total, total)
        before, self.progress = self.progress, self._now()
        return self.progress != before

    def _now(self) -> Progress:
        if not self._sizes:
            return Progress()
        done = sum(done for done, _ in self._sizes.values())
        total = sum(total for _, total in self._sizes.values())
        layers = len(self._announced | set(self._sizes))
        return Progress(done, total * layers // len(self._sizes))
