"""The page: one file with everything in it, the player's panel of the CTFd plugin among it."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from jinja2 import Environment, PackageLoader, StrictUndefined

from whale_ready.demo.backends import Demo
from whale_ready.demo.cast import LIFE_SECONDS, PLAYERS, DemoPlayer
from whale_ready.demo.picture import places

PRESETS = ("0", "1", "10", "50", "100")
"""Shares of the dial that have a button, in percent."""

_PANEL = files("engines.ctfd") / "plugin" / "assets"
_OURS = files("whale_ready.demo") / "assets"
_SECTION = re.compile(r"<section.*</section>", re.DOTALL)
_NO_CHALLENGE = {"id": "", "container_readiness": ""}


def page(demo: Demo, player: DemoPlayer, csrf: str, nonce: str) -> str:
    """The page as this player sees it first; ``nonce`` lets its own style and script run."""
    template = _environment().get_template("page.html.jinja")
    return template.render(
        nonce=nonce,
        panel=_panel(),
        style=_text(_PANEL / "panel.css") + _text(_OURS / "page.css"),
        # One module: the page's script calls what the panel's declares.
        script=_text(_PANEL / "panel.js") + _text(_OURS / "page.js"),
        players=PLAYERS.values(),
        challenges=places(),
        presets=PRESETS,
        simulated=demo.simulated,
        life_minutes=LIFE_SECONDS // 60,
        settings=demo.settings,
        data={"csrf": csrf, "player": player.user_id, "challenges": places()},
    )


def content_security_policy(nonce: str) -> str:
    """Nothing but what is on the page, and no server but its own."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("whale_ready.demo", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _panel() -> str:
    """The panel's own markup, out of the plugin's page of a challenge."""
    found = _SECTION.search(_text(_PANEL / "view.html"))
    if found is None:
        raise RuntimeError("engines/ctfd/plugin/assets/view.html holds no <section>")
    return _environment().from_string(found[0]).render(challenge=_NO_CHALLENGE)


def _text(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")
