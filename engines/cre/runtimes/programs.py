"""Why a program could not be run, where the small init in front of it hides the kernel's reason.

Without an init Docker tells it: ``exec format error``, no such file. The init looks for a shell
instead and says that *this* is missing, so the program's own first bytes are looked at.
"""

from __future__ import annotations

import io
import tarfile
from contextlib import closing
from typing import Any

from docker.errors import APIError

GAVE_UP = "[FATAL tini"
"""How the init's last words begin."""
HEAD = 256
"""Bytes of a program that are looked at."""
SOUGHT = 64 * 1024
"""Bytes of an archive that are read for them; a longer path is none of a program."""

_ELF = b"\x7fELF"
_MACHINES = {"amd64": 62, "x86_64": 62, "arm64": 183, "aarch64": 183, "386": 3, "arm": 40}
"""``e_machine`` of an ELF program, by the engine's name for the processor."""


def why_not_run(api: Any, container_id: str, program: str) -> str:
    """What is wrong with a container's program, in words; empty where that cannot be seen."""
    head = _head(api, container_id, program)
    if not head:
        return ""
    if head.startswith(b"#!"):
        interpreter = head[2:].split(b"\n")[0].split()[:1]
        name = interpreter[0].decode(errors="replace") if interpreter else ""
        missing = name and _head(api, container_id, name) is None
        return f"{program} asks for {name}, which is not in the image" if missing else ""
    if not head.startswith(_ELF):
        return f"exec format error: {program} is no program, and does not begin with #!"
    wanted = _MACHINES.get(str(api.version().get("Arch")))
    if wanted not in (None, int.from_bytes(head[18:20], "little")):
        return f"exec format error: {program} is for another kind of processor than this engine's"
    return f"{program} needs a loader or libraries that are not in the image"


def _head(api: Any, container_id: str, path: str) -> bytes | None:
    """The first bytes of a file in a container: none of a link, None where there is nothing."""
    try:
        chunks, _ = api.get_archive(container_id, path)
    except APIError:
        return None
    found = io.BytesIO()
    with closing(chunks):  # a program may be large
        for chunk in chunks:
            found.write(chunk)
            if found.tell() >= SOUGHT:
                break
    found.seek(0)
    try:
        with tarfile.open(fileobj=found, mode="r|") as archive:
            entry = archive.next()
            file = None if entry is None or not entry.isreg() else archive.extractfile(entry)
            return b"" if file is None else file.read(HEAD)
    except tarfile.TarError:
        return b""
