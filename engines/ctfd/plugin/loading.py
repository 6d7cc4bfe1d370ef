"""Puts the plugin's parts into a CTFd."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import g, has_app_context, has_request_context, request

from engines.ctfd import fields
from engines.ctfd.catalog import TYPE, WHALE_TYPE
from engines.ctfd.challenge_table import complete_table
from engines.ctfd.deployment import Deployment
from engines.ctfd.self_calls import Server
from engines.reasons import reason
from engines.web import PREFIX, container_blueprint

from .challenge_type import WhaleReadyType
from .gate import SiteGate, admin_asks
from .identity import SiteIdentity
from .models import make_table
from .overview import LazyOverview
from .pages import Pages
from .platform import (
    CHALLENGE_CLASSES,
    db,
    import_ctf,
    register_admin_plugin_menu_bar,
    register_plugin_assets_directory,
    upgrade,
)
from .platform import importing as importing_now
from .whale_type import served

log = logging.getLogger(__name__)

_COMMANDS = frozenset({"flask", "manage.py", "import.py", "export.py", "populate.py", "alembic"})
"""Programs that load CTFd and serve nobody."""
_ORPHANS = re.compile(
    r"\s*(DELETE\s+FROM\s+\W?(users|teams|challenges)\b|(UPDATE|INSERT\s+INTO)\s+\W?config\b)", re.I
)
"""Statements that may leave an instance without its owner: config has the mode, users or teams."""
ORPHAN_SECONDS = 20.0
"""How long such a request waits until what it orphaned has ended; the rest ends behind it."""
WORKER_DELAY_SECONDS = 5.0
"""After the server came up, where no request is faster."""


def load_into(app: Any, name: str) -> None:
    """Make tables, mount endpoints and pages, register the challenge type, start the worker.

    Args:
        name: of the folder below ``CTFd/plugins/``.
    """
    upgrade(plugin_name=name)
    make_table(db.engine)
    complete_table(db.engine)
    site = Deployment(app.config, str(app.config["SQLALCHEMY_DATABASE_URI"]), admin_asks)
    site.prepare()
    assets = f"/plugins/{name}/assets/"
    register_plugin_assets_directory(app, base_path=assets, endpoint="whale_ready_assets")
    WhaleReadyType.set_up(site, assets)
    CHALLENGE_CLASSES[TYPE] = WhaleReadyType
    app.jinja_env.globals.update(
        whale_ready_plugin=name, whale_ready_fields=fields.FIELDS, whale_ready_groups=fields.GROUPS
    )
    gate, overview = SiteGate(_types(site), site.holds), LazyOverview(site)
    app.register_blueprint(
        container_blueprint(site.backend, SiteIdentity(), gate=gate, overview=overview)
    )
    app.after_request(_Deletions(site, app).after)
    app.overridden_functions["import_ctf"] = _Import(site, app.overridden_functions)
    site.whale_is_here = lambda: WHALE_TYPE in CHALLENGE_CLASSES
    pages = Pages(site, name)
    app.register_blueprint(pages.blueprint())
    register_admin_plugin_menu_bar(title="Containers", route=pages.front)
    app.before_request(_Beginning(site, pages))
    log.info("whale-ready: endpoints at %s, pages at %s", PREFIX, pages.front)


def _types(site: Deployment) -> frozenset[str]:
    """The types that are served; ctfd-whale's among them where it is here and asked for."""
    if not site.asked_to_serve_whales():
        return frozenset({TYPE})
    if WHALE_TYPE not in CHALLENGE_CLASSES:
        log.error("WHALE_READY_SERVES_WHALE is true, and no plugin loaded before has Whale's type")
        return frozenset({TYPE})
    CHALLENGE_CLASSES[WHALE_TYPE] = served(CHALLENGE_CLASSES[WHALE_TYPE], site)
    site.serves_whales = True
    return frozenset({TYPE, WHALE_TYPE})


class _Deletions:
    """Ends what a request has orphaned, before it is answered.

    Whatever deletes accounts or challenges in this process is seen: an admin's button, a team's
    captain, a reset, another plugin. What happens past it is found by the worker's next round.
    """

    def __init__(self, site: Deployment, app: Any) -> None:
        self._site = site

        def importing() -> bool:
            if has_app_context():  # leaving one more would close the request's session
                return importing_now()
            with app.app_context():
                return importing_now()

        site.importing = importing
        sa.event.listen(db.engine, "after_cursor_execute", self._seen)

    def after(self, response: Any) -> Any:
        if g.pop("whale_ready_deleted", False):
            self._site.end_orphans(ORPHAN_SECONDS)
        return response

    @staticmethod
    def _seen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if _ORPHANS.match(statement) and has_request_context():
            g.whale_ready_deleted = True


class _Import:
    """CTFd's import, or that of a plugin that put its own in the place, and our tables after it."""

    def __init__(self, site: Deployment, overridden: dict[str, Any]) -> None:
        self._site = site
        self._theirs = overridden.get("import_ctf")

    def __call__(self, backup: Any, erase: bool = True) -> Any:
        with self._site.around_import():
            try:
                return self._imported(backup, erase)
            finally:  # also of one that broke off: what is there is to be served
                self._complete()

    @staticmethod
    def _complete() -> None:
        try:
            make_table(db.engine)
            complete_table(db.engine)
        except sa.exc.SQLAlchemyError as error:  # CTFd says why the import failed, not we
            log.error("the challenges' table is not right after the import: %s", reason(error))

    def _imported(self, backup: Any, erase: bool) -> Any:
        if self._theirs is not None:
            return self._theirs(backup, erase=erase)
        return import_ctf(backup, erase=erase, ignore_overrides=True)


class _Beginning:
    """At the first request of a process: look at the server, and have the worker run.

    Where no request comes, a timer does the latter. CTFd's commands serve nobody and start none.
    """

    def __init__(self, site: Deployment, pages: Pages) -> None:
        self._site = site
        self._pages = pages
        self._seen: set[int] = set()
        if Path(sys.argv[0]).name not in _COMMANDS:
            timer = threading.Timer(WORKER_DELAY_SECONDS, site.work)
            timer.daemon = True
            timer.start()

    def __call__(self) -> None:
        process = os.getpid()
        if process not in self._seen:
            self._seen.add(process)
            self._pages.look_at(Server.of(request.environ))
            self._site.work()
