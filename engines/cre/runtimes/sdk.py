"""Whether the docker SDK of this Python environment can be used."""

from __future__ import annotations

from importlib import import_module, metadata

from engines.errors import SettingsError

OLDEST = (4, 1)
"""The oldest release that was tried. ctfd-whale pins it."""
FIX = "pip install 'docker>=7.1' in the Python environment that runs whale-ready"


def check_sdk() -> None:
    """Import the SDK.

    Raises:
        SettingsError: it is missing or cannot be imported; names the fix.
    """
    try:
        import_module("docker.errors")
    except Exception as error:  # whatever a package does that is called docker
        raise SettingsError(
            f"the docker SDK{_numbered()} cannot be imported ({type(error).__name__}: {error}): "
            f"{FIX}"
        ) from error


def sdk_version() -> str:
    """The installed release; empty where there is none."""
    try:
        return metadata.version("docker")
    except metadata.PackageNotFoundError:
        return ""


def _numbered() -> str:
    version = sdk_version()
    return f" {version}" if version else ""
