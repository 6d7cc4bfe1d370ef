"""The skeleton that pages share: one file that loads nothing, escapes all, and looks the same.

A page extends ``base.html.jinja`` and is given ``style`` and, where it has one, ``script``; its
policy lets the browser run these two and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from engines.printable import printable
from engines.published import document

if TYPE_CHECKING:
    import jinja2


def pages(*packages: str) -> jinja2.Environment:
    """Templates out of folder ``page`` of these packages, and of this one."""
    import jinja2  # an extra's; the rest of this module is asked for without it

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(each, "page") for each in (*packages, "conformance.report")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=plain,
    )
    environment.filters["fingerprint"] = _fingerprint
    environment.globals["script"] = ""
    environment.globals["document"] = document
    return environment


def part(environment: jinja2.Environment, name: str) -> str:
    """A file beside the templates as it is."""
    if environment.loader is None:
        raise RuntimeError("the templates have no loader")
    return environment.loader.get_source(environment, name)[0]


def plain(value: object) -> object:
    """What a page can show: no control character that could reorder or end a line unseen."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return printable(value, keep="\t\n")
    return value


def _fingerprint(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
