"""The Flask side: CTFd's pages and API, Whale in its dialects, the fake's own control surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from . import admin, control, ctfd, ctfd_whale, documented, legacy
from .app import WhaleSite
from .dialect import FakeDialect

if TYPE_CHECKING:
    from ..fake import FakeWhale

_DIALECTS = {
    FakeDialect.CTFD_WHALE: ctfd_whale.register,
    FakeDialect.DOCUMENTED: documented.register,
    FakeDialect.LEGACY: legacy.register,
}


def build_app(fake: FakeWhale) -> Flask:
    """The WSGI application of ``fake``."""
    site = WhaleSite(lambda: fake.machine)
    control.register(site, fake)
    _DIALECTS[fake.dialect](site)
    admin.register(site)
    ctfd.register(site)
    return site.flask
