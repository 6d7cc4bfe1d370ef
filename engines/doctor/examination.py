"""All checks, in the order in which they are read."""

from __future__ import annotations

from engines.doctor.database_side import database_findings, state_file_finding
from engines.doctor.docker_side import DOCKER_SECONDS, docker_findings
from engines.doctor.environment_side import extras_finding, whale_finding
from engines.doctor.findings import DoctorFinding, unknown
from engines.settings import Settings

_SERVER = unknown(
    "server",
    "this command runs outside the web server",
    "the plugin's page Containers, Settings shows server and worker class",
)


def examine(settings: Settings, seconds: float = DOCKER_SECONDS) -> tuple[DoctorFinding, ...]:
    """Everything that can be found out from a command; changes nothing.

    Args:
        seconds: how long the Docker engine may take over one request.
    """
    state_file = state_file_finding(settings)
    return (
        *docker_findings(settings, seconds),
        *database_findings(settings),
        state_file,
        whale_finding(settings),
        extras_finding(),
        _SERVER,
    )


def examine_docker(settings: Settings) -> tuple[DoctorFinding, ...]:
    """What can keep each start from working, where the database and the rest are at work."""
    return tuple(docker_findings(settings))
