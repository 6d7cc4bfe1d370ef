"""The Flask side: CTFd's pages and API, Whale in its dialects, the fake's own control surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from . import ctfd, ctfd_whale
from .app import Site

if TYPE_CHECKING:
    from ..fake import FakeWhale


def build_app(fake: FakeWhale) -> Flask:
    """The WSGI application of ``fake``."""
    site = Site(lambda: fake.machine)
    ctfd_whale.register(site)
    ctfd.register(site)
    return site.flask
