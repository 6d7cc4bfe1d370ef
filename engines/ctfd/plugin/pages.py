"""The admin's pages: what runs, what happened, what is set, and the rollout's dial."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from engines.audit import done_by
from engines.bulk_stop import InstanceSelection, end_all
from engines.contract import LARGEST_ID
from engines.ctfd import rollout_changes as turning
from engines.ctfd import self_calls as waiting
from engines.ctfd import setting_rows
from engines.ctfd.deployment import Deployment
from engines.ctfd.self_calls import Server
from engines.doctor import FindingState
from engines.errors import BackendUnavailable
from engines.factory import NEW
from engines.hybrid.health import HealthLimits, measure
from engines.hybrid.routes import RouteStore
from engines.web import HistoryQuery
from engines.web.admin import BATCH_SECONDS, told

from .platform import Challenges, Teams, Users, admins_only, get_current_user

log = logging.getLogger(__name__)

SHOWN_CHANGES = 20
SETUP_SECONDS = 3.0
"""How long the settings page waits for a new look at the set-up; it shows the last one then."""
_FILTERS = ("user_id", "team_id", "challenge_id")


class Pages:
    """The pages below ``/plugins/NAME/admin``."""

    def __init__(self, site: Deployment, name: str) -> None:
        self._site = site
        self._name = name
        self.front = f"/plugins/{name}/admin/instances"
        self.warning: str | None = None
        self._server: Server | None = None

    def look_at(self, server: Server) -> None:
        """Say so, once, where calls to Whale would wait for this very server."""
        self._server = server
        settings = self._site.settings_or_none()
        url = None if settings is None else settings.whale_api_url
        self.warning = waiting.warning(url, server, self._site.whale_is_here())
        if self.warning is not None:
            log.error("%s", self.warning)

    def blueprint(self) -> Blueprint:
        """The pages, for admins only."""
        found = Blueprint("whale_ready_admin", __name__, url_prefix=f"/plugins/{self._name}/admin")
        pages: tuple[tuple[str, str, Callable[[], Any]], ...] = (
            ("GET", "instances", self.instances),
            ("POST", "instances", self.act),
            ("GET", "history", self.history),
            ("GET", "settings", self.settings),
            ("GET", "rollout", self.rollout),
            ("POST", "rollout", self.turn),
        )
        for method, path, view in pages:
            found.add_url_rule(
                f"/{path}",
                endpoint=f"{path}_{method.lower()}",
                view_func=admins_only(_told(view)),
                methods=[method],
            )
        return found

    # What runs.

    def instances(self) -> str:
        live, problem = self._asked(lambda: self._site.parts().overview.live(), [])
        return self._page("instances", problem, instances=live, names=_names(live))

    def act(self) -> Response:
        form = request.form
        if form.get("action") == "stop_all":
            return self._stop_many(form)
        user_id, challenge_id = _number(form, "user_id"), _number(form, "challenge_id")
        if user_id is None or challenge_id is None:
            raise ValueError("the form names no instance; reload the page")
        who = (user_id, challenge_id, _number(form, "team_id"))
        backend = self._site.backend()
        action = form.get("action", "")
        if action not in ("stop", "extend"):
            raise ValueError("press one of the buttons")
        admin = get_current_user()
        with done_by(admin.id, admin.name):
            result = (backend.stop_instance if action == "stop" else backend.extend_instance)(*who)
        log.info("admin %d: %s for %s: %s", admin.id, action, who, result.code.value)
        flash(result.message, "success" if result.ok else "danger")
        return self._back("instances")

    def _stop_many(self, form: Any) -> Response:
        """End many without a script on the page: as many as some seconds are enough for."""
        selection = _selection(form)
        parts, admin = self._site.parts(), get_current_user()
        with done_by(admin.id, admin.name):
            done = end_all(
                parts.backend,
                parts.overview.chosen(selection),
                f"ended with {selection}",
                seconds=BATCH_SECONDS,
            )
        log.info("admin %d: %s: %s", admin.id, selection, done)
        flash(told(done), "danger" if done.failed or done.left else "success")
        return self._back("instances")

    # What happened.

    def history(self) -> str:
        wanted = {name: _number(request.args, name) for name in _FILTERS}
        query = HistoryQuery(
            before=_number(request.args, "before"),
            user_id=wanted["user_id"],
            team_id=wanted["team_id"],
            challenge_id=wanted["challenge_id"],
        )
        page, problem = self._asked(lambda: self._site.parts().overview.history(query), None)
        events = page.events if page else []
        older = None
        if page and page.next_before:
            here = {name: str(value) for name, value in wanted.items() if value}
            here["before"] = str(page.next_before)
            older = f"{request.path}?{urlencode(here)}"
        return self._page(
            "history", problem, events=events, names=_names(events), wanted=wanted, older=older
        )

    # What is set.

    def settings(self) -> str:
        alive, problem = self._asked(self._site.worker_alive, False)
        return self._page(
            "settings",
            problem,
            setup=self._site.setup(SETUP_SECONDS),
            server=self._server,
            rows=setting_rows.rows(self._site.config, self._site.from_site),
            worker_alive=alive,
            flags_known=not problem and self._site.parts().flags is not None,
        )

    # The dial.

    def rollout(self) -> str:
        found, problem = self._asked(self._rollout, {})
        return self._page("rollout", problem, **found)

    def turn(self) -> Response:
        user = get_current_user()
        parts = self._site.parts()
        told = turning.turn(parts.dial, f"admin {user.name}", request.form)
        flash(told + turning.stays(request.form, parts.backend.router.kept_home()), "success")
        return self._back("rollout")

    def _rollout(self) -> dict[str, Any]:
        parts = self._site.parts()
        dial, settings = parts.dial.load(), parts.settings
        limits = HealthLimits.of(settings)
        since = limits.since(parts.database.clock.now(), dial.changed_at)
        health = measure(parts.database, NEW, since)
        held = Counter(route.backend for route in RouteStore(parts.database).all())
        return {
            "dial": dial,
            "use_whale": settings.use_whale,
            "has_whale": settings.whale_api_url is not None,
            "seconds": settings.rollout_poll_seconds,
            "since": since,
            "health": health,
            "complaint": limits.complaint(health),
            "too_early": health.starts < limits.min_starts,
            "min_starts": limits.min_starts,
            "held": sorted(held.items()),
            "changes": parts.dial.changes(SHOWN_CHANGES),
            "challenges": _challenge_names(),
            "kept_home": parts.backend.router.kept_home(),
        }

    # Parts of them.

    def _asked(self, question: Callable[[], Any], otherwise: Any) -> tuple[Any, str]:
        """An answer, and what is wrong where there is none."""
        try:
            return question(), ""
        except (BackendUnavailable, SQLAlchemyError) as error:
            said = self._site.problem or f"the database cannot be asked ({type(error).__name__})"
            return otherwise, said

    def _page(self, tab: str, problem: str, **values: Any) -> str:
        return render_template(
            f"plugins/{self._name}/templates/{tab}.html",
            tab=tab,
            frame=f"plugins/{self._name}/templates/frame.html",
            assets=f"/plugins/{self._name}/assets/",
            problem=problem,
            wrong=[
                finding
                for finding in self._site.setup() or ()
                if finding.state is FindingState.NOT_OK
            ],
            warning=self.warning,
            **values,
        )

    def _back(self, tab: str) -> Response:
        return redirect(url_for(f".{tab}_get"), code=303)


def _told(view: Callable[[], Any]) -> Callable[[], Any]:
    """What a form's view cannot do is told on its page."""

    @functools.wraps(view)
    def wrapped() -> Any:
        try:
            return view()
        except ValueError as error:
            flash(str(error), "danger")
        except (BackendUnavailable, SQLAlchemyError):
            if request.method == "GET":
                raise
            flash("The backend cannot be asked now; nothing was done", "danger")
        return redirect(request.path, code=303)

    return wrapped


def _number(values: Any, name: str) -> int | None:
    text = str(values.get(name, "")).strip()
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:20]) <= LARGEST_ID:
        raise ValueError(f"{name} must be a whole number")
    return int(text)


def _selection(form: Any) -> InstanceSelection:
    """What a form wants ended.

    Raises:
        ValueError: it does not say what, or was not confirmed.
    """
    which = form.get("which", "")
    if which not in ("all", "challenge_id", "user_id", "team_id"):
        raise ValueError("choose what to end")
    if form.get("sure") != "yes":
        raise ValueError("tick the box: players lose what they have running")
    number = _number(form, "number")
    if (which == "all") is not (number is None):
        raise ValueError("write the number of the challenge, user or team, and none for all")
    return InstanceSelection() if number is None else InstanceSelection(**{which: number})


def _names(rows: Iterable[Any]) -> dict[str, dict[int, Any]]:
    """What users, teams and challenges of these rows are called.

    An account is called ``(name, since)``: what is older was its number's former owner.
    """
    listed = list(rows)
    users = {each.user_id for each in listed}
    teams = {each.team_id for each in listed if each.team_id is not None}
    challenges = {each.challenge_id for each in listed}
    return {
        "user": _accounts(Users, users),
        "team": _accounts(Teams, teams),
        "challenge": _challenges(challenges),
    }


def _challenges(ids: set[int]) -> dict[int, str]:
    return dict(_found(Challenges, ids, "name"))


def _accounts(model: Any, ids: set[int]) -> dict[int, tuple[str, datetime | None]]:
    return {row[0]: (row[1], row[2]) for row in _found(model, ids, "name", "created")}


def _found(model: Any, ids: set[int], *columns: str) -> list[Any]:
    wanted = [model.id, *(getattr(model, name) for name in columns)]
    return list(model.query.with_entities(*wanted).filter(model.id.in_(ids)).all()) if ids else []


def _challenge_names() -> list[tuple[int, str]]:
    rows = Challenges.query.with_entities(Challenges.id, Challenges.name).order_by(Challenges.id)
    return [(number, name) for number, name in rows.all()]
