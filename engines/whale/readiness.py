"""Whether a fresh instance answers where Whale says it does."""

from __future__ import annotations

from engines.probe import answers_http, answers_tcp, wait_until
from engines.settings import Settings
from engines.whale.access import Access


def instance_answers(access: Access, settings: Settings) -> bool:
    """Wait until the address answers, at most ``whale_ready_seconds``; True at once when the
    settings say not to probe."""
    if not settings.whale_probe:
        return True
    return wait_until(
        lambda timeout: _answers_once(access, settings.whale_probe_gateway, timeout),
        settings.whale_ready_seconds,
    )


def _answers_once(access: Access, gateway: str | None, timeout: float) -> bool:
    if access.scheme not in ("http", "https"):
        return answers_tcp(access.host, access.port, timeout=timeout)
    public = f"{access.host}:{access.port}"
    if gateway is not None:
        return answers_http(gateway, host_header=public, timeout=timeout)
    return answers_http(f"{access.scheme}://{public}/", timeout=timeout)
