"""Where the pages of docs/ are published; the address stands in pyproject.toml alone."""

from __future__ import annotations

from importlib import metadata

_LABEL = "Documentation"


def document(page: str) -> str:
    """The address of a page, as ``gating.md``; a place in the checkout where none is installed."""
    try:
        urls = metadata.metadata("whale-ready").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        urls = []
    addresses = dict(url.split(", ", 1) for url in urls)
    return f"{addresses.get(_LABEL, 'docs')}/{page}"
