"""Each item, with a Whale or a site that is wrong in exactly that way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from preflight.stage import (
    ALL_OK,
    ALL_WISHES,
    ANOTHER_IMAGE,
    BOB,
    CATALOGUE,
    COUNTER,
    EVERY_ID,
    FROM_DATABASE,
    IMAGE,
    IN_DOCKER,
    MISSING,
    OWN,
    TOKENS,
    UNSEEN,
    WITH_COUNTER,
    BareCtfd,
    Setup,
    staged,
    states,
    validate,
)
from support.loopback import free_port

from engines.cre.runtimes.memory import MemoryRuntime
from fake_whale import FLAVOURS, FakeDialect, FakeWhale, TransactionIsolation, User, WhaleChallenge
from whale_ready.preflight.checks import run
from whale_ready.preflight.dialect import dialect as dialect_item
from whale_ready.preflight.items import ItemState
from whale_ready.preflight.report import preflight_of
from whale_ready.preflight.site import Wishes


def test_all_is_ok(tmp_path: Path) -> None:
    with staged(whale(held=True, wishes=WITH_COUNTER), tmp_path) as stage:
        site = stage.site()
        found = preflight_of(site, run(site))
        site.close()
        left = stage.fake.state()["services"]
    seen = {item.id: item.evidence for item in found.items if item.state is not ItemState.OK}
    assert set(seen) == IN_DOCKER, seen
    assert {item.id for item in found.items} == EVERY_ID
    assert found.exit_code == 2
    validate(json.loads(found.as_json()))
    assert left == []


@pytest.mark.parametrize("dialect", list(FakeDialect), ids=lambda dialect: dialect.value)
def test_all_is_ok_in_every_dialect(dialect: FakeDialect, tmp_path: Path) -> None:
    with staged(Setup(dialect=dialect), tmp_path) as stage:
        items = stage.items()
    assert states(items, ItemState.OK) == EVERY_ID - UNSEEN, items


@pytest.mark.parametrize(
    ("flavour", "setup", "state", "said"),
    [
        (None, {}, ItemState.OK, "holds one instance per user, as was seen"),
        (
            None,
            {"ending": False},
            ItemState.OK,
            "unknown while nothing runs: pin it with WHALE_SCOPE",
        ),
        (
            None,
            {"ending": False, "settings": {"whale_scope": "challenge"}},
            ItemState.OK,
            "holds one per challenge, by WHALE_SCOPE",
        ),
        (
            None,
            {"settings": {"whale_scope": "challenge"}},
            ItemState.NOT_OK,
            "was seen to hold one instance per user, where WHALE_SCOPE is challenge",
        ),
        ("matte23", {}, ItemState.NOT_OK, "GET tells only of its own challenge's instance"),
        ("scribblercoder", {}, ItemState.NOT_OK, "GET tells only of its own challenge's instance"),
        (
            "scribblercoder",
            {"settings": {"whale_scope": "challenge"}},
            ItemState.OK,
            "holds one per challenge, by WHALE_SCOPE",
        ),
    ],
)
def test_what_a_whale_holds_is_told_without_a_write(
    flavour: str | None, setup: dict[str, Any], state: ItemState, said: str, tmp_path: Path
) -> None:
    world = Setup().whale if flavour is None else replace(Setup().whale, flavour=FLAVOURS[flavour])
    with staged(whale(whale=world, **setup), tmp_path) as stage:
        before = len(stage.fake.journal())
        site = stage.site()
        found = dialect_item(site)
        site.close()
        asked = {each.get("method") for each in stage.fake.journal()[before:]}
    assert (found.state, said in found.evidence) == (state, True), found
    assert asked == {"GET"}


def test_what_the_catalogue_keeps_from_whale_is_not_compared(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    kept = '\n[[challenge]]\nid = 4\nname = "Ours"\nimage = "chal:1"\nwhale = false\n'
    file.write_text(CATALOGUE + kept, encoding="utf-8")
    with staged(whale(settings={"challenges_file": file}), tmp_path) as stage:
        items = stage.items()
    assert states(items, ItemState.OK) == EVERY_ID - UNSEEN, items


def whale(**fields: Any) -> Setup:
    """A site for a Whale that is another in some way."""
    return replace(Setup(), **fields)


AFTER_NO_START = {"answers", "admin-list", "redis"}
AFTER_NO_WHALE = (
    EVERY_ID - {"reachable", "tls", "clock", "health"} - IN_DOCKER - FROM_DATABASE - OWN
)
"""What is not seen when CTFd is there, and answers nothing of use."""

WRONG: dict[str, tuple[str, str, Setup, set[str]]] = {
    # What is wrong: the item that is not ok, what it says, how that comes about, and what cannot be
    # seen then.
    "the clocks differ": ("clock", "60 s ahead of ours", whale(behind=60.0), set()),
    "redis is down": (
        "health",
        "status 500",
        whale(faults=[{"kind": "redis_down"}]),
        AFTER_NO_WHALE,
    ),
    "a token is unknown": (
        "credentials",
        "refused: users 12",
        whale(tokens={**TOKENS, BOB: "ctfd_of_another_site"}),
        set(),
    ),
    "a token is somebody else's": (
        "credentials",
        "somebody else's: users 99",
        whale(tokens={**TOKENS, 99: "ctfd_of_bob"}).with_user(
            User(14, "bob2", token="ctfd_of_bob")
        ),
        set(),
    ),
    "another dialect is pinned": (
        "dialect",
        "and Whale speaks documented",
        whale(dialect=FakeDialect.DOCUMENTED, settings={"whale_dialect": "ctfd-whale"}),
        set(),
    ),
    "the plugin is not there": (
        "dialect",
        "status 404",
        whale(make=BareCtfd),
        AFTER_NO_WHALE - {"credentials", "dialect"},
    ),
    "something before CTFd answers in its place": (
        "dialect",
        "status 200, text/html",
        whale(faults=[{"kind": "html", "path": "*container"}]),
        AFTER_NO_WHALE - {"credentials", "dialect"},
    ),
    "CTFd is an older one": (
        "version",
        "CTFd 3.7.4",
        Setup().with_config(ctf_version="3.7.4"),
        set(),
    ),
    "a challenge is hidden on Whale": (
        "challenges-visible",
        "visible in the catalogue, not on Whale: challenges 2",
        Setup().with_challenge(2, state="hidden"),
        set(),
    ),
    "a challenge is open on Whale": (
        "challenges-visible",
        "visible on Whale, not in the catalogue: challenges 3",
        Setup().with_challenge(3, state="visible"),
        set(),
    ),
    "the images differ": (
        "challenges-images",
        "challenge 2: chal:1 here, chal:2 on Whale",
        Setup().with_challenge(2, image=ANOTHER_IMAGE),
        set(),
    ),
    "a challenge is of another type": (
        "challenges-images",
        "challenge 2 is none of ctfd-whale's",
        Setup().with_challenge(2, type="standard"),
        {"challenges-ports", "challenges-limits"},
    ),
    "the ports differ": (
        "challenges-ports",
        "challenge 2: 80/tcp here, 8080/tcp on Whale",
        Setup().with_challenge(2, redirect_port=8080),
        set(),
    ),
    "Whale has no port": (
        "challenges-ports",
        "challenge 2: 80/tcp here, none on Whale",
        Setup().with_challenge(2, redirect_port=None),
        set(),
    ),
    "the memory differs": (
        "challenges-limits",
        "128 MB, 0.5 CPUs here, 256 MB, 0.5 CPUs on Whale",
        Setup().with_challenge(2, memory_limit="256m"),
        set(),
    ),
    "the CPUs differ": (
        "challenges-limits",
        "128 MB, 0.5 CPUs here, 128 MB, 1 CPUs on Whale",
        Setup().with_challenge(2, cpu_limit=1.0),
        set(),
    ),
    "Whale's time-out differs": (
        "time-out",
        "docker_timeout is 1800",
        Setup().with_config(docker_timeout="1800"),
        set(),
    ),
    "our time-outs differ": (
        "time-out",
        "CRE_TIMEOUT_SECONDS is 1800",
        whale(settings={"cre_timeout_seconds": 1800}),
        set(),
    ),
    "Whale's renewals differ": (
        "renewals",
        "docker_max_renew_count is 3",
        Setup().with_config(docker_max_renew_count="3"),
        set(),
    ),
    "our renewals differ": (
        "renewals",
        "CRE_MAX_EXTENSIONS is 2",
        whale(settings={"cre_max_extensions": 2}),
        set(),
    ),
    "there is no room": (
        "capacity",
        "count is 2, by GET /api/v1/configs as user 1; Whale admits so many, or one more since",
        Setup().with_config(docker_max_container_count="2"),
        set(),
    ),
    "Docker refuses": (
        "orders",
        "failed: start_failed",
        whale(faults=[{"kind": "docker_error", "method": "POST"}]),
        AFTER_NO_START,
    ),
    "frpc is down": (
        "orders",
        "failed: start_failed",
        whale(faults=[{"kind": "frpc_down", "method": "POST"}]),
        AFTER_NO_START,
    ),
    "frpc is down when it is stopped": (
        "orders",
        "could not stop it",
        whale(faults=[{"kind": "frpc_down", "method": "DELETE"}]),
        set(),
    ),
    "no node has the image": (
        "answers",
        "did not answer at http://",
        whale(faults=[{"kind": "image_missing"}]),
        set(),
    ),
    "no node suits": (
        "answers",
        "did not answer at http://",
        whale(faults=[{"kind": "no_suitable_node"}]),
        set(),
    ),
    "there is no redis": (
        "redis",
        "passed at once: no lock was held",
        whale(redis=False),
        set(),
    ),
    "any number of our writes at once": (
        "parallel-writes",
        "WHALE_PARALLEL_WRITES is 0: any number at once",
        whale(settings={"whale_parallel_writes": 0}),
        set(),
    ),
    "several of our writes at once": (
        "parallel-writes",
        "up to 4 at once",
        whale(settings={"whale_parallel_writes": 4}),
        set(),
    ),
    "the settings page was saved and not opened": (
        "settings-page",
        "saved, and not opened since",
        Setup().with_config(refresh="MzkwM"),
        set(),
    ),
    "the list fails once a container runs": (
        "admin-list",
        "status 500 while a container runs",
        whale(make=FakeWhale),
        set(),
    ),
    "the cleaner fails": (
        "cleaner",
        "user 11's instance of challenge 1 is still there",
        whale(faults=[{"kind": "docker_error", "method": "CLEAN"}]),
        set(),
    ),
    "own engine: no fallback": (
        "fallback",
        "ROLLOUT_FALLBACK is false",
        whale(settings={"rollout_fallback": False}),
        set(),
    ),
    "own engine: no room": (
        "fallback",
        "CRE_CAPACITY is 2",
        whale(settings={"cre_capacity": 2}),
        set(),
    ),
    "own engine: an image is missing": (
        "fallback",
        "not here: chal:1",
        whale(runtime=MemoryRuntime({ANOTHER_IMAGE})),
        set(),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_one_thing_is_wrong(what: str, tmp_path: Path) -> None:
    wrong, said, setup, unseen = WRONG[what]
    with staged(setup, tmp_path) as stage:
        items = stage.items()
    told = {item.id: (item.state.value, item.evidence) for item in items.values()}
    assert states(items, ItemState.NOT_OK) == {wrong}, told
    assert states(items, ItemState.NOT_CHECKABLE) == unseen | UNSEEN, told
    assert said in items[wrong].evidence
    assert items[wrong].fix


DIRECT = WhaleChallenge(4, "Fourth", redirect_type="direct")
WITH_DIRECT = CATALOGUE + '\n[[challenge]]\nid = 4\nname = "Fourth"\nimage = "chal:1"\n'


def with_direct(tmp_path: Path, **changed: Any) -> Setup:
    """A site with a challenge on a port of its own."""
    file = tmp_path / "with_direct.toml"
    file.write_text(WITH_DIRECT, encoding="utf-8")
    challenges = [*ALL_OK.challenges, replace(DIRECT, **changed)]
    return whale(whale=replace(ALL_OK, challenges=challenges), settings={"challenges_file": file})


def test_one_of_each_redirect_type_is_tried(tmp_path: Path) -> None:
    with staged(with_direct(tmp_path), tmp_path) as stage:
        items = stage.items(whale_ready_seconds=1.8)
        left = stage.fake.state()["services"]
    assert items["answers"].state is ItemState.OK
    assert "challenge 1 for user 13 answered at http://" in items["answers"].evidence
    assert "challenge 4 for user 13 answered at tcp://" in items["answers"].evidence
    assert left == []


def test_the_other_redirect_type_does_not_answer(tmp_path: Path) -> None:
    setup = with_direct(tmp_path, image="no-such-image:1")
    with staged(replace(setup, ending=False), tmp_path) as stage:
        items = stage.items(whale_ready_seconds=1.8)
        left = stage.fake.state()["services"]
    assert items["answers"].state is ItemState.NOT_OK
    assert items["answers"].evidence.startswith("challenge 4 for user 13 did not answer at tcp://")
    assert left == []


def test_a_redirect_type_that_was_not_tried_is_named(tmp_path: Path) -> None:
    wishes = replace(ALL_WISHES, probe_challenges=(1,), probe_missing=(MISSING,))
    with staged(replace(with_direct(tmp_path), wishes=wishes), tmp_path) as stage:
        items = stage.items()
    for item in (items["answers"], items["counter-proof"]):
        assert (item.state, "Whale has direct challenges too" in item.evidence) == (
            ItemState.NOT_CHECKABLE,
            True,
        ), item


@pytest.mark.parametrize(
    ("seconds", "not_ok"),
    [(1.1, {"resolver"}), (1.6, {"counter-proof", "resolver"})],
    ids=["slow", "so slow that it is taken for an answer"],
)
def test_a_slow_resolver(seconds: float, not_ok: set[str], tmp_path: Path) -> None:
    setup = whale(wishes=WITH_COUNTER, instances={"resolver_delay": seconds}, ending=False)
    with staged(setup, tmp_path) as stage:
        items = stage.items(whale_ready_seconds=2.2)
    assert states(items, ItemState.NOT_OK) == not_ok, items
    assert f"was closed after {seconds:.1f}" in items["resolver"].evidence


def test_a_probe_without_limits_to_meet_does_not_say_that_there_are_locks(tmp_path: Path) -> None:
    with staged(Setup().with_config(docker_max_renew_count="9"), tmp_path) as stage:
        items = stage.items()
    assert items["redis"].state is ItemState.NOT_CHECKABLE


@pytest.mark.parametrize("probed", [True, False])
def test_a_settings_page_that_was_never_saved(probed: bool, tmp_path: Path) -> None:
    setup = Setup().with_config(refresh="")
    if not probed:
        setup = replace(setup, wishes=Wishes(admin=1))
    with staged(setup, tmp_path) as stage:
        found = stage.items()["settings-page"]
    assert found.state is (ItemState.OK if probed else ItemState.NOT_CHECKABLE)
    assert probed or "settings page as an admin" in found.fix


def test_calls_wait_in_line(tmp_path: Path) -> None:
    with staged(whale(held=True, threads=1), tmp_path) as stage:
        items = stage.items()
    assert states(items, ItemState.NOT_OK) == {"self-call"}, items
    assert states(items, ItemState.NOT_CHECKABLE) == UNSEEN - {"self-call"}, items


def test_requests_do_not_see_each_other(tmp_path: Path) -> None:
    with staged(
        whale(held=True, isolation=TransactionIsolation.REPEATABLE_READ), tmp_path
    ) as stage:
        items = stage.items()
        left = stage.fake.state()["services"]
    assert states(items, ItemState.NOT_OK) == {"isolation"}, items
    assert states(items, ItemState.NOT_CHECKABLE) == IN_DOCKER | COUNTER, items
    assert "1 of two renewals" in items["isolation"].evidence
    assert left == [], "the probe has made the very orphan that it warns of"


def test_the_own_engine_is_down(tmp_path: Path) -> None:
    runtime = MemoryRuntime({IMAGE})
    with runtime.outage(), staged(whale(runtime=runtime), tmp_path) as stage:
        items = stage.items()
    assert states(items, ItemState.NOT_OK) == {"fallback"}


def test_a_legacy_whale_that_hides_the_first_challenge(tmp_path: Path) -> None:
    setup = whale(dialect=FakeDialect.LEGACY, ending=False, wishes=Wishes())
    with staged(setup.with_challenge(1, state="hidden"), tmp_path) as stage:
        items = stage.items()
    assert items["dialect"].state is ItemState.OK
    assert states(items, ItemState.NOT_OK) == {"challenges-visible"}


def test_nobody_answers(tmp_path: Path) -> None:
    with staged(Setup(), tmp_path) as stage:
        items = stage.items(whale_api_url=f"http://127.0.0.1:{free_port()}")
    assert states(items, ItemState.NOT_OK) == {"reachable"}
    assert states(items, ItemState.OK) == {"tls", *OWN, *FROM_DATABASE}
    assert "Connection refused" in items["reachable"].evidence


def test_a_name_that_is_not_known(tmp_path: Path) -> None:
    with staged(Setup(), tmp_path) as stage:
        items = stage.items(whale_api_url="http://no-such-host.invalid")
    assert states(items, ItemState.NOT_OK) == {"reachable", "tls"}
    assert "plain http" in items["tls"].evidence
