"""The way to the Docker engine: local, tcp, tcp over TLS, or ssh, with registry credentials.

``CRE_DOCKER_HOST``, ``CRE_DOCKER_CERT_FOLDER`` and ``CRE_REGISTRY_CONFIG`` say it; where they are
empty, ``DOCKER_HOST``, ``DOCKER_CERT_PATH`` with ``DOCKER_TLS_VERIFY``, and ``~/.docker`` do. Over
TLS both sides are always verified: ``DOCKER_CERT_PATH`` alone does not mean less, as it does for
the SDK.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import ssl
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import docker
import docker.auth
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, DockerException, InvalidVersion
from docker.tls import TLSConfig
from docker.utils import parse_host
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException, Timeout

from engines.cre.runtimes.engine_api import CALL_SECONDS, causes, unreachable
from engines.cre.runtimes.local_socket import LocalSocket
from engines.cre.runtimes.ssh import SSHAdapter, ssh_command
from engines.deadline import BoundedAdapter
from engines.errors import BackendUnavailable, SettingsError
from engines.settings import Settings

log = logging.getLogger(__name__)

POOL_SIZE = 64
"""Connections to the engine that are kept."""
ALLOW_SOCKET = (
    "give the process the socket's group (compose: group_add, docker run: --group-add, with that "
    "gid; systemd: SupplementaryGroups=docker). As only root may set firewall rules, also run "
    "`whale-ready firewall apply` as root on Docker's host and set CRE_FIREWALL=operator"
)
CHECK_SOCKET = "name Docker's own socket in CRE_DOCKER_HOST, or look at dockerd's log"
CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")
_NETWORK = ("tcp", "http", "https")
_OVER_SSH = "tcp://docker-over-ssh:2375"
"""Stands for the far side; no name is ever looked up."""

Connect = Callable[[], docker.DockerClient]


def connect(settings: Settings, environ: Mapping[str, str] | None = None) -> docker.DockerClient:
    """A client whose engine has answered once.

    Raises:
        SettingsError: a setting is wrong; names it and the fix.
        BackendUnavailable: the engine cannot be reached, or not with these certificates or keys.
    """
    return connector(settings, environ)()


def connector(
    settings: Settings,
    environ: Mapping[str, str] | None = None,
    *,
    seconds: float = CALL_SECONDS,
) -> Connect:
    """Check the settings now; the engine is asked by calling what is returned.

    Args:
        seconds: how long one request may take.

    Raises:
        SettingsError: a setting is wrong; names it and the fix.
    """
    source = os.environ if environ is None else environ
    where = _address(settings, source)
    _check_address(where)
    certificates = _certificates(settings, source, where)
    _check_registry_config(settings.cre_registry_config)

    def open_client() -> docker.DockerClient:
        over_ssh = where.scheme == "ssh"
        client = (
            _over_ssh(where, seconds) if over_ssh else _over_sockets(where, certificates, seconds)
        )
        if settings.cre_registry_config is not None:
            client.api.reload_config(str(settings.cre_registry_config))
        return client

    return open_client


def probe_host(settings: Settings, environ: Mapping[str, str] | None = None) -> str | None:
    """Where published ports are reached from this process; None for the bind address."""
    if settings.cre_probe_host:
        return settings.cre_probe_host
    where = _address(settings, os.environ if environ is None else environ)
    return urlsplit(where.url).hostname if where.scheme in (*_NETWORK, "ssh") else None


@dataclass(frozen=True)
class _Address:
    """The engine's address and the variable that gave it; empty for the local engine."""

    url: str
    setting: str

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def socket(self) -> str:
        """Path of the local socket; empty where the engine is reached over the network."""
        if self.scheme in (*_NETWORK, "ssh"):
            return ""
        return "/" + str(parse_host(self.url or None)).removeprefix("http+unix://").lstrip("/")


@dataclass(frozen=True)
class _Certificates:
    """A folder with certificates and the variable that gave it."""

    folder: Path
    setting: str

    def tls(self) -> TLSConfig:
        ca, certificate, key = (str(self.folder / name) for name in CERTIFICATES)
        return TLSConfig(client_cert=(certificate, key), ca_cert=ca, verify=True)


def _address(settings: Settings, environ: Mapping[str, str]) -> _Address:
    if settings.cre_docker_host:
        return _Address(settings.cre_docker_host, "CRE_DOCKER_HOST")
    return _Address(environ.get("DOCKER_HOST", "").strip(), "DOCKER_HOST")


def _check_address(where: _Address) -> None:
    try:
        if where.scheme == "ssh":
            ssh_command(where.url)
        else:
            parse_host(where.url or None)
    except ValueError as error:
        raise SettingsError(f"{where.setting}: {error}") from None
    except DockerException:
        raise SettingsError(
            f"{where.setting}: write unix:///var/run/docker.sock, tcp://HOST:2376 or "
            "ssh://USER@HOST"
        ) from None


def _certificates(
    settings: Settings, environ: Mapping[str, str], where: _Address
) -> _Certificates | None:
    """The certificates to use; None: no TLS."""
    named = settings.cre_docker_cert_folder
    if where.scheme not in _NETWORK:
        if named is not None:
            raise SettingsError(
                "CRE_DOCKER_CERT_FOLDER: certificates are for a tcp:// engine; set "
                "CRE_DOCKER_HOST=tcp://HOST:2376, or leave the folder out"
            )
        return None
    inherited = environ.get("DOCKER_CERT_PATH", "").strip()
    if named is not None:
        chosen = _Certificates(named, "CRE_DOCKER_CERT_FOLDER")
    elif inherited:
        chosen = _Certificates(Path(inherited), "DOCKER_CERT_PATH")
    elif environ.get("DOCKER_TLS_VERIFY", "").strip():
        chosen = _Certificates(Path("~/.docker").expanduser(), "DOCKER_TLS_VERIFY")
    else:
        return None
    _check_certificates(chosen)
    return chosen


def _check_certificates(certificates: _Certificates) -> None:
    missing = [name for name in CERTIFICATES if not (certificates.folder / name).is_file()]
    if missing:
        raise SettingsError(
            f"{certificates.setting}: the folder has no {' and no '.join(missing)}; it must hold "
            "the CA's certificate (ca.pem), our certificate (cert.pem) and its key (key.pem)"
        )
    ca, certificate, key = (certificates.folder / name for name in CERTIFICATES)
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca)
        # An encrypted key would ask at the terminal; an empty password makes it an error.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise SettingsError(
            f"{certificates.setting}: ca.pem, cert.pem and key.pem cannot be used; they must be "
            "readable PEM files, key.pem without a pass phrase and belonging to cert.pem"
        ) from None


def _check_registry_config(path: Path | None) -> None:
    if path is None:
        return
    try:
        # The SDK takes a file that it cannot read for an empty one.
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError
        docker.auth.load_config(str(path))
    except OSError as error:
        raise SettingsError(
            f"CRE_REGISTRY_CONFIG: {error.strerror}; name a file that this user can read, as "
            "`docker login` writes it"
        ) from None
    except (ValueError, DockerException):
        # The error's own text may quote the file.
        raise SettingsError(
            "CRE_REGISTRY_CONFIG: not a Docker config.json; name a file as `docker login` writes it"
        ) from None


def _over_sockets(
    where: _Address, certificates: _Certificates | None, seconds: float
) -> docker.DockerClient:
    adapter: HTTPAdapter
    if where.scheme in _NETWORK:
        adapter = BoundedAdapter(pool_maxsize=POOL_SIZE)
    else:
        adapter = LocalSocket(where.socket, POOL_SIZE)
    tls = certificates.tls() if certificates else None
    try:
        return _negotiated(where.url, adapter, tls, seconds)
    except (DockerException, RequestException, KeyError) as error:
        raise _unavailable(error, where, certificates) from error


def _over_ssh(where: _Address, seconds: float) -> docker.DockerClient:
    adapter = SSHAdapter(ssh_command(where.url), POOL_SIZE)
    try:
        return _negotiated(_OVER_SSH, adapter, None, seconds)
    except (DockerException, RequestException, KeyError) as error:
        words = adapter.last_words()
        adapter.close()
        said = f"; ssh says: {words}" if words else ""
        raise BackendUnavailable(
            f"the Docker engine cannot be reached over ssh ({where.setting}){said}",
            untouched=True,
            fix="try `ssh -o BatchMode=yes USER@HOST docker version` as the user that this runs as",
        ) from error


def _negotiated(
    url: str, adapter: HTTPAdapter, tls: TLSConfig | None, seconds: float
) -> docker.DockerClient:
    """A client that speaks the engine's own version of the API, over ``adapter``.

    Left to itself, the SDK asks for the version before it can be given another transport, and
    before it can be told to leave the environment alone.
    """
    first = _client(url, adapter, tls, DEFAULT_DOCKER_API_VERSION, seconds)
    version = str(first.api.version(api_version=False)["ApiVersion"])
    return _client(url, adapter, tls, version, seconds)


def _client(
    url: str, adapter: HTTPAdapter, tls: TLSConfig | None, version: str, seconds: float
) -> docker.DockerClient:
    try:
        client = docker.DockerClient(
            base_url=url or None,
            version=version,
            timeout=int(seconds),
            tls=tls or False,
        )
    except ValueError:
        raise _bad_own_config() from None
    # REQUESTS_CA_BUNDLE would take the place of our CA, and a proxy that of the engine.
    client.api.trust_env = False
    client.api.mount(client.api.base_url, adapter)
    return client


def _bad_own_config() -> SettingsError:
    return SettingsError(
        "~/.docker/config.json: its credentials cannot be read; run `docker login` again, or name "
        "another file in CRE_REGISTRY_CONFIG"
    )


def _unavailable(
    error: Exception, where: _Address, certificates: _Certificates | None
) -> BackendUnavailable:
    """What a first contact that failed means; says so of certificates where they are why."""
    found = list(causes(error))
    setting = certificates.setting if certificates else "CRE_DOCKER_CERT_FOLDER"
    if any(isinstance(exception, ssl.SSLCertVerificationError) for exception in found):
        seen = "the Docker engine's certificate is not to be trusted"
        fix = (
            f"put the CA that signed it into {setting} as ca.pem, and write the host name it was "
            f"made for into {where.setting}"
        )
    elif any(isinstance(exception, ssl.SSLError) for exception in found):
        seen = "the Docker engine refused the TLS connection"
        fix = (
            f"put a certificate signed by the CA that it trusts into {setting} as cert.pem and "
            "key.pem"
        )
    elif any(_speaks_tls(exception) for exception in found):
        seen = "the Docker engine wants TLS"
        fix = "name the folder with ca.pem, cert.pem and key.pem in CRE_DOCKER_CERT_FOLDER"
    elif any(isinstance(exception, InvalidVersion) for exception in found):
        seen, fix = "the Docker engine is too old for this docker SDK", "upgrade Docker"
    elif where.socket:
        seen, fix = _of_socket(found, where.socket)
    elif any(isinstance(exception, Timeout) for exception in found):
        seen = "the Docker engine cannot be reached: it does not answer"
        fix = f"see whether it runs and whether {where.setting} is right"
    else:
        seen = str(unreachable(error))
        fix = f"start it, or put the address in {where.setting} right"
    return BackendUnavailable(seen, untouched=True, fix=fix)


def _of_socket(found: Sequence[BaseException], path: str) -> tuple[str, str]:
    """Why the local socket leads nowhere, and what to do."""
    numbers = {error.errno for error in found if isinstance(error, OSError)}
    why, fix = f"what listens at {path} does not answer as Docker does", CHECK_SOCKET
    if errno.EACCES in numbers or errno.EPERM in numbers:
        why = f"permission denied for {path} (this process has uid {os.geteuid()}, {_owner(path)})"
        fix = ALLOW_SOCKET
    elif errno.ENOENT in numbers:
        why = f"there is no socket {path}"
        fix = (
            "start Docker, mount its socket into this container, or name the engine in "
            "CRE_DOCKER_HOST"
        )
    elif errno.ECONNREFUSED in numbers:
        why, fix = f"nothing listens at {path}", "start Docker"
    elif any(isinstance(exception, Timeout) for exception in found):
        why, fix = f"it does not answer at {path}", "look at dockerd's log, or restart Docker"
    return f"the Docker engine cannot be reached: {why}", fix


def socket_owner(settings: Settings, environ: Mapping[str, str] | None = None) -> str:
    """The local engine's socket and whose it is; empty where the engine is elsewhere."""
    path = _address(settings, os.environ if environ is None else environ).socket
    return f"{path} ({_owner(path)})" if path else ""


def _owner(path: str) -> str:
    try:
        status = Path(path).stat()
    except OSError:
        return "the socket is in a folder that it may not read"
    mode = stat.S_IMODE(status.st_mode)
    return f"the socket belongs to uid {status.st_uid} and gid {status.st_gid}, mode {mode:04o}"


def _speaks_tls(error: BaseException) -> bool:
    return isinstance(error, APIError) and "HTTPS server" in str(error.explanation)
