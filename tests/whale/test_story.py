"""Random stories of several users and two teams, told to the adapter and to a model of it.

Whatever is called, and in whatever order, the adapter must answer as the model says, and what runs
on the fake Whale must be what the model holds. One machine tells stories in which nothing breaks;
in the other any call may meet a fault. There the model takes what is true on the fake for what
happened, and for a while allows "busy"; it never allows a wrong yes, a wrong no or a leftover.

With ``CI`` set the two machines go at least 20 000 steps together, half each.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, note
from hypothesis import settings as story_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from whale.model import Held, Model
from whale.rig import (
    DIRECT,
    DIRECT_HOST,
    HIDDEN,
    HTTP,
    HTTP_PORT,
    SUFFIX,
    UNKNOWN,
    VISIBLE,
    FakesClock,
    Player,
    credentials,
    fake_whale,
    settings,
)

from engines import replies
from engines.audit import Action
from engines.contract import ActionResult, Code, InstanceStatus, StartResult
from engines.errors import BackendUnavailable
from engines.front import Call
from engines.state.database import Database, metadata
from engines.state.instances import Instance
from engines.whale import WhaleAPIManager, client
from fake_whale import FakeServer, FakeWhale, VirtualEpochClock

ALICE, BOB = Player("ALICE", 11), Player("BOB", 12)
MATE, OTHER_MATE = Player("MATE", 21, 2), Player("OTHER_MATE", 22, 2)
RIVAL, OTHER_RIVAL = Player("RIVAL", 31, 3), Player("OTHER_RIVAL", 32, 3)
MATE_ALONE, RIVAL_ALONE = Player("MATE_ALONE", 21), Player("RIVAL_ALONE", 31)
PLAYERS = (ALICE, MATE, OTHER_MATE, MATE_ALONE, BOB, RIVAL, OTHER_RIVAL, RIVAL_ALONE)
"""The ones alone are players of a team who call without it: one more account, the same user."""

TIMEOUT, MOST_EXTENSIONS = 3600, 2
SETTLE_SECONDS = 120
STEPS_IN_A_STORY = 50
LEAST_STEPS = 10_000
STORIES = int(os.environ.get("WHALE_READY_STORIES", 280 if os.environ.get("CI") else 40))
BLUR_SECONDS = 3.0
"""How far the adapter's times may be off for an instance it did not see change."""

players = st.sampled_from(PLAYERS)
challenges = st.sampled_from((*VISIBLE, HTTP, DIRECT, HIDDEN, UNKNOWN))
KINDS = ("start", "extend", "stop", "status")
again = st.sampled_from(("start", "stop", "extend", "status"))
about_what_runs = st.sampled_from(("extend", "status", "stop", "start", "extend", "extend"))


@dataclass(frozen=True)
class Trouble:
    """A fault for one call."""

    kind: str
    method: str | None = None
    when: str = "after"
    count: int | None = 1
    probability: float = 1

    def as_fault(self) -> dict[str, object]:
        at_once = self.kind == "refuse" and self.method is self.count is None
        return {**asdict(self), "seconds": 60 if at_once and self.probability == 1 else 0}


TRANSPORT = (
    "reset_before_headers",
    "reset_after_headers",
    "half_body",
    "empty_reply",
    "wrong_content_length",
    "html",
    "bad_gateway",
    "refuse",
)
INSIDE = ("docker_refused", "docker_error", "redis_down", "frpc_down")
METHODS = {"start": "POST", "extend": "PATCH", "stop": "DELETE"}
TROUBLED = {Code.UNAVAILABLE, Code.BUSY, Code.RATE_LIMITED}
"""How a call may be refused that met a fault; a start may fail besides."""
counts = st.sampled_from((1, None, 2))
troubles = st.one_of(
    st.builds(
        Trouble,
        st.sampled_from(TRANSPORT),
        method=st.sampled_from(("GET", "POST", "PATCH", "DELETE", None)),
        when=st.sampled_from(("after", "before")),
        count=counts,
    ),
    st.builds(Trouble, st.sampled_from(INSIDE), count=counts),
    # A look that is answered, then a write whose answer is lost, then looks that are not answered.
    st.builds(
        Trouble,
        st.sampled_from(TRANSPORT),
        when=st.sampled_from(("after", "before")),
        count=st.none(),
        probability=st.sampled_from((0.8, 0.5)),
    ),
)


class Stage:
    """One fake, its server and a database, for all stories of this module."""

    def __init__(self, folder: Path) -> None:
        self.fake: FakeWhale = fake_whale(
            PLAYERS, VirtualEpochClock(), timeout=TIMEOUT, renewals=MOST_EXTENSIONS
        )
        self.server: FakeServer = self.fake.serve()
        self.settings = settings(
            self.server.url, folder / "state.db", timeout=TIMEOUT, renewals=MOST_EXTENSIONS
        )
        self.database = Database(self.settings.state_url)
        self.database.ensure_schema()
        self._began = self.fake.clock.time()

    def begin(self, manager: type[WhaleAPIManager]) -> WhaleAPIManager:
        """An empty Whale at the same time of the same day, and a fresh adapter."""
        clock = self.fake.clock
        assert isinstance(clock, VirtualEpochClock)
        clock.set_back(clock.time() - self._began)
        self.fake.reset()
        with self.database.write() as connection:
            for table in metadata.sorted_tables:
                connection.execute(table.delete())
        return manager(
            self.settings,
            credentials=credentials(PLAYERS),
            database=self.database,
            clock=FakesClock(self.fake),
        )

    def close(self) -> None:
        self.server.close()
        self.database.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("story"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client, "BACK_OFF_SECONDS", 0.001)
        yield stage
    stage.close()


class Story(RuleBasedStateMachine):
    """Calls to the adapter, each compared with the model."""

    steps: ClassVar[Counter[str]] = Counter()

    def __init__(self, stage: Stage, adapter: type[WhaleAPIManager] = WhaleAPIManager) -> None:
        super().__init__()
        self.fake = stage.fake
        self.adapter = stage.begin(adapter)
        self.model = Model(visible=VISIBLE, timeout=TIMEOUT, most=MOST_EXTENSIONS)
        self.uuids: set[str] = set()
        self.unsettled: dict[tuple[str, int], float] = {}
        """For which account and user the outcome of a write was not known, and until when."""
        self.last: tuple[Player, int] | None = None

    def teardown(self) -> None:
        self.adapter.close()

    # The steps.

    @rule(player=players, challenge=challenges)
    def start(self, player: Player, challenge: int) -> None:
        self._call("start", player, challenge)

    @rule(player=players, challenge=challenges)
    def extend(self, player: Player, challenge: int) -> None:
        self._call("extend", player, challenge)

    @rule(player=players, challenge=challenges)
    def stop(self, player: Player, challenge: int) -> None:
        self._call("stop", player, challenge)

    @rule(player=players, challenge=challenges)
    def status(self, player: Player, challenge: int) -> None:
        self._call("status", player, challenge)

    @precondition(lambda story: story.model.lives())
    @rule(kind=about_what_runs, which=st.integers(0, 3), mate=st.booleans())
    def call_about_what_runs(self, kind: str, which: int, mate: bool) -> None:
        """As the calls above, about one of the live instances, by whom it belongs to."""
        self._call_about_what_runs(kind, which, mate)

    @precondition(lambda story: story.last is not None)
    @rule(kind=again, mate=st.booleans())
    def call_about_the_same(self, kind: str, mate: bool) -> None:
        """As the calls above, about what the last one was about, by whom its account belongs to."""
        assert self.last is not None
        player, challenge = self.last
        self._call(kind, _owner(player.account, mate), challenge)

    @rule(seconds=st.sampled_from((1, 0.5, 12, 60, 130, 600, 1800)))
    def advance(self, seconds: float) -> None:
        self.steps["advance"] += 1
        self.fake.clock.advance(seconds)
        self._agree()

    @precondition(lambda story: story.model.lives())
    @rule(past=st.sampled_from((0, -1, -0.5, 0.5, 1, 11)))
    def advance_to_the_next_expiry(self, past: float) -> None:
        self.steps["advance"] += 1
        now = self.fake.clock.time()
        left = [held.expires_at + past - now for held in self.model.held.values()]
        self.fake.clock.advance(min((each for each in left if each > 0), default=0.0))
        self._agree()

    @rule()
    def run_the_worker(self) -> None:
        self._work()

    # How a step is judged.

    def _call_about_what_runs(
        self, kind: str, which: int, mate: bool, trouble: Trouble | None = None
    ) -> None:
        lives = self.model.lives()
        held = lives[which % len(lives)]
        self._call(kind, _owner(held.account, mate), held.challenge, trouble)

    def _call(
        self, kind: str, player: Player, challenge: int, trouble: Trouble | None = None
    ) -> None:
        self.last = player, challenge
        self._keep_off_edges()
        self.model.now = self.fake.clock.time()
        disturbed = trouble is not None or self._disturbed(player.account, player.user_id)
        expected = self._expected(kind, player, challenge)
        if trouble is not None:
            self.fake.inject(trouble.as_fault())
        told = self._told(kind, player, challenge)
        if trouble is not None:
            self.fake.lift_faults()
        note(f"# {kind} of challenge {challenge} by {player}: {_short(told)}")
        self.model.now = self.fake.clock.time()
        expected |= self._expected(kind, player, challenge)
        if isinstance(told, (StartResult, ActionResult)):
            self.steps[f"{kind} {told.code.value}"] += 1
            self._judge(kind, player, challenge, told, expected, trouble, disturbed)
        else:
            self.steps[f"{kind} {'none' if told is None else 'shown'}"] += 1
            assert told != "unavailable" or trouble is not None, "Whale could be asked"
            if told != "unavailable":
                self._same(told, player, challenge)
        self._agree()

    def _told(self, kind: str, player: Player, challenge: int) -> Any:
        user_id, team_id = player.ids
        if kind == "status":
            try:
                return self.adapter.get_instance_status(user_id, challenge, team_id)
            except BackendUnavailable:
                return "unavailable"
        return getattr(self.adapter, f"{kind}_instance")(user_id, challenge, team_id)

    def _expected(self, kind: str, player: Player, challenge: int) -> set[Code]:
        if kind == "status":
            return set()
        code: Code = getattr(self.model, kind)(player, challenge)
        held = self.model.of(player, challenge)
        if kind == "extend" and held is not None and held.counted != held.renewed:
            # Whale may count a renewal that the adapter never heard of.
            return {code, Code.EXTENSION_LIMIT} if held.renewed >= MOST_EXTENSIONS else {code}
        return {code}

    def _judge(
        self,
        kind: str,
        player: Player,
        challenge: int,
        told: StartResult | ActionResult,
        expected: set[Code],
        trouble: Trouble | None,
        disturbed: bool,
    ) -> None:
        happened = Code.OK in expected and self._follow(kind, player, challenge)
        if told.ok:
            resumed = kind == "start" and disturbed and Code.ALREADY_RUNNING in expected
            assert told.code in expected or (told.code is Code.OK and resumed), expected
            assert told.definite
            assert happened is (told.code is Code.OK and not resumed), (
                "a yes to what did not happen"
            )
            for key in [key for key in self.unsettled if key[0] == player.account]:
                del self.unsettled[key]
            if isinstance(told, StartResult):
                self._same(told.instance, player, challenge)
            elif kind == "extend":
                self.model.held[player.account].counted += 1
            return
        refusals = set(expected)
        if trouble is not None:
            refusals |= TROUBLED | ({Code.START_FAILED} if kind == "start" else set())
        elif disturbed:
            refusals |= {Code.BUSY, Code.RATE_LIMITED}
        assert told.code in refusals - {Code.OK}, f"{told}, but expected was {expected}"
        assert told.retry_after is None or told.retry_after > 0
        if isinstance(told, StartResult):
            assert told.instance == {}
        if told.definite:
            assert not happened, "a definite no to what did happen"
            return
        assert trouble is not None, "nothing broke, so the outcome must be known"
        self._leave_unsettled(player.account, player.user_id)
        held = self.model.held.get(player.account)
        if happened and held is not None:
            held.blurred = True

    def _follow(self, kind: str, player: Player, challenge: int) -> bool:
        """Whether Whale did what was asked; if so the model does it too."""
        held = self.model.of(player, challenge)
        records = self._records()
        if kind == "start":
            record = records.get(player.user_id)
            if record is None or record["uuid"] in self.uuids:
                return False
            assert record["challenge_id"] == challenge
            self.uuids.add(record["uuid"])
            self.model.started(player, challenge, record["uuid"], _address(record))
            return True
        if held is None:
            return False
        record = records.get(held.owner)
        if kind == "stop":
            if record is not None:
                return False
            self.model.stopped(player)
        else:
            if record is None or record["renew_count"] == held.renewed:
                return False
            self.model.renewed(player)
        return True

    def _same(
        self, told: InstanceStatus | dict[str, Any] | None, player: Player, challenge: int
    ) -> None:
        """What is shown is what the model holds."""
        held = self.model.of(player, challenge)
        if told is not None and held is not None and held.blurred:
            told = self._sharpened(dict(told), held)
        assert told == self.model.status(player, challenge)

    def _sharpened(self, told: dict[str, Any], held: Held) -> dict[str, Any]:
        """``told`` with the model's times where they are about the same; its count is believed."""
        count = told["extension_count"]
        assert held.counted <= count <= held.renewed
        held.counted = count
        true = self.model.shown(held)
        for name in ("started_at", "expires_at"):
            moments = (datetime.fromisoformat(each[name]) for each in (told, true))
            assert abs(next(moments) - next(moments)).total_seconds() <= BLUR_SECONDS, name
            told[name] = true[name]
        assert abs(told["remaining_seconds"] - true["remaining_seconds"]) <= BLUR_SECONDS
        return {**told, "remaining_seconds": true["remaining_seconds"]}

    def _work(self, trouble: Trouble | None = None) -> None:
        self._keep_off_edges()
        self.steps["worker"] += 1
        if trouble is not None:
            self.fake.inject(trouble.as_fault())
        self.adapter.cleanup_worker.run_once()
        if trouble is not None:
            self.fake.lift_faults()
        self._agree()
        if trouble is not None:
            for held in self.model.held.values():
                if held.expires_at <= self.model.now or self._disturbed(held.account, held.owner):
                    self._leave_unsettled(held.account, held.owner)
        elif not self._locks() and self.model.now >= max(self.unsettled.values(), default=0.0):
            running = {record["uuid"] for record in self._records().values()}
            assert running == {held.uuid for held in self.model.lives()}, "expired, and left"

    def _agree(self) -> None:
        """What Whale holds is what the model holds, and besides that what has expired."""
        self.model.now = self.fake.clock.time()
        state = self.fake.state()
        records = self._records()
        assert len(records) == len(state["records"])
        assert sorted(service["uuid"] for service in state["services"]) == sorted(
            record["uuid"] for record in state["records"]
        ), "a service that Whale does not know, or the other way round"
        for held in self.model.lives():
            record = records.pop(held.owner, None)
            assert record is not None, f"{held} does not run"
            assert (record["uuid"], record["challenge_id"]) == (held.uuid, held.challenge)
            assert record["started"] + TIMEOUT == held.expires_at
            assert record["renew_count"] == held.renewed
        for record in records.values():
            assert record["started"] + TIMEOUT <= self.model.now, f"nobody holds {record}"

    def _records(self) -> dict[int, dict[str, Any]]:
        return {record["user_id"]: record for record in self.fake.state()["records"]}

    # The aftermath of faults.

    def _locks(self) -> set[int]:
        """Users whose lock an error left behind on Whale."""
        return {int(name.rpartition("-")[2]) for name in self.fake.state()["locks"]}

    def _disturbed(self, account: str, user_id: int) -> bool:
        """Whether a fault of an earlier call may still be felt in a call of theirs."""
        held = self.model.held.get(account)
        users = {user_id} | ({held.owner} if held is not None else set())
        return bool(users & self._locks()) or any(
            until > self.model.now and (key[0] == account or key[1] == user_id)
            for key, until in self.unsettled.items()
        )

    def _leave_unsettled(self, account: str, user_id: int) -> None:
        keys = {(account, user_id)} | {
            (held.account, held.owner)
            for held in self.model.held.values()
            if held.owner == user_id or held.account == account
        }
        self.unsettled |= dict.fromkeys(keys, self.model.now + SETTLE_SECONDS)

    def _keep_off_edges(self) -> None:
        """Where the adapter's times are blurred, no call is made close to an expiry."""
        while True:
            now = self.fake.clock.time()
            close = [
                held.expires_at
                for held in self.model.held.values()
                if held.blurred and -2 * BLUR_SECONDS < now - held.expires_at < BLUR_SECONDS
            ]
            if not close:
                return
            self.fake.clock.advance(max(close) + 2 * BLUR_SECONDS - now)


class TroubledStory(Story):
    """Stories in which any call may meet a fault."""

    steps: ClassVar[Counter[str]] = Counter()

    @rule(player=players, challenge=challenges, kind=st.sampled_from(KINDS), trouble=troubles)
    def call_in_trouble(self, kind: str, player: Player, challenge: int, trouble: Trouble) -> None:
        self._call(kind, player, challenge, trouble)

    @precondition(lambda story: story.model.lives())
    @rule(kind=about_what_runs, which=st.integers(0, 3), mate=st.booleans(), trouble=troubles)
    def call_about_what_runs_in_trouble(
        self, kind: str, which: int, mate: bool, trouble: Trouble
    ) -> None:
        self._call_about_what_runs(kind, which, mate, trouble)

    @rule(player=players, challenge=st.sampled_from(VISIBLE), done=st.booleans())
    def lose_a_start(self, player: Player, challenge: int, done: bool) -> None:
        """The connection breaks off in the POST, before or after Whale did it."""
        self._call("start", player, challenge, _lost("POST", done))

    @precondition(lambda story: story.model.lives())
    @rule(kind=st.sampled_from(("extend", "stop")), which=st.integers(0, 3), done=st.booleans())
    def lose_a_change(self, kind: str, which: int, done: bool) -> None:
        """As above, in the PATCH or DELETE."""
        self._call_about_what_runs(kind, which, False, _lost(METHODS[kind], done))

    @precondition(lambda story: story.model.held)
    @rule(trouble=troubles)
    def run_the_worker_in_trouble(self, trouble: Trouble) -> None:
        self._work(trouble)


def _short(told: Any) -> str:
    if isinstance(told, (StartResult, ActionResult)):
        return told.code.value + ("" if told.definite else ", not definite")
    return told["container_id"] if isinstance(told, dict) else str(told)


def _lost(method: str, done: bool) -> Trouble:
    return Trouble("reset_before_headers", method, "after" if done else "before")


def _owner(account: str, mate: bool) -> Player:
    """Whom the account belongs to; the other one when it is a team and ``mate`` is set."""
    owners = [player for player in PLAYERS if player.account == account]
    return owners[mate % len(owners)]


def _address(record: dict[str, Any]) -> tuple[str, str]:
    if record["port"]:
        return DIRECT_HOST, str(record["port"])
    return f"{record['uuid']}.{SUFFIX}", HTTP_PORT


def tell(
    stage: Stage,
    story: type[Story],
    adapter: type[WhaleAPIManager] = WhaleAPIManager,
    **how: Any,
) -> None:
    """Tell stories until one goes otherwise than the model says."""
    told = story_settings(
        max_examples=STORIES,
        stateful_step_count=STEPS_IN_A_STORY,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        phases=[Phase.reuse, Phase.generate, Phase.shrink],  # explaining takes minutes
    )
    run_state_machine_as_test(
        lambda: story(stage, adapter), settings=story_settings(told, **how) if how else told
    )


@pytest.mark.timeout(900)  # a failure takes minutes to shorten
@pytest.mark.parametrize("story", [Story, TroubledStory])
def test_the_adapter_does_what_the_model_says(
    stage: Stage, story: type[Story], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "engines")  # it says of every fault that there was one
    story.steps.clear()
    tell(stage, story)
    total = sum(story.steps.values())
    print(total, "steps:", dict(sorted(story.steps.items())))  # noqa: T201 - for -s
    assert total >= (LEAST_STEPS if os.environ.get("CI") else 1000)


class StopsAnything(WhaleAPIManager):
    """Stops whatever the account has, as Whale itself does."""

    def _stop(self, call: Call, action: Action) -> ActionResult:
        for row in self._store.all():
            if row.account == call.account:
                call.challenge_id = row.challenge_id
        return super()._stop(call, action)


class ForgetsExtensions(WhaleAPIManager):
    """Keeps no count of extensions."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        save = self._store.save

        def forgetful(after: Instance, event: Any = None) -> bool:
            return save(replace(after, extension_count=0), event)

        self._store.save = forgetful  # type: ignore[method-assign] # the bug


class NeverLooks(WhaleAPIManager):
    """Starts at once, whatever runs."""

    def _start(self, call: Call) -> StartResult:
        self._api.create(call.user_id, call.challenge_id)
        return replies.started(self._status(call) or {})  # type: ignore[arg-type] # the bug


class BelievesItself(WhaleAPIManager):
    """Says stopped when nobody knows."""

    def _stop(self, call: Call, action: Action) -> ActionResult:
        result = super()._stop(call, action)
        return replies.stopped() if result.code is Code.UNAVAILABLE else result


class ForgetsTheUnknown(WhaleAPIManager):
    """Drops the row of a write whose outcome is not known."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)

        def drop(mine: Instance) -> None:
            self._store.delete(mine, None)

        self._ledger.leave_open = drop  # type: ignore[method-assign] # the bug


FIND_OUT: dict[str, Any] = {"max_examples": 100, "derandomize": True, "database": None}
"""Few stories, and the same each time."""


@pytest.mark.parametrize(
    ("story", "broken"),
    [
        (Story, StopsAnything),
        (Story, ForgetsExtensions),
        (Story, NeverLooks),
        (TroubledStory, BelievesItself),
        (TroubledStory, ForgetsTheUnknown),
    ],
)
def test_a_broken_adapter_is_found_out(
    stage: Stage, story: type[Story], broken: type[WhaleAPIManager]
) -> None:
    with pytest.raises(AssertionError):
        tell(stage, story, broken, **FIND_OUT, phases=[Phase.generate])


def test_the_story_of_a_failure_says_who_did_what(stage: Stage) -> None:
    until_found = {**FIND_OUT, "max_examples": 2000}
    with pytest.raises(AssertionError) as caught:
        tell(stage, Story, StopsAnything, **until_found, stateful_step_count=8)
    told = [note for note in caught.value.__notes__ if note.startswith("# ")]
    assert len(told) <= 6, told
    stopped = re.fullmatch(r"# stop of challenge (\d+) by (\w+): ok", told[-1])
    assert stopped, told
    challenge, player = stopped.groups()
    started = [re.fullmatch(rf"# start of challenge (\d+) by {player}: ok", note) for note in told]
    assert {found[1] for found in started if found} - {challenge}, told
