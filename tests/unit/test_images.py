"""When images are pulled, by whom, and what those who wait are told; no engine is asked here."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import docker
import pytest
from werkzeug.serving import make_server

from engines.catalog import Pull
from engines.cre.image_pull import Canceller, Layers, Progress, Tell, pull_image, reason
from engines.cre.images import PAUSE_SECONDS, Images
from engines.errors import BackendUnavailable, ImageComing, ImageMissing


class Registry:
    """Pulls that end when they are told how."""

    def __init__(self) -> None:
        self.begun = 0
        self.tell: Tell | None = None
        self.at_work = threading.Event()
        self._end: Exception | None = None
        self._told = threading.Event()
        self.now = 0.0
        self.images = Images(self.pull, monotonic=lambda: self.now)

    def pull(self, image: str, tell: Tell, canceller: Canceller) -> None:
        self.begun += 1
        self.tell = tell
        self.at_work.set()
        while not self._told.wait(0.01):
            if canceller.told:
                raise ImageMissing("the pull was cancelled")
        self._told.clear()
        if self._end is not None:
            raise self._end

    def end(self, error: Exception | None = None) -> None:
        """Let the pull at work end and wait until that is known."""
        self._end = error
        self._told.set()
        for thread in threading.enumerate():
            if thread.name.startswith("pull "):
                thread.join(10)


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.images.close()


def comes(registry: Registry, pull: Pull = Pull.MISSING) -> ImageComing:
    with pytest.raises(ImageComing) as caught:
        registry.images.missing("i", pull)
    return caught.value


def missing(registry: Registry, pull: Pull = Pull.MISSING) -> None:
    with pytest.raises(ImageMissing):
        registry.images.missing("i", pull)


def test_never_is_never(registry: Registry) -> None:
    registry.images.before("i", Pull.NEVER)
    missing(registry, Pull.NEVER)
    assert registry.begun == 0


def test_those_who_come_meanwhile_share_one_pull_and_are_told_how_far_it_is(
    registry: Registry,
) -> None:
    registry.images.before("i", Pull.MISSING)
    assert (comes(registry).progress, comes(registry).retry_after) == ("", 5.0)
    assert registry.at_work.wait(10)
    assert registry.tell is not None
    registry.now = 10.0
    registry.tell(Progress(50, 100))
    coming = comes(registry)
    assert (coming.progress, coming.retry_after) == ("50 %", 10.0)
    registry.tell(Progress(1, 1000))
    assert comes(registry).retry_after == 30.0
    registry.tell(Progress(100, 100))
    assert (comes(registry).progress, comes(registry).retry_after) == ("99 %", 2.0)
    assert registry.begun == 1


def test_an_image_that_goes_again_is_pulled_again(registry: Registry) -> None:
    comes(registry)
    registry.end()
    comes(registry)
    registry.end()
    assert registry.begun == 2


def test_a_failure_is_believed_for_a_while(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    comes(registry)
    registry.now = 100
    registry.end(ImageMissing("manifest unknown"))
    assert "image i could not be pulled: manifest unknown" in caplog.text
    registry.now = 100 + PAUSE_SECONDS - 1
    missing(registry)
    assert registry.begun == 1
    registry.now = 100 + PAUSE_SECONDS
    comes(registry)
    registry.end()
    assert registry.begun == 2


def test_an_engine_that_is_away_says_nothing_of_the_image(registry: Registry) -> None:
    comes(registry)
    registry.end(BackendUnavailable("the Docker engine cannot be reached"))
    comes(registry)


def test_an_error_nobody_thought_of_is_logged_without_its_text(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    comes(registry)
    registry.end(RuntimeError("X-Registry-Auth: abc"))
    missing(registry)
    assert "RuntimeError" in caplog.text
    assert "abc" not in caplog.text


def test_always_is_once_per_process_and_first(registry: Registry) -> None:
    for _ in range(2):
        with pytest.raises(ImageComing):
            registry.images.before("i", Pull.ALWAYS)
    registry.end()
    for _ in range(2):
        registry.images.before("i", Pull.ALWAYS)
    assert registry.begun == 1


def test_always_uses_what_is_there_while_the_registry_is_down(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ImageComing):
        registry.images.before("i", Pull.ALWAYS)
    registry.end(ImageMissing("no route to host"))
    for _ in range(2):
        registry.images.before("i", Pull.ALWAYS)
        assert caplog.text.count("was not pulled anew") == 1
    missing(registry, Pull.ALWAYS)
    # Tried again beside starts that go on.
    registry.now = PAUSE_SECONDS
    registry.images.before("i", Pull.ALWAYS)
    comes(registry, Pull.ALWAYS)
    registry.end()
    assert registry.begun == 2


def test_what_is_gone_again_is_waited_for_although_it_was_there_once(registry: Registry) -> None:
    with pytest.raises(ImageComing):
        registry.images.before("i", Pull.ALWAYS)
    registry.end()
    comes(registry, Pull.ALWAYS)
    with pytest.raises(ImageComing):
        registry.images.before("i", Pull.ALWAYS)


@contextmanager
def docker_engine(status: str, *lines: dict[str, object]) -> Iterator[docker.APIClient]:
    """A client of an engine that answers every pull with these lines."""

    def answer(_environ: object, start: Callable[..., object]) -> Iterable[bytes]:
        start(status, [("Content-Type", "application/json")])
        return [json.dumps(line).encode() + b"\n" for line in lines]

    server = make_server("127.0.0.1", 0, answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = docker.APIClient(f"tcp://127.0.0.1:{server.server_port}", version="1.41")
    try:
        yield client
    finally:
        client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_pull_tells_its_progress_as_it_goes() -> None:
    lines = [
        {"id": "a", "status": "Downloading", "progressDetail": {"current": part, "total": 4}}
        for part in (1, 2, 4)
    ]
    told: list[str] = []
    with docker_engine("200 OK", *lines) as api:
        pull_image(api, "web:1", lambda progress: told.append(str(progress)))
    assert told == ["25 %", "50 %", "99 %"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"message": "manifest unknown"}, "^manifest unknown$"),
        ({"error": "?"}, "^the Docker engine answered 404$"),
    ],
)
def test_an_engine_that_refuses_a_pull_is_quoted(answer: dict[str, object], said: str) -> None:
    with docker_engine("404 NOT FOUND", answer) as api, pytest.raises(ImageMissing, match=said):
        pull_image(api, "web:1", lambda _progress: None)


def test_closing_breaks_off_what_is_at_work(registry: Registry) -> None:
    comes(registry)
    registry.images.close()
    assert not [each for each in threading.enumerate() if each.name == "pull i"]
    registry.now = PAUSE_SECONDS
    missing(registry)


def test_progress_counts_layers_whose_size_is_not_known_yet() -> None:
    layers = Layers()

    def line(layer: object, status: str, done: object = None, total: object = None) -> str:
        detail = {} if done is None else {"current": done, "total": total}
        layers.take({"id": layer, "status": status, "progressDetail": detail})
        return str(layers.progress)

    for layer in ("small", "big", "tiny"):
        assert line(layer, "Pulling fs layer") == ""
    assert line("small", "Downloading", 100, 100) == "33 %"
    assert line("tiny", "Download complete") == "50 %"  # no size was told
    assert line("big", "Downloading", 0, 900) == "10 %"
    assert line("big", "Downloading", 400, 900) == "50 %"
    assert line("big", "Extracting", 5, 900) == "50 %"
    assert line("big", "Download complete") == "99 %"
    assert line("small", "Pull complete") == "99 %"


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"id": 5, "status": "Downloading"},
        {"id": "a", "status": "Downloading"},
        {"id": "a", "status": "Downloading", "progressDetail": []},
        {"id": "a", "status": "Downloading", "progressDetail": {"current": "1", "total": None}},
        {"id": "a", "status": "Downloading", "progressDetail": {"current": -1, "total": 5}},
        {"id": "a", "status": "Downloading", "progressDetail": {"current": 9, "total": 5}},
        {"id": "a", "status": "Download complete"},
    ],
)
def test_odd_lines_count_for_nothing(row: dict[str, object]) -> None:
    layers = Layers()
    assert not layers.take(row)
    assert layers.progress == Progress()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no reason given"),
        ("denied\nmore", "denied"),
        ("get https://a:b@r/v2/x?token=c: no", "get https://r/v2/x no"),
        ("x" * 999, "x" * 200),
    ],
)
def test_a_registry_s_reason_is_one_line_without_what_an_address_carries(
    text: str, said: str
) -> None:
    assert reason(text) == said
