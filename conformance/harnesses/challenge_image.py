"""The challenge image the suite runs on real Docker: built here, never shipped as a binary."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import struct
import tarfile
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from conformance.harness import CannotRun

SOURCE = Path(__file__).parent.parent / "challenge"
PULLED_BASE = "busybox:stable-musl"
"""Base image where this machine has no static busybox of its own."""
_PT_INTERP = 3


def ensure_image(client: docker.DockerClient) -> str:
    """The image to run: ``WHALE_READY_IMAGE``, else built from the suite's own Dockerfile.

    Raises:
        CannotRun: it can neither be found, built nor pulled; says what would help.
    """
    chosen = os.environ.get("WHALE_READY_IMAGE", "").strip()
    if chosen:
        return _present_or_pulled(client, chosen, f"WHALE_READY_IMAGE={chosen}")
    busybox = _static_busybox()
    base = "scratch" if busybox else PULLED_BASE
    if not busybox:
        _present_or_pulled(client, base, "no static busybox here (Debian: busybox-static)")
    context = _context(busybox)
    tag = f"whale-ready-challenge:{hashlib.sha256(context + base.encode()).hexdigest()[:12]}"
    try:
        client.images.get(tag)
    except ImageNotFound:
        _build(client, context, base, tag)
    return tag


def _present_or_pulled(client: docker.DockerClient, image: str, why: str) -> str:
    try:
        client.images.get(image)
    except ImageNotFound:
        try:
            client.images.pull(image)
        except DockerException as error:
            raise CannotRun(
                f"{why}, and image {image} can be neither found nor pulled; install a static "
                "busybox or set WHALE_READY_IMAGE to an image that is on the engine"
            ) from error
    return image


def _build(client: docker.DockerClient, context: bytes, base: str, tag: str) -> None:
    try:
        client.images.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            tag=tag,
            buildargs={"BASE": base},
            labels={"whale-ready.image": "challenge"},
            rm=True,
            forcerm=True,
        )
    except DockerException as error:
        raise CannotRun(f"the challenge image cannot be built: {error}") from error


def _context(busybox: bytes | None) -> bytes:
    """The build context as a tar archive that is the same, byte for byte, for the same files."""
    files = {
        str(path.relative_to(SOURCE)): path.read_bytes()
        for path in sorted(SOURCE.rglob("*"))
        if path.is_file()
    }
    if busybox:
        files["rootfs/bin/busybox"] = busybox
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            # A checkout or a wheel may lose the bit; the two kinds of programs need it.
            entry.mode = 0o755 if "/bin/" in name or "/cgi-bin/" in name else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _static_busybox() -> bytes | None:
    found = shutil.which("busybox")
    if found is None:
        return None
    content = Path(found).read_bytes()
    return content if _is_static_elf64(content) else None


def _is_static_elf64(content: bytes) -> bool:
    """Whether a little-endian 64-bit ELF program asks for no dynamic loader."""
    if content[:6] != b"\x7fELF\x02\x01":
        return False
    (offset,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    kinds = (struct.unpack_from("<I", content, offset + index * size)[0] for index in range(count))
    return _PT_INTERP not in kinds
