"""The endpoints of admins: who has what running, what has happened, and acting for a player."""

from __future__ import annotations

import logging

from flask import request

from engines.audit import done_by
from engines.web import answers, inputs
from engines.web.answers import Answer
from engines.web.callers import Caller, Door
from engines.web.calls import Calls
from engines.web.overview import (
    DEFAULT_PAGE,
    LARGEST_PAGE,
    HistoryQuery,
    Overview,
    plain,
)
from engines.web.players import BackendProvider

log = logging.getLogger(__name__)


class AdminEndpoints:
    """Lists, stop and extend, as views of Flask call them.

    Here, and nowhere else, the account comes from the body: ``user_id``, and ``team_id`` where the
    player plays for a team. The audit log says besides which admin it was.
    """

    def __init__(self, backend: BackendProvider, door: Door, overview: Overview) -> None:
        self._backend = backend
        self._door = door
        self._overview = overview

    def instances(self) -> Answer:
        self._door.admin(request)
        found = [plain(each) for each in self._overview.live()]
        return answers.ok(f"{len(found)} live", {"instances": found})

    def history(self) -> Answer:
        self._door.admin(request)
        query = HistoryQuery(
            limit=inputs.number_in_query(request, "limit", LARGEST_PAGE) or DEFAULT_PAGE,
            before=inputs.number_in_query(request, "before"),
            user_id=inputs.number_in_query(request, "user_id"),
            team_id=inputs.number_in_query(request, "team_id"),
            challenge_id=inputs.number_in_query(request, "challenge_id"),
        )
        page = self._overview.history(query)
        data = {
            "events": [plain(event) for event in page.events],
            "next_before": page.next_before,
        }
        return answers.ok(f"{len(page.events)} events, the newest first", data)

    def stop(self) -> Answer:
        admin, player, challenge = self._order()
        with done_by(admin.user_id, admin.name):
            answer = self._calls(player, challenge).stop()
        self._note("stop", admin, player, challenge, answer.code.value)
        return answer

    def extend(self) -> Answer:
        admin, player, challenge = self._order()
        with done_by(admin.user_id, admin.name):
            answer = self._calls(player, challenge).extend()
        self._note("extend", admin, player, challenge, answer.code.value)
        return answer

    def _calls(self, player: Caller, challenge: int) -> Calls:
        return Calls(self._backend(), player.user_id, challenge, player.team_id)

    def _order(self) -> tuple[Caller, Caller, int]:
        admin = self._door.admin_who_changes(request)
        found = inputs.members(request)
        player = Caller(inputs.required(found, "user_id"), inputs.optional(found, "team_id"))
        return admin, player, inputs.challenge_in_body(found)

    def _note(self, what: str, admin: Caller, player: Caller, challenge: int, code: str) -> None:
        # A backend that writes no audit log of ours says nowhere else who did it.
        log.info(
            "admin %d: %s for user %d, team %s, challenge %d: %s",
            admin.user_id,
            what,
            player.user_id,
            player.team_id,
            challenge,
            code,
        )
