"""Every setting of ``engines``, read once from the environment, checked and typed.

A wrong value raises :class:`engines.errors.SettingsError`, which names the setting and the fix.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from engines.errors import SettingsError
from engines.setting_values import (
    boolean,
    constraints,
    database,
    docker_host,
    moment,
    network,
    port_range,
    seconds,
    url,
    whole,
    word,
)


def _setting(env: str, parse: Callable[[str], Any], default: Any, text: str, **more: Any) -> Any:
    return field(default=default, metadata={"env": env, "parse": parse, "help": text}, **more)


def default_database_url() -> str:
    """SQLite in the user's state folder (``$XDG_STATE_HOME/whale-ready/state.db``)."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return f"sqlite:///{Path(state) / 'whale-ready' / 'state.db'}"


@dataclass(frozen=True)
class Settings:
    """Typed settings. Times are in seconds."""

    use_whale: bool = _setting(
        "USE_WHALE", boolean, False, "true: instances run on Whale; false: on this site's Docker"
    )
    database_url: str = _setting(
        "CONTAINER_DATABASE_URL",
        database,
        "",
        "where instances and the audit log are kept; empty: SQLite in the user's state folder",
        repr=False,
    )
    challenges_file: Path | None = _setting(
        "CONTAINER_CHALLENGES_FILE", Path, None, "TOML file with the challenges and their images"
    )
    ends_on_solve: bool = _setting(
        "CONTAINER_ENDS_ON_SOLVE",
        boolean,
        False,
        "true: an instance ends when its account has solved the challenge, unless the challenge "
        "says otherwise; false: it goes on, and gives way when every place is taken",
    )
    worker_seconds: float = _setting(
        "CONTAINER_WORKER_SECONDS", seconds, 10.0, "period of the cleanup worker"
    )
    look_seconds: float = _setting(
        "CONTAINER_LOOK_SECONDS",
        seconds,
        2.0,
        "how long a status or an extension waits for a Docker engine or a Whale that hangs; what "
        "is on record is shown then. An engine reached over ssh from far away may need more",
    )
    answer_seconds: float = _setting(
        "CONTAINER_ANSWER_SECONDS",
        seconds,
        10.0,
        "how long a Docker engine may give no sign of life at all before starts and stops are "
        "answered unavailable; work that takes long meanwhile goes on. Of a Whale: how long it may "
        "take to be looked at",
    )
    flag_grace_seconds: int = _setting(
        "CONTAINER_FLAG_GRACE_SECONDS",
        whole(0, 86400),
        600,
        "how long a flag still counts after its container has crashed, expired or been stopped",
    )

    calls_per_minute: int = _setting(
        "CONTAINER_CALLS_PER_MINUTE",
        whole(0, 100_000),
        120,
        "starts, extensions and stops an account may ask the endpoints for in a minute, refused "
        "ones among them; 0 for as many as it likes",
    )
    audit_days: int = _setting(
        "CONTAINER_AUDIT_DAYS",
        whole(0, 36_500),
        90,
        "how long the audit log is kept: 90 days are longer than any contest and its complaints; "
        "0 for ever",
    )
    audit_rows: int = _setting(
        "CONTAINER_AUDIT_ROWS",
        whole(0, 1_000_000_000),
        1_000_000,
        "rows of the audit log that are kept: a million take some 400 MB; of more, those of calls "
        "that changed nothing go first; 0 for any number",
    )
    audit_export_folder: Path | None = _setting(
        "CONTAINER_AUDIT_EXPORT_FOLDER",
        Path,
        None,
        "folder that rows of the audit log are written to, as JSON lines, before they are deleted; "
        "empty: they are not",
    )

    cre_timeout_seconds: int = _setting(
        "CRE_TIMEOUT_SECONDS", whole(1, 30 * 86400), 3600, "full life of a fresh instance"
    )
    cre_extension_seconds: int = _setting(
        "CRE_EXTENSION_SECONDS", whole(1, 30 * 86400), 900, "what one extend adds"
    )
    cre_max_extensions: int = _setting(
        "CRE_MAX_EXTENSIONS", whole(0, 1000), 5, "extensions one instance may get"
    )
    cre_account_limit: int = _setting(
        "CRE_ACCOUNT_LIMIT", whole(1, 1000), 1, "live instances one account may hold"
    )
    cre_capacity: int = _setting(
        "CRE_CAPACITY", whole(1, 1_000_000), 1000, "live instances in the whole system"
    )
    cre_public_host: str = _setting(
        "CRE_PUBLIC_HOST", str, "127.0.0.1", "host name shown to players"
    )
    cre_bind_address: str = _setting(
        "CRE_BIND_ADDRESS", str, "127.0.0.1", "address instances' ports are published on"
    )
    cre_ready_seconds: float = _setting(
        "CRE_READY_SECONDS", seconds, 30.0, "how long a fresh instance may take to answer"
    )
    cre_deployment: str | None = _setting(
        "CRE_DEPLOYMENT",
        str,
        None,
        "value of the label that marks this deployment's containers; empty: kept in the database",
    )

    cre_runtime: str = _setting(
        "CRE_RUNTIME",
        word("docker", "swarm"),
        "docker",
        "what runs containers: docker (one engine) or swarm (Docker Swarm, many nodes)",
    )
    cre_docker_host: str = _setting(
        "CRE_DOCKER_HOST",
        docker_host,
        "",
        "the Docker engine: unix://, tcp:// or ssh:// address; empty: DOCKER_HOST, else the local "
        "one",
    )
    cre_docker_cert_folder: Path | None = _setting(
        "CRE_DOCKER_CERT_FOLDER",
        Path,
        None,
        "folder with ca.pem, cert.pem and key.pem for a tcp:// engine over TLS; empty: "
        "DOCKER_CERT_PATH",
    )
    cre_registry_config: Path | None = _setting(
        "CRE_REGISTRY_CONFIG",
        Path,
        None,
        "Docker config.json with the credentials of registries; empty: ~/.docker/config.json",
    )
    cre_probe_host: str = _setting(
        "CRE_PROBE_HOST",
        str,
        "",
        "where published ports are reached from this process; empty: CRE_BIND_ADDRESS, or the host "
        "of a tcp:// or ssh:// engine",
    )
    cre_port_range: range | None = _setting(
        "CRE_PORT_RANGE",
        port_range,
        None,
        "ports to publish on, as 30000-30999; empty: whatever the engine chooses",
    )
    cre_network_pool: IPv4Network = _setting(
        "CRE_NETWORK_POOL",
        network,
        IPv4Network("10.213.0.0/16"),
        "addresses for instances' networks; nothing else may use them",
    )
    cre_network_mtu: int = _setting(
        "CRE_NETWORK_MTU",
        whole(0, 65535),
        0,
        "MTU of instances' networks, as 1400 in a cloud or behind a VPN; 0: the engine's own, as "
        "dockerd has it for its default bridge",
    )
    cre_firewall: str = _setting(
        "CRE_FIREWALL",
        word("engine", "operator", "none"),
        "engine",
        "who keeps instances from host and internet: engine (this process, root on Docker's host), "
        "operator (whale-ready firewall was run there) or none (nobody: they are not kept)",
    )
    cre_start_limit: int = _setting(
        "CRE_START_LIMIT",
        whole(0, 100_000),
        20,
        "starts one account may make within CRE_START_WINDOW_SECONDS; 0 for as many as it likes",
    )
    cre_start_window_seconds: int = _setting(
        "CRE_START_WINDOW_SECONDS", whole(1, 86400), 300, "window of CRE_START_LIMIT"
    )
    cre_ends_at: datetime | None = _setting(
        "CRE_ENDS_AT",
        moment,
        None,
        "end of the contest, as 2026-12-01T18:00:00+01:00: running instances are stopped then",
    )
    cre_parallel_starts: int = _setting(
        "CRE_PARALLEL_STARTS",
        whole(1, 256),
        6,
        "containers one process has made at a time; further starts wait their turn",
    )
    cre_parallel_removals: int = _setting(
        "CRE_PARALLEL_REMOVALS", whole(1, 256), 4, "containers the worker removes at a time"
    )
    cre_constraints: tuple[str, ...] = _setting(
        "CRE_CONSTRAINTS",
        constraints,
        (),
        "swarm only: placement constraints of every instance, as node.labels.ctf==true,…",
    )

    whale_api_url: str | None = _setting(
        "WHALE_API_URL", url, None, "address of the CTFd that runs ctfd-whale"
    )
    whale_dialect: str = _setting(
        "WHALE_DIALECT",
        str,
        "auto",
        "wire dialect that Whale speaks: auto (found by itself), ctfd-whale, documented or legacy",
    )
    whale_scope: str = _setting(
        "WHALE_SCOPE",
        word("auto", "user", "challenge"),
        "auto",
        "what Whale holds: user (one instance per user), challenge (one per user, or team, and "
        "challenge, as some forks do) or auto (as it was seen to do; until then one per user)",
    )
    whale_account_limit: int = _setting(
        "WHALE_ACCOUNT_LIMIT",
        whole(1, 1000),
        1000,
        "live instances one account may hold on a Whale that has one per challenge; any other "
        "has one",
    )
    whale_tokens_file: Path | None = _setting(
        "WHALE_TOKENS_FILE",
        Path,
        None,
        "TOML file with each user's access token, or name and password; mode 0600",
    )
    whale_ctfd_database_url: str | None = _setting(
        "WHALE_CTFD_DATABASE_URL",
        database,
        None,
        "the database of Whale's CTFd: access tokens are taken from there, and made where missing",
        repr=False,
    )
    whale_ca_file: Path | None = _setting(
        "WHALE_CA_FILE", Path, None, "PEM file with the CAs to trust for https; empty: the system's"
    )
    whale_client_certificate_file: Path | None = _setting(
        "WHALE_CLIENT_CERTIFICATE_FILE",
        Path,
        None,
        "PEM file with our certificate, for a Whale that asks its clients for one",
    )
    whale_client_key_file: Path | None = _setting(
        "WHALE_CLIENT_KEY_FILE",
        Path,
        None,
        "PEM file with its key; empty: the certificate's file holds it too",
    )
    whale_timeout_seconds: int = _setting(
        "WHALE_TIMEOUT_SECONDS", whole(1, 86400), 3600, "Whale's own docker_timeout"
    )
    whale_max_extensions: int = _setting(
        "WHALE_MAX_EXTENSIONS", whole(0, 1000), 5, "Whale's own docker_max_renew_count"
    )
    whale_call_seconds: float = _setting(
        "WHALE_CALL_SECONDS", seconds, 30.0, "deadline of one request to Whale"
    )
    whale_look_again_seconds: float = _setting(
        "WHALE_LOOK_AGAIN_SECONDS",
        seconds,
        2.0,
        "how long to look for what became of a request whose answer was lost",
    )
    whale_settle_seconds: float = _setting(
        "WHALE_SETTLE_SECONDS",
        seconds,
        120.0,
        "how long Whale may still be at work on such a request; no new start before that",
    )
    whale_parallel_writes: int = _setting(
        "WHALE_PARALLEL_WRITES",
        whole(0, 1000),
        1,
        "starts, extensions and stops that may be at Whale at once, over all processes; 0 for any "
        "number. More than 1 makes frpc lose its token and Whale admit more than its limit",
    )
    whale_write_wait_seconds: float = _setting(
        "WHALE_WRITE_WAIT_SECONDS",
        seconds,
        20.0,
        "how long one of them waits for its turn before it is answered busy: some forty writes at "
        "the half second that a real Whale takes, and still within a proxy's usual minute",
    )
    whale_start_again_seconds: float = _setting(
        "WHALE_START_AGAIN_SECONDS",
        whole(0, 60),
        0,
        "pause before a start that Whale could not carry out is tried once more, in case another's "
        "write was in its way: 10, as Whale locks the user out for ten; 0: not tried again",
    )
    whale_probe: bool = _setting(
        "WHALE_PROBE", boolean, True, "wait until a fresh instance answers before saying started"
    )
    whale_probe_gateway: str | None = _setting(
        "WHALE_PROBE_GATEWAY",
        url,
        None,
        "frps' inner address for probing http instances, where players' names do not resolve",
    )
    whale_ready_seconds: float = _setting(
        "WHALE_READY_SECONDS", seconds, 30.0, "how long a fresh instance may take to answer"
    )

    whale_direct_hold_seconds: float = _setting(
        "WHALE_DIRECT_HOLD_SECONDS",
        seconds,
        1.25,
        "how long a silent direct connection must stay open before the first dead one was seen: "
        "frpc closes those only once it has looked the name up, so keep it above the slowest "
        "look-up",
    )
    whale_direct_short_hold_seconds: float = _setting(
        "WHALE_DIRECT_SHORT_HOLD_SECONDS",
        seconds,
        0.3,
        "the least it must stay open once dead ones were seen in the same start, and a quarter "
        "longer than those: a silent service is started half a second after it listens at most, if "
        "a look-up takes 0.3 s; set both alike for a resolver whose speed jumps",
    )

    rollout_fallback: bool = _setting(
        "ROLLOUT_FALLBACK",
        boolean,
        True,
        "start on this site's Docker when Whale is certainly down",
    )
    rollout_poll_seconds: float = _setting(
        "ROLLOUT_POLL_SECONDS", seconds, 2.0, "how old the dial may be that a process goes by"
    )
    rollout_breaker_failures: int = _setting(
        "ROLLOUT_BREAKER_FAILURES",
        whole(1, 1000),
        5,
        "starts in a row that Whale did not answer, after which it is left alone",
    )
    rollout_breaker_seconds: float = _setting(
        "ROLLOUT_BREAKER_SECONDS", seconds, 30.0, "for how long, before one start tries it again"
    )
    rollout_step_back: bool = _setting(
        "ROLLOUT_STEP_BACK",
        boolean,
        True,
        "turn the dial back by itself when Whale passes one of the limits below",
    )
    rollout_window_seconds: int = _setting(
        "ROLLOUT_WINDOW_SECONDS",
        whole(10, 86400),
        600,
        "the time that the limits are measured over, from the dial's last change at the earliest",
    )
    rollout_min_starts: int = _setting(
        "ROLLOUT_MIN_STARTS", whole(1, 100_000), 20, "starts on Whale below which nothing is judged"
    )
    rollout_error_percent: int = _setting(
        "ROLLOUT_ERROR_PERCENT", whole(0, 100), 5, "starts that may fail on Whale, in percent"
    )
    rollout_ready_seconds: float = _setting(
        "ROLLOUT_READY_SECONDS",
        seconds,
        30.0,
        "what 95 percent of the starts on Whale may take at most",
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment (``os.environ`` unless given).

        Raises:
            SettingsError: a value is wrong; names the setting and the fix.
        """
        source = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for each in fields(cls):
            env = each.metadata["env"]
            text = source.get(env, "").strip()
            if not text:
                continue
            try:
                values[each.name] = each.metadata["parse"](text)
            except ValueError as error:
                raise SettingsError(f"{env}: {error}") from None
        found = cls(**values)
        if found.whale_probe and found.whale_ready_seconds < 2 * found.whale_direct_hold_seconds:
            raise SettingsError(
                "WHALE_READY_SECONDS: write at least twice WHALE_DIRECT_HOLD_SECONDS "
                f"({found.whale_direct_hold_seconds:g}): a silent service is watched for that long "
                "before it counts as started"
            )
        if found.answer_seconds < found.look_seconds:
            raise SettingsError(
                "CONTAINER_ANSWER_SECONDS: write at least CONTAINER_LOOK_SECONDS "
                f"({found.look_seconds:g}): who starts waits for no less than who looks"
            )
        return found

    @property
    def state_url(self) -> str:
        """The database to use: the one that is set, else the default."""
        return self.database_url or default_database_url()
