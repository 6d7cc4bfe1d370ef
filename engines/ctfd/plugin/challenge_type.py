"""The challenge type ``whale_ready``: CTFd's standard one, with a container for each account."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar

from flask import Blueprint, has_request_context
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import Forbidden, HTTPException, TooManyRequests

from engines.audit import done_by
from engines.contract import Code
from engines.ctfd import fields
from engines.ctfd import held_flags as judging
from engines.ctfd.catalog import TYPE
from engines.ctfd.deployment import Deployment
from engines.errors import BackendUnavailable, CatalogError
from engines.reasons import reason
from engines.solve import end_on_solve

from .models import WhaleReadyChallenge
from .platform import (
    BaseChallenge,
    ChallengeCreateException,
    ChallengeResponse,
    ChallengeUpdateException,
    Flags,
    Partials,
    Solves,
    challenge_attempt_all,
    challenge_attempt_any,
    challenge_attempt_team,
    get_current_user,
    give_attempt_back,
    is_admin,
    is_teams_mode,
)

log = logging.getLogger(__name__)

_LOGICS = {"all": challenge_attempt_all, "team": challenge_attempt_team}
_OF_A_DYNAMIC_VALUE = ("initial", "decay", "minimum")


class WhaleReadyType(BaseChallenge):  # type: ignore[misc]  # CTFd has no types
    """What CTFd calls for challenges of our type."""

    id = TYPE
    name = TYPE
    templates: ClassVar[dict[str, str]] = {}
    scripts: ClassVar[dict[str, str]] = {}
    route = ""
    blueprint = Blueprint(TYPE, __name__)
    challenge_model = WhaleReadyChallenge
    deployment: ClassVar[Deployment]

    @classmethod
    def set_up(cls, deployment: Deployment, assets: str) -> None:
        """Say where the pages' files are served, and what runs the containers."""
        cls.deployment = deployment
        cls.route = assets
        for part in ("create", "update", "view"):
            cls.templates[part] = f"{assets}{part}.html"
            cls.scripts[part] = f"{assets}{part}.js"

    @classmethod
    def create(cls, request: Any) -> Any:
        """A new challenge; nothing is saved when a field is wrong."""
        data = _data(request)
        try:
            columns = fields.columns_in(data)
            fields.check(columns)
        except CatalogError as error:
            raise ChallengeCreateException(str(error)) from None
        return super().create(_as_request(_others(data) | columns))

    @classmethod
    def update(cls, challenge: Any, request: Any) -> Any:
        """Change some fields; nothing is saved when one is wrong."""
        data = _data(request)
        try:
            columns = fields.columns_in(data)
            if columns:
                before = {field.column: getattr(challenge, field.column) for field in fields.FIELDS}
                fields.check(before | columns)
        except CatalogError as error:
            raise ChallengeUpdateException(str(error)) from None
        return super().update(challenge, _as_request(_others(data) | columns))

    @classmethod
    def delete(cls, challenge: Any) -> None:
        """Stop what runs of it, then delete it; what cannot be stopped now ends with its time."""
        stop_all(cls.deployment, challenge.id)
        super().delete(challenge)

    @classmethod
    def read(cls, challenge: Any) -> Any:
        """What the API shows of a challenge: our fields too, to admins alone."""
        data = dict(super().read(challenge))
        if has_request_context() and is_admin():
            columns = {field.column: getattr(challenge, field.column) for field in fields.FIELDS}
            data |= fields.values_of(columns)
            # ctfcli keeps our fields beside these in "extra", and where the API shows one of them
            # its verify finds a difference, and its mirror throws ours away.
            for name in _OF_A_DYNAMIC_VALUE:
                if data.get(name, "") is None:
                    del data[name]
        return data

    @classmethod
    def solve(cls, user: Any, team: Any, challenge: Any, request: Any) -> None:
        """Record a solve, and end the instance where site or challenge want that."""
        super().solve(user, team, challenge, request)
        ends_with_its_solve(cls.deployment, user, team, challenge.id)

    @classmethod
    def attempt(cls, challenge: Any, request: Any) -> Any:
        """Compare with the flags of the account's own instances, and with CTFd's own flags."""
        submission = _data(request)["submission"].strip()
        known = list(Flags.query.filter_by(challenge_id=challenge.id).all())
        user, team_id = account()
        try:
            held = cls.deployment.flags(user.id, challenge.id, team_id)
        except BackendUnavailable:
            held = None
        logic = challenge.logic
        parts = []
        if held is not None:
            provided = _provided(user, challenge) if logic == judging.ALL else []
            parts = judging.containers_part(held, provided, logic)
        elif logic == judging.ALL:
            not_judged(challenge, TooManyRequests(), judging.CANNOT_CHECK)
        compare = _LOGICS.get(logic, challenge_attempt_any)
        answer = compare(submission, challenge, [*known, *parts])
        if answer.status != "incorrect":
            return answer
        if held is None:
            not_judged(challenge, TooManyRequests(), judging.CANNOT_CHECK)
            return answer
        cls.deployment.note_foreign(submission, user.id, challenge.id, team_id)
        if held.counting:
            return answer
        if not held.any_ever and not known:
            not_judged(challenge, Forbidden(), judging.NOTHING_STARTED)
        return ChallengeResponse("incorrect", cls.deployment.nothing_runs())


def ends_with_its_solve(deployment: Deployment, user: Any, team: Any, challenge_id: int) -> None:
    """End the instance that a solve was made on, where that is wanted; nobody waits for it."""
    team_id = team.id if team is not None and is_teams_mode() else None
    threading.Thread(
        target=_end_quietly, args=(deployment, user.id, challenge_id, team_id), daemon=True
    ).start()


def _end_quietly(
    deployment: Deployment, user_id: int, challenge_id: int, team_id: int | None
) -> None:
    try:
        result = end_on_solve(deployment.backend(), user_id, challenge_id, team_id)
    except (BackendUnavailable, SQLAlchemyError) as error:
        log.warning("a solved instance goes on until its time is over: %s", reason(error))
        return
    if result is not None and result.code not in (Code.OK, Code.NOT_FOUND):
        log.warning("a solved instance goes on until its time is over: %s", result.code.value)


def account() -> tuple[Any, int | None]:
    """Who is logged in, and the team whose account counts."""
    user = get_current_user()
    return user, user.team_id if is_teams_mode() else None


def not_judged(challenge: Any, error: HTTPException, message: str) -> None:
    """End a submission that nothing can be said of by raising ``error``; it is not counted.

    Of the errors CTFd's own refusals have: one above 499 would be logged as a crash.

    Returns where the account has solved the challenge: that is answered as ever.
    """
    user = get_current_user()
    solved = Solves.query.filter_by(account_id=user.account_id, challenge_id=challenge.id)
    if solved.first() is not None:
        return
    known = Flags.query.filter_by(challenge_id=challenge.id).first()
    give_attempt_back(user.account_id, challenge.id, limited=known is not None)
    # CTFd's API (flask-restx) answers with these data, and with nothing of a response in the error.
    data = {"status": "ratelimited", "message": message}
    error.data = {"success": True, "data": data}  # type: ignore[attr-defined]
    raise error


def _provided(user: Any, challenge: Any) -> list[str]:
    """What the account has given of a challenge that asks for all flags."""
    rows = Partials.query.filter_by(account_id=user.account_id, challenge_id=challenge.id)
    return [str(row.provided).strip() for row in rows.all()]


def stop_all(deployment: Deployment, challenge_id: int) -> None:
    """Stop every live instance of a challenge; what cannot be stopped is logged."""
    try:
        parts = deployment.parts()
        live = [
            instance for instance in parts.overview.live() if instance.challenge_id == challenge_id
        ]
        for instance in live:
            with _done_by_whoever_asks():
                result = parts.backend.stop_instance(
                    instance.user_id, challenge_id, instance.team_id
                )
            if not result.ok:
                log.warning(
                    "challenge %d is deleted, and an instance of user %d still runs: %s",
                    challenge_id,
                    instance.user_id,
                    result.code.value,
                )
    except (BackendUnavailable, SQLAlchemyError) as error:
        log.warning(
            "challenge %d is deleted, and its instances could not be stopped: %s",
            challenge_id,
            reason(error),
        )


def _done_by_whoever_asks() -> AbstractContextManager[None]:
    """For the audit log; a script that deletes a challenge has nobody logged in."""
    admin = get_current_user() if has_request_context() else None
    return nullcontext() if admin is None else done_by(admin.id, admin.name)


def _data(request: Any) -> dict[str, Any]:
    return dict(request.form or request.get_json() or {})


def _others(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if not key.startswith(fields.PREFIX)}


def _as_request(data: dict[str, Any]) -> Any:
    """What CTFd's own methods read a form from."""
    return SimpleNamespace(form=data, get_json=lambda: data)
