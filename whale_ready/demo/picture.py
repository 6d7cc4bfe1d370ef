"""What the organiser's half of the page shows, as JSON. No flag and no token is read here."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from engines.audit import Action
from engines.contract import account_key
from engines.factory import HOME, NEW
from engines.hybrid import Change, Dial, RoutedBy
from engines.hybrid.dial import share
from engines.hybrid.health import HealthLimits, measure
from engines.hybrid.routing import bucket, choose
from engines.web import HistoryQuery
from engines.web.overview import LARGEST_PAGE, LiveInstance, PastEvent
from whale_ready.demo.backends import Demo
from whale_ready.demo.cast import CHALLENGES, PLAYERS, DemoChallenge, DemoPlayer

SHOWN_EVENTS, SHOWN_CHANGES = 12, 6


class Picture:
    """Draws what there is at this moment."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo

    def of(self, player: DemoPlayer) -> dict[str, Any]:
        """The picture, with what a start of this player would come to.

        Raises:
            BackendUnavailable: the state database cannot be read.
            SQLAlchemyError: likewise.
        """
        demo = self._demo
        dial = demo.store.load()
        history = demo.overview.history(HistoryQuery(limit=SHOWN_EVENTS))
        return {
            "dial": _dial(dial),
            "whale": self._whale(dial),
            "challenges": [
                self._challenge(dial, challenge, player) for challenge in CHALLENGES.values()
            ],
            "instances": [self._instance(instance) for instance in demo.overview.live()],
            "events": [_event(event) for event in history.events],
            "changes": [_change(change) for change in demo.store.changes(SHOWN_CHANGES)],
        }

    def _whale(self, dial: Dial) -> dict[str, Any]:
        demo = self._demo
        limits = HealthLimits.of(demo.settings)
        since = limits.since(demo.hybrid.clock.now(), dial.changed_at)
        health = measure(demo.database, NEW, since)
        return {
            "up": demo.whale.up,
            "left_alone": demo.hybrid.router.breaker.open,
            "health": str(health),
            "complaint": limits.complaint(health),
        }

    def _challenge(
        self, dial: Dial, challenge: DemoChallenge, player: DemoPlayer
    ) -> dict[str, Any]:
        backend, because = self._next(dial, challenge, player)
        flag = dial.position.challenges.get(challenge.id)
        return {
            "id": challenge.id,
            "flag": "clear" if flag is None else "on" if flag else "off",
            "next": backend,
            "because": because,
        }

    def _next(self, dial: Dial, challenge: DemoChallenge, player: DemoPlayer) -> tuple[str, str]:
        """Where a start would go. The router itself is not asked: that counts as a try."""
        if dial.paused:
            return HOME, "the rollout is paused"
        account = account_key(player.user_id, player.team_id)
        choice = choose(dial.position, False, challenge.id, account)
        if choice.new and self._demo.hybrid.router.breaker.open:
            return HOME, "whale failed several times in a row and is left alone for a while"
        return NEW if choice.new else HOME, choice.because

    def _instance(self, live: LiveInstance) -> dict[str, Any]:
        why = self._why(live)
        return {
            "backend": live.backend,
            "simulated": live.backend == NEW or self._demo.simulated,
            "player": _player(live.user_id),
            "challenge": _challenge_name(live.challenge_id),
            "address": f"{live.host}:{', '.join(live.ports)}",
            "remaining_seconds": live.remaining_seconds,
            "extension_count": live.extension_count,
            **why,
        }

    def _why(self, live: LiveInstance) -> dict[str, Any]:
        """What the audit log says about where this instance was started."""
        query = HistoryQuery(
            limit=LARGEST_PAGE, user_id=live.user_id, challenge_id=live.challenge_id
        )
        for event in self._demo.overview.history(query).events:
            started = event.action == Action.STARTED.value
            if started and event.metadata.get("container_id") == live.container_id:
                return _reason(event)
        return {"routed_by": None, "routed_because": None}


def places() -> list[dict[str, Any]]:
    """The challenges as they always are, each with its place on the dial in percent."""
    return [
        {
            **asdict(challenge),
            "category": challenge.category,
            "place": place / 100,
            "shown": share(place),
        }
        for challenge in CHALLENGES.values()
        for place in (bucket("challenge", str(challenge.id)),)
    ]


def _dial(dial: Dial) -> dict[str, Any]:
    percent = dial.position.percent
    return {
        "percent": None if percent is None else percent / 100,
        "text": str(dial.position),
        "paused": dial.paused,
        "back_to": str(dial.stepped_back().position),
    }


def _event(event: PastEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": event.at,
        "backend": event.backend,
        "player": _player(event.user_id),
        "challenge": _challenge_name(event.challenge_id),
        "action": event.action,
        "code": event.code,
        "duration_ms": event.duration_ms,
        **_reason(event),
    }


def _reason(event: PastEvent) -> dict[str, Any]:
    by = event.metadata.get("routed_by")
    return {
        "routed_by": None if by is None else RoutedBy(by).value,
        "routed_because": event.metadata.get("routed_because"),
    }


def _change(change: Change) -> dict[str, Any]:
    return {**asdict(change), "at": change.at.isoformat()}


def _player(user_id: int) -> str:
    player = PLAYERS[user_id]
    return f"{player.name} ({player.team})"


def _challenge_name(challenge_id: int) -> str:
    known = CHALLENGES.get(challenge_id)
    return f"challenge {challenge_id}" if known is None else known.name
