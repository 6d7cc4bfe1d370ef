"""Who sees to the firewall before an instance is made, and whether it can be had at all."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from engines.cre.firewall import CLOSED, FIX, OPEN, Firewall
from engines.errors import BackendUnavailable
from engines.settings import Settings

log = logging.getLogger(__name__)

BRIDGE_NETFILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
INTERFACES = Path("/sys/class/net")
LOOK_SECONDS = 10.0
"""How long a start relies on the last look: somebody may flush the rules at any time."""


class FirewallGuard:
    """Sees to the rules as ``CRE_FIREWALL`` says.

    Args:
        mode: ``engine``, ``operator`` or ``none``.
        docker_host: the engine's address; empty for the local one.
        firewall: the rules of this machine, unless given.
    """

    def __init__(self, mode: str, docker_host: str = "", firewall: Firewall | None = None) -> None:
        self._mode = mode
        self._docker_host = docker_host
        self._firewall = firewall or Firewall()
        self._lock = threading.Lock()
        self._looked = -math.inf
        self._warned = False

    @property
    def keeps(self) -> bool:
        """Whether anybody keeps instances from host and internet."""
        return self._mode != "none"

    def ensure(self, interface: str) -> None:
        """Return once the rules hold for a bridge; looks at them every :data:`LOOK_SECONDS`.

        Raises:
            BackendUnavailable: they cannot be had; names the fix.
        """
        if self._mode == "none":
            self._warn_once()
        elif self._mode == "engine":
            self._check_place(interface)
            with self._lock:
                if time.monotonic() - self._looked >= LOOK_SECONDS:
                    self._see_to_rules()

    def sees(self, interface: str) -> bool:
        """Whether this machine has an interface of that name."""
        return (INTERFACES / interface).exists()

    def refresh(self) -> None:
        """Look again, as somebody may have flushed the rules; raises as :meth:`ensure`.

        Does nothing on a machine without bridges of ours.
        """
        if self._mode != "engine" or is_remote(self._docker_host):
            return
        if any(path.name.startswith((CLOSED, OPEN)) for path in INTERFACES.iterdir()):
            with self._lock:
                self._see_to_rules()

    def _warn_once(self) -> None:
        with self._lock:
            if not self._warned:
                self._warned = True
                log.warning("CRE_FIREWALL=none: instances can reach Docker's host and the internet")

    def _see_to_rules(self) -> None:
        if not sees_bridged():
            raise BackendUnavailable(NO_BRIDGE_NETFILTER, untouched=True)
        if not self._firewall.applied():
            self._firewall.apply()
            log.info("firewall rules applied")
        self._looked = time.monotonic()

    def _check_place(self, interface: str) -> None:
        """Whether the engine's host is this machine."""
        if is_remote(self._docker_host):
            raise BackendUnavailable(
                "the Docker engine is on another machine, whose firewall cannot be set from here; "
                f"{FIX}",
                untouched=True,
            )
        if not self.sees(interface):
            raise BackendUnavailable(
                f"there is no interface {interface} here: the Docker engine is on another machine "
                f"or in another network namespace; {FIX}",
                untouched=True,
            )


NO_BRIDGE_NETFILTER = (
    "packets between instances pass no rule: run `modprobe br_netfilter` and `sysctl "
    "net.bridge.bridge-nf-call-iptables=1` on Docker's host"
)


def sees_bridged() -> bool:
    """Whether iptables see what passes within one bridge (the kernel's br_netfilter)."""
    try:
        return BRIDGE_NETFILTER.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False


def is_remote(docker_host: str) -> bool:
    """Whether an engine's address leads off this machine, or may."""
    return urlsplit(docker_host).scheme not in ("", "unix")


def docker_host(settings: Settings) -> str:
    """The engine's address; empty for the local one."""
    return settings.cre_docker_host or os.environ.get("DOCKER_HOST", "")
