"""WhaleAPIManager in front of a sound fake Whale, broken in one way each."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from conformance.harness import Harness, Options, World
from conformance.harnesses.whale import FakeWhaleHarness, FakeWhaleWorld
from engines import replies
from engines.audit import Action
from engines.clock import Clock
from engines.contract import ActionResult, Code, InstanceStatus, StartResult, account_key
from engines.errors import BackendUnavailable, WhaleFault
from engines.front import Call
from engines.settings import Settings
from engines.state.instances import Instance, InstanceRequest
from engines.whale import WhaleAPIManager
from engines.whale.client import LoginPage, WhaleAnswer
from engines.whale.dialects import CtfdWhale
from engines.whale.ledger import Standing
from engines.whale.wire import Look, RunningContainer, json_object
from mutants.own_clock import Unknown
from mutants.slow import Crowd


class StopsAnything(WhaleAPIManager):
    """A stop ends whatever the account has, as Whale's DELETE does."""

    def _stop(self, call: Call, action: Action) -> ActionResult:
        for row in self._store.all():
            if row.account == call.account:
                call.challenge_id = row.challenge_id
        return super()._stop(call, action)


class ReplacesOnStart(WhaleAPIManager):
    """A start ends what runs of another challenge, as Whale's POST does."""

    def _start(self, call: Call) -> StartResult:
        for row in self._store.all():
            if row.account == call.account and row.challenge_id != call.challenge_id:
                self._ledger.end(row, call, Standing.EXPIRED)
        return super()._start(call)


class ForgetsExtensions(WhaleAPIManager):
    """No extension is counted."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        save = self._store.save

        def forgetful(after: Instance, event: Any = None) -> bool:
            return save(replace(after, extension_count=0), event)

        self._store.save = forgetful  # type: ignore[assignment,method-assign] # the bug


class _Credulous(CtfdWhale):
    def written(self, answer: WhaleAnswer) -> None:
        body = json_object(answer, "application/json")
        if "success" not in body:
            super().written(answer)


class BelievesAnyAnswer(WhaleAPIManager):
    """Whatever Whale answers in its own words is taken for done."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._api._pinned = self._api._found = _Credulous()


class _AnyNumber(CtfdWhale):
    def look(self, answer: WhaleAnswer) -> Look:
        body = answer.body if isinstance(answer.body, dict) else {}
        data = body.get("data")
        if isinstance(data, dict) and type(left := data.get("remaining_time")) is int:
            found = super().look(replace(answer, body={**body, "data": {**data, **_ONE_SECOND}}))
            return (
                replace(found, remaining_seconds=left)
                if isinstance(found, RunningContainer)
                else found
            )
        return super().look(answer)


_ONE_SECOND = {"remaining_time": 1}


class BelievesAnyNumber(WhaleAPIManager):
    """The remaining time is reckoned with however large Whale says it is."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._api._pinned = self._api._found = _AnyNumber()


class DownIsNothing(WhaleAPIManager):
    """While Whale is down a player is told that nothing runs."""

    def _status(self, call: Call) -> InstanceStatus | None:
        try:
            return super()._status(call)
        except BackendUnavailable:
            return None


class TimeOutIsFailure(WhaleAPIManager):
    """A start whose answer did not come is taken for one that made nothing."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        create = self._api.create

        def hasty(user_id: int, challenge_id: int) -> None:
            try:
                create(user_id, challenge_id)
            except WhaleFault as fault:
                raise WhaleFault(fault.code, fault.message, retry_after=1.0) from None

        self._api.create = hasty  # type: ignore[method-assign] # the bug

    def _adopted(self, call: Call) -> Instance | None:
        return None


class RetriesWrites(WhaleAPIManager):
    """A write whose answer did not come is sent again."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        send, client = self._api._client._send, self._api._client

        def again(method: str, *rest: Any) -> LoginPage:
            try:
                return send(method, *rest)
            except Exception:  # noqa: BLE001 - the bug
                return send(method, *rest)

        client._send = again  # type: ignore[method-assign] # the bug


class CreatedIsRunning(WhaleAPIManager):
    """A container that Whale says it has created is told as started, whether or not it answers."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._starter._settings = replace(self.settings, whale_probe=False)


class LeavesTheUnanswering(WhaleAPIManager):
    """A container that never answered is forgotten, and not destroyed."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)

        def undo(call: Call, row: Instance, live: Instance) -> StartResult:
            event = call.event(Action.START_FAILED, Code.NOT_READY)
            call.recorded = self._store.delete(row, event)
            return StartResult(False, "The container did not answer", code=Code.NOT_READY)

        self._starter._undo = undo  # type: ignore[method-assign] # the bug


class AddsWhatIsReset(WhaleAPIManager):
    """The ledger adds a renewal to the expiry, where Whale sets the time back to the full one."""

    def _renewed_expiry(self, mine: Instance) -> datetime:
        renewed = super()._renewed_expiry(mine)
        life = timedelta(seconds=self.settings.whale_timeout_seconds)
        return renewed if mine.expires_at is None else mine.expires_at + life


class _LocalLedger(WhaleAPIManager):
    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._ledger.expiry = self._expiry  # type: ignore[method-assign] # the bug

    def _expiry(self, found: RunningContainer) -> datetime:
        raise NotImplementedError


class CountsInLocalTime(_LocalLedger):
    """Expiries are reckoned on the machine's wall clock and called UTC."""

    def _expiry(self, found: RunningContainer) -> datetime:
        wall = self.clock.now().astimezone() + timedelta(seconds=found.remaining_seconds)
        return wall.replace(tzinfo=timezone.utc)


class SharesACookie(WhaleAPIManager):
    """The client keeps the session cookie that Whale sets, and sends it with every call."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        send, client = self._api._client._send, self._api._client
        jar: dict[str, str] = {}

        def kept(method: str, path: str, headers: Mapping[str, str], *rest: Any) -> LoginPage:
            cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
            page = send(method, path, {**headers, **(cookie if jar else {})}, *rest)
            jar.update(page.cookies)
            return page

        client._send = kept  # type: ignore[method-assign] # the bug


class ForgetsTeams(WhaleAPIManager):
    """The ledger knows users, as Whale does, and no teams."""

    def _call(self, user_id: int, challenge_id: int, team_id: int | None) -> Call:
        call = super()._call(user_id, challenge_id, team_id)
        call.account = account_key(user_id, None)
        return call


class ReadsStale(WhaleAPIManager):
    """A status is kept for some seconds, whatever a stop has done meanwhile."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._kept: dict[tuple[str, int], tuple[datetime, InstanceStatus]] = {}

    def _start(self, call: Call) -> StartResult:
        result = super()._start(call)
        self._status(call)
        return result

    def _status(self, call: Call) -> InstanceStatus | None:
        key, now = (call.account, call.challenge_id), self.clock.now()
        if key in self._kept and now - self._kept[key][0] < timedelta(seconds=5):
            return self._kept[key][1]
        found = super()._status(call)
        if found is not None:
            self._kept[key] = now, found
        return found


class LosesItsLock(WhaleAPIManager):
    """The claim runs out while Whale is at work, and who has lost it says started all the same."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._crowd, lock = Crowd(), threading.Lock()
        post = self._starter._post

        def one_by_one(call: Call, row: Instance) -> RunningContainer:
            with lock:
                return post(call, row)

        def anyway(call: Call, row: Instance, found: RunningContainer) -> StartResult:
            live = self._ledger.activated(row, found)
            event = call.event(Action.STARTED, Code.OK, container_id=found.uuid)
            call.recorded = self._store.save(live, event)
            return replies.started(self._ledger.describe(live))

        self._starter._post = self._crowd.slow(one_by_one)  # type: ignore[method-assign] # the bug
        self._starter._activate = anyway  # type: ignore[method-assign] # the bug

    def _start(self, call: Call) -> StartResult:
        with self._crowd.call():
            return super()._start(call)

    def _request(self, call: Call) -> InstanceRequest:
        return replace(super()._request(call), lease_seconds=0.0)


class AuditsFirst(WhaleAPIManager):
    """A start is told before Whale is asked for it."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        post, append = self._starter._post, self.audit.append

        def told_first(call: Call, row: Instance) -> RunningContainer:
            self.audit.record(call.event(Action.STARTED, Code.OK))
            return post(call, row)

        def once(connection: Any, event: Any) -> None:
            if event.action is not Action.STARTED or "container_id" not in event.metadata:
                append(connection, event)

        self._starter._post = told_first  # type: ignore[method-assign] # the bug
        self.audit.append = once  # type: ignore[method-assign] # the bug


class LosesTheCode(WhaleAPIManager):
    """Whatever Whale refuses a start for is told as "did not start"."""

    def _start(self, call: Call) -> StartResult:
        result = super()._start(call)
        if result.code is not Code.CAPACITY:
            return result
        return StartResult(False, result.message, code=Code.START_FAILED)


class NeverSaysWhen(WhaleAPIManager):
    """A call that Whale did not answer does not say when to try again."""

    def _stop(self, call: Call, action: Action) -> ActionResult:
        result = super()._stop(call, action)
        return ActionResult(result.ok, result.message, code=result.code, definite=result.definite)


class PassesHtmlOn(WhaleAPIManager):
    """What Whale says to its own page is said to the player."""

    def _start(self, call: Call) -> StartResult:
        result = super()._start(call)
        if result.code is not Code.LIMIT_REACHED:
            return result
        link = f'<a target="_blank" href="/challenges#web-x-1">{result.message}</a>'
        return StartResult(False, f"Container already started ({link})", code=result.code)


class DownIsStopped(WhaleAPIManager):
    """A stop that could not reach Whale is told as done."""

    def _stop(self, call: Call, action: Action) -> ActionResult:
        result = super()._stop(call, action)
        return replies.stopped() if result.code is Code.UNAVAILABLE else result


class OneTokenForAll(WhaleAPIManager):
    """Everybody is let in with the token of whoever came first."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        headers, first = self._api._credentials.headers, list[int]()

        def shared(user_id: int) -> Mapping[str, str]:
            first.append(user_id)
            return headers(first[0])

        self._api._credentials.headers = shared  # type: ignore[method-assign] # the bug


class LeavesTheAbandoned(WhaleAPIManager):
    """A start that nobody is at work on any more is taken for somebody's for ever."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        confirmed = self._ledger.confirm
        self._broke_off = lambda row: row.open  # type: ignore[method-assign] # the bug
        self._ledger.confirm = (  # type: ignore[method-assign] # the bug
            lambda row: row if row.abandoned(self.clock.now()) else confirmed(row)
        )


class ExtendsStrangers(WhaleAPIManager):
    """A renewal is looked up by the challenge, and meets whoever plays it."""

    def _extend(self, call: Call) -> ActionResult:
        for row in self._store.all():
            if row.challenge_id == call.challenge_id:
                call.account, call.user_id = row.account, row.user_id
        return super()._extend(call)


class ShowsTheExpired(WhaleAPIManager):
    """What Whale's cleaner has not come for yet is told as live."""

    def _status(self, call: Call) -> InstanceStatus | None:
        row = self._store.find(call.account, call.challenge_id)
        found = super()._status(call)
        return found if found is not None or row is None else self._ledger.describe(row)


class WritesAtOnce(WhaleAPIManager):
    """Any number of writes is at Whale at once, which counts first and adds later."""

    def __init__(self, settings: Settings, **parts: Any) -> None:
        super().__init__(replace(settings, whale_parallel_writes=0), **parts)


class NumbersAreOwners(WhaleAPIManager):
    """Whoever has the number of a deleted account has its instance."""

    def __init__(self, *args: Any, owners: object, **parts: Any) -> None:
        super().__init__(*args, **parts)


class GoesByItsOwnClock(WhaleAPIManager):
    """Expiries are judged by the machine's own clock."""

    def __init__(self, *args: Any, clock: Clock, **parts: Any) -> None:
        super().__init__(*args, clock=Unknown(clock), **parts)


def on_a_fake_whale(broken: type[WhaleAPIManager]) -> type[Harness]:
    """The harness of a broken adapter."""

    class BrokenWorld(FakeWhaleWorld):
        manager_class = broken

    class BrokenHarness(FakeWhaleHarness):
        def __init__(self) -> None:
            super().__init__()
            self.kind = f"broken on purpose: {broken.__doc__}"

        def world(self, options: Options) -> World:
            assert self._whale is not None
            return BrokenWorld(self._whale, options, self.database())

    return BrokenHarness
