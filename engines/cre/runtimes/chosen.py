"""The runtime that the settings name, with all that it stands on."""

from __future__ import annotations

from engines.cre.runtimes.base import Runtime
from engines.cre.runtimes.connection import connector, probe_host
from engines.cre.runtimes.docker import DockerRuntime
from engines.settings import Settings


def runtime_from(settings: Settings) -> Runtime:
    """Make it; the engine is asked for on first use, so that one that is down is no error here.

    Raises:
        SettingsError: a setting is wrong; names it and the fix.
    """
    return DockerRuntime(connect=connector(settings), probe_host=probe_host(settings))
