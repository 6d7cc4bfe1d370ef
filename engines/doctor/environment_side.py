"""What is installed, and Whale as far as this machine knows."""

from __future__ import annotations

import re
import stat
from importlib import metadata
from urllib.parse import urlsplit

from engines.doctor.findings import DoctorFinding, not_ok, ok, unknown
from engines.settings import Settings

PACKAGE = "whale-ready"
_PREFLIGHT = "`whale-ready preflight` asks Whale itself"
_NEEDED = re.compile(r"([\w.-]+)(?:\[([^]]*)])?.*;.*\bextra == ['\"]([\w-]+)['\"]")


def extras_finding() -> DoctorFinding:
    """Which extras have all their packages here."""
    try:
        found = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return unknown("extras", f"{PACKAGE} is not installed here as a package")
    extras = sorted(found.metadata.get_all("Provides-Extra") or ())
    needed: dict[str, set[str]] = {extra: set() for extra in extras}
    for line in found.requires or ():
        match = _NEEDED.match(line)
        if match and match[1] != PACKAGE:
            needed.setdefault(match[3], set()).add(match[1])
    missing = {extra: sorted(filter(_is_missing, needed[extra])) for extra in extras}
    here = [extra for extra in extras if not missing[extra]]
    seen = f"{PACKAGE} {found.version}, with {', '.join(here) or 'no extra'}"
    if len(here) == len(extras):
        return ok("extras", seen)
    absent = (f"{extra} (pip install '{PACKAGE}[{extra}]')" for extra in extras if missing[extra])
    return ok("extras", f"{seen}; without {', '.join(absent)}")


def whale_finding(settings: Settings) -> DoctorFinding:
    """Whether Whale is set up on our side."""
    url = settings.whale_api_url
    if url is None:
        if settings.use_whale:
            return not_ok(
                "whale",
                "USE_WHALE is true and WHALE_API_URL is empty",
                "write the address of Whale's CTFd, or set USE_WHALE=false",
            )
        return ok("whale", "not set up: everything runs on this site's Docker")
    tokens = settings.whale_tokens_file
    host = urlsplit(url).hostname
    if tokens is None:
        if settings.whale_ctfd_database_url is None:
            return not_ok(
                "whale",
                f"{host}: neither WHALE_TOKENS_FILE nor WHALE_CTFD_DATABASE_URL is set",
                "set one of them (docs/whale.md)",
            )
        return ok("whale", f"{host}, with tokens from its database; {_PREFLIGHT}")
    try:
        mode = stat.S_IMODE(tokens.stat().st_mode)
    except OSError as error:
        return not_ok("whale", f"{host}: WHALE_TOKENS_FILE: {error.strerror}", "correct its path")
    if mode & 0o077:
        seen = f"{host}: WHALE_TOKENS_FILE has mode {mode:04o}: other users may use the tokens"
        return not_ok("whale", seen, f"chmod 600 {tokens}")
    return ok("whale", f"{host}, with the tokens of WHALE_TOKENS_FILE; {_PREFLIGHT}")


def _is_missing(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return True
    return False
