"""Every code has its HTTP status, and every answer the same five keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.web_site import Site, Swappable, site_app, site_of

from conformance.harnesses.cre import MemoryWorld
from engines.contract import (
    ActionResult,
    Capabilities,
    Code,
    ContainerBackend,
    InstanceStatus,
    StartResult,
)
from engines.errors import BackendUnavailable
from engines.web import KEYS, RETRY_SECONDS, STATUSES, WebCode

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"
WAITS = {Code.BUSY, Code.RATE_LIMITED}
SUCCESSES = (Code.OK, Code.ALREADY_RUNNING)
ONLY_AN_ORGANISER_HELPS = {Code.IMAGE_MISSING, Code.START_FAILED}
SECRET = "hunter2-in-a-traceback"


class Says(ContainerBackend):
    """Refuses everything with one code; no real backend can be brought to say each of them."""

    def __init__(
        self,
        real: ContainerBackend,
        code: Code,
        retry_after: float | None,
        *,
        definite: bool = True,
    ) -> None:
        self._real = real
        self._code = code
        self._retry_after = retry_after
        self._definite = definite

    @property
    def name(self) -> str:
        return "says"

    @property
    def capabilities(self) -> Capabilities:
        return self._real.capabilities

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        return StartResult(
            False, "No", code=self._code, retry_after=self._retry_after, definite=self._definite
        )

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        return ActionResult(
            False, "No", code=self._code, retry_after=self._retry_after, definite=self._definite
        )

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        return self.extend_instance(user_id, challenge_id, team_id)

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        raise BackendUnavailable("out of reach")


class OnRecord(Says):
    """Out of reach, with an instance on record, or a start that nobody knows the end of."""

    known: InstanceStatus | None = None

    def holds(self, user_id: int, challenge_id: int, team_id: int | None = None) -> bool:
        return challenge_id == 1

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        return self.known if challenge_id == 1 else None


class NoRecords(OnRecord):
    """Out of reach, and so are its records."""

    def holds(self, user_id: int, challenge_id: int, team_id: int | None = None) -> bool:
        raise BackendUnavailable("the state database cannot be read")

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        raise BackendUnavailable("the state database cannot be read")


class Raises(Says):
    """A third party's backend that does not keep the contract."""

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        raise RuntimeError(SECRET)

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        raise KeyError(SECRET)

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        raise OSError(SECRET)


class ExtendsUnseen(OnRecord):
    """Goes out of reach right after an extend."""

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        return ActionResult(True, "Extended", code=Code.OK)


@pytest.fixture
def provider(cre_world: MemoryWorld) -> Swappable:
    return Swappable(cre_world.backend)


@pytest.fixture
def site(provider: Swappable) -> Iterator[Site]:
    with site_of(site_app(provider)) as served:
        yield served


def test_every_code_has_a_status_and_no_two_codes_are_the_same() -> None:
    assert set(STATUSES) == {*Code, *WebCode}
    assert not {code.value for code in Code} & {code.value for code in WebCode}


def test_what_may_work_later_says_when() -> None:
    later = {code for code, status in STATUSES.items() if status in (429, 503)}
    later |= {Code.BUSY, WebCode.LAST_KNOWN, WebCode.OUT_OF_REACH}
    assert set(RETRY_SECONDS) == later - ONLY_AN_ORGANISER_HELPS


def test_500_is_a_fault_of_ours_and_nothing_else() -> None:
    assert {code for code, status in STATUSES.items() if status == 500} == {Code.INTERNAL}


def test_the_page_has_the_table() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}(?: or \d{3})?) \|", PAGE.read_text(), re.M)
    expected = {code.value: str(status) for code, status in STATUSES.items()}
    expected[Code.OK.value] = "201 or 200"
    assert dict(rows) == expected
    assert len(rows) == len(expected)


@pytest.mark.parametrize("code", [code for code in Code if code not in SUCCESSES])
def test_a_refusal_is_answered_by_the_table(site: Site, provider: Swappable, code: Code) -> None:
    provider.backend = Says(provider.backend, code, None)

    for action in ("start", "extend", "stop"):
        reply = site.post("alice", action, {"challenge_id": 1})

        assert reply.status == STATUSES[code]
        assert tuple(reply.body) == KEYS
        told = reply.body["success"], reply.body["code"], reply.body["data"]
        assert told == (False, code.value, None)
        waits = code in RETRY_SECONDS
        assert (reply.body["retry_after"] is not None) is waits
        assert reply.headers.get("Retry-After") == (
            str(reply.body["retry_after"]) if waits else None
        )


def test_waiting_is_told_in_whole_seconds_rounded_up(site: Site, provider: Swappable) -> None:
    provider.backend = Says(provider.backend, Code.BUSY, 0.2)
    assert site.post("alice", "start", {"challenge_id": 1}).headers["Retry-After"] == "1"

    provider.backend = Says(provider.backend, Code.RATE_LIMITED, 12.1)
    reply = site.post("alice", "start", {"challenge_id": 1})
    assert (reply.body["retry_after"], reply.headers["Retry-After"]) == (13, "13")


def test_a_status_that_cannot_be_asked_is_503(site: Site, provider: Swappable) -> None:
    provider.backend = Says(provider.backend, Code.UNAVAILABLE, None)

    reply = site.get("alice", "status?challenge_id=1")

    assert (reply.status, reply.body["code"]) == (503, "unavailable")
    assert int(reply.headers["Retry-After"]) >= 1


def asked(site: Site, challenge: int = 1) -> dict[str, tuple[int, str]]:
    """What each call is answered, of one that says when to come back."""
    replies = {
        "status": site.get("alice", f"status?challenge_id={challenge}"),
        **{
            action: site.post("alice", action, {"challenge_id": challenge})
            for action in ("start", "extend", "stop")
        },
    }
    for reply in replies.values():
        assert int(reply.headers["Retry-After"]) == reply.body["retry_after"] >= 1
    return {what: (reply.status, reply.body["code"]) for what, reply in replies.items()}


def test_what_is_on_record_is_shown_and_is_out_of_reach(site: Site, provider: Swappable) -> None:
    assert site.post("alice", "start", {"challenge_id": 1}).status == 201
    live = site.get("alice", "status?challenge_id=1").body["data"]
    provider.backend = backend = OnRecord(provider.backend, Code.UNAVAILABLE, None)
    backend.known = live

    told = asked(site)

    assert told.pop("status") == (200, "last_known")
    assert set(told.values()) == {(409, "out_of_reach")}
    reply = site.get("alice", "status?challenge_id=1")
    assert (reply.body["success"], reply.body["data"]) == (True, live)
    assert set(asked(site, 2).values()) == {(503, "unavailable")}, "of this nothing is on record"


def test_what_may_have_been_started_is_out_of_reach_and_is_not_told_as_nothing(
    site: Site, provider: Swappable
) -> None:
    provider.backend = OnRecord(provider.backend, Code.UNAVAILABLE, None)
    assert set(asked(site).values()) == {(409, "out_of_reach")}


def test_without_its_records_a_backend_is_unavailable(site: Site, provider: Swappable) -> None:
    provider.backend = NoRecords(provider.backend, Code.UNAVAILABLE, None)
    assert set(asked(site).values()) == {(503, "unavailable")}


def test_an_outcome_that_is_not_known_is_out_of_reach(site: Site, provider: Swappable) -> None:
    provider.backend = Says(provider.backend, Code.UNAVAILABLE, None, definite=False)
    told = asked(site)
    assert told.pop("status") == (503, "unavailable")
    assert set(told.values()) == {(409, "out_of_reach")}


def test_an_extend_is_shown_as_on_record_when_nobody_can_look_afterwards(
    site: Site, provider: Swappable
) -> None:
    assert site.post("alice", "start", {"challenge_id": 1}).status == 201
    live = site.get("alice", "status?challenge_id=1").body["data"]
    provider.backend = backend = ExtendsUnseen(provider.backend, Code.OK, None)
    backend.known = live

    reply = site.post("alice", "extend", {"challenge_id": 1})

    assert (reply.status, reply.body["code"], reply.body["data"]) == (200, "ok", live)


def test_an_extend_counts_even_when_nobody_can_look_afterwards(
    site: Site, provider: Swappable
) -> None:
    provider.backend = ExtendsUnseen(provider.backend, Code.OK, None)

    reply = site.post("alice", "extend", {"challenge_id": 1})

    assert (reply.status, reply.body["success"], reply.body["data"]) == (200, True, None)


@pytest.mark.parametrize(("challenge", "code"), [(4, "image_missing"), (5, "start_failed")])
def test_a_challenge_that_cannot_run_is_503_and_no_waiting_helps(
    site: Site, challenge: int, code: str
) -> None:
    reply = site.post("alice", "start", {"challenge_id": challenge})

    assert (reply.status, reply.body["code"], reply.body["retry_after"]) == (503, code, None)
    assert "Retry-After" not in reply.headers
    assert "organiser" in reply.body["message"], "who can help"


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("start", "RuntimeError"),
        ("extend", "KeyError"),
        ("stop", "KeyError"),
        ("status", "OSError"),
    ],
)
def test_an_exception_is_500_and_tells_nothing(
    site: Site, provider: Swappable, caplog: pytest.LogCaptureFixture, action: str, kind: str
) -> None:
    provider.backend = Raises(provider.backend, Code.OK, None)

    reply = (
        site.get("alice", "status?challenge_id=1")
        if action == "status"
        else site.post("alice", action, {"challenge_id": 1})
    )

    assert (reply.status, reply.body["code"]) == (500, "internal")
    assert tuple(reply.body) == KEYS
    assert kind in caplog.text, "the organiser sees what it was"
    for text in (reply.text, caplog.text):
        assert SECRET not in text
        assert "Traceback" not in text


def test_a_backend_that_cannot_be_had_is_503(cre_world: MemoryWorld) -> None:
    def provider() -> ContainerBackend:
        raise BackendUnavailable("no database")

    with site_of(site_app(provider)) as site:
        assert site.post("alice", "start", {"challenge_id": 1}).status == 503
        assert site.get("alice", "status?challenge_id=1").status == 503


def test_no_answer_is_kept_on_the_way(site: Site) -> None:
    for reply in (
        site.get("alice", "status?challenge_id=1"),
        site.get(None, "status?challenge_id=1"),
        site.post("alice", "start", {"challenge_id": 1}),
        site.get("alice", "nothing-here"),
    ):
        assert reply.headers["Cache-Control"] == "no-store"


def test_a_fresh_start_says_where_its_status_is(site: Site) -> None:
    reply = site.post("alice", "start", {"challenge_id": 1})

    assert reply.status == 201
    shown = site.get("alice", reply.headers["Location"])
    assert shown.body["data"] == reply.body["data"]
