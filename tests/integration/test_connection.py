"""The way to the Docker engine: settings that are wrong, TLS, and ssh, with real engines."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import docker
import pytest
import trustme
from conftest import require
from support.ssh_host import SSHHost
from support.tls_engine import TLSEngine, write_certificates

from engines.catalog import ChallengeSpec, StaticCatalog
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.connection import connect, connector, probe_host
from engines.errors import BackendUnavailable, SettingsError
from engines.settings import Settings
from engines.state.database import Database


@pytest.fixture
def over_ssh(ssh_host: SSHHost, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PATH", f"{ssh_host.bin}{os.pathsep}{os.environ['PATH']}")
    return Settings(cre_docker_host=ssh_host.url)


def of(engine: TLSEngine, folder: Path | None) -> Settings:
    return Settings(cre_docker_host=engine.url, cre_docker_cert_folder=folder)


# Settings.


@pytest.mark.parametrize(
    ("settings", "environ", "named"),
    [
        (Settings(cre_docker_host="ssh://"), {}, "CRE_DOCKER_HOST: write ssh://USER@HOST"),
        (Settings(cre_docker_host="ssh://u:pw@h"), {}, "CRE_DOCKER_HOST: write ssh://USER@HOST"),
        (Settings(cre_docker_host="ssh://h:a"), {}, "CRE_DOCKER_HOST: "),
        (Settings(), {"DOCKER_HOST": "ftp://h"}, "DOCKER_HOST: write unix://"),
        (Settings(cre_docker_cert_folder=Path("x")), {}, "CRE_DOCKER_CERT_FOLDER: certificates"),
        (
            Settings(cre_docker_host="tcp://h:1", cre_docker_cert_folder=Path("/nowhere")),
            {},
            "CRE_DOCKER_CERT_FOLDER: the folder has no ca.pem and no cert.pem and no key.pem",
        ),
        (
            Settings(cre_docker_host="tcp://h:1"),
            {"DOCKER_CERT_PATH": "/nowhere"},
            "DOCKER_CERT_PATH: the folder has no ca.pem",
        ),
        (
            Settings(cre_registry_config=Path("/nowhere")),
            {},
            "CRE_REGISTRY_CONFIG: No such file",
        ),
    ],
)
def test_a_wrong_setting_is_named_before_any_engine_is_asked(
    settings: Settings, environ: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        connector(settings, environ)
    assert str(caught.value).startswith(named)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"auths": {"r": {"auth": "c2VjcmV0"}}}', '{"auths": {"r": 5}}', "{'a"]
)
def test_a_registry_config_that_cannot_be_read_is_named_and_not_quoted(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="CRE_REGISTRY_CONFIG: not a Docker config") as caught:
        connector(Settings(cre_registry_config=path), {})
    assert caught.value.__cause__ is None
    assert "secret" not in repr(caught.value)


def test_certificates_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    ca = trustme.CA()
    folder = write_certificates(tmp_path / "c", ca, ca.issue_cert("a"))
    ca.issue_cert("b").private_key_pem.write_to_path(folder / "key.pem")
    with pytest.raises(SettingsError, match=r"CRE_DOCKER_CERT_FOLDER: .* cannot be used"):
        connector(Settings(cre_docker_host="tcp://h:1", cre_docker_cert_folder=folder), {})


@pytest.mark.parametrize(
    ("settings", "environ", "host"),
    [
        (Settings(), {}, None),
        (Settings(cre_docker_host="unix:///run/docker.sock"), {"DOCKER_HOST": "tcp://b"}, None),
        (Settings(cre_docker_host="tcp://a:2376"), {}, "a"),
        (Settings(cre_docker_host="ssh://user@a:22"), {}, "a"),
        (Settings(), {"DOCKER_HOST": "tcp://b:2376"}, "b"),
        (Settings(cre_docker_host="tcp://a:2376", cre_probe_host="c"), {}, "c"),
    ],
)
def test_where_published_ports_are_looked_for(
    settings: Settings, environ: dict[str, str], host: str | None
) -> None:
    assert probe_host(settings, environ) == host


def test_the_environment_stands_in_for_what_is_not_set(docker_engine: str) -> None:
    client = connect(Settings(), os.environ)
    assert client.version()["Version"] == docker_engine
    client.close()


def test_an_engine_that_is_down_is_found_on_first_use_only() -> None:
    opens = connector(Settings(cre_docker_host="tcp://127.0.0.1:9"), {})
    with pytest.raises(BackendUnavailable) as caught:
        opens()
    assert caught.value.untouched


# TLS.


def test_with_its_certificates_an_engine_is_reached(
    tls_engine: TLSEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other CAs that the environment names for all of HTTPS do not replace the engine's own.
    (tmp_path / "bundle.pem").write_bytes(trustme.CA().cert_pem.bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "bundle.pem"))
    folder = write_certificates(tmp_path / "c", tls_engine.ca, tls_engine.ca.issue_cert("us"))
    client = connect(of(tls_engine, folder), {})
    assert client.containers.list() == []
    client.close()
    inherited = {"DOCKER_HOST": tls_engine.url, "DOCKER_CERT_PATH": str(folder)}
    client = connect(Settings(), inherited)
    assert client.ping()
    client.close()


def test_without_certificates_the_message_says_what_is_wanted(tls_engine: TLSEngine) -> None:
    with pytest.raises(BackendUnavailable, match=r"wants TLS: .* CRE_DOCKER_CERT_FOLDER"):
        connect(of(tls_engine, None), {})


def test_an_engine_of_another_ca_is_not_trusted(tls_engine: TLSEngine, tmp_path: Path) -> None:
    folder = write_certificates(tmp_path / "c", trustme.CA(), tls_engine.ca.issue_cert("us"))
    with pytest.raises(BackendUnavailable, match=r"into CRE_DOCKER_CERT_FOLDER as ca\.pem"):
        connect(of(tls_engine, folder), {})
    # DOCKER_CERT_PATH alone means no less.
    inherited = {"DOCKER_HOST": tls_engine.url, "DOCKER_CERT_PATH": str(folder)}
    with pytest.raises(BackendUnavailable, match=r"into DOCKER_CERT_PATH as ca\.pem"):
        connect(Settings(), inherited)


def test_an_engine_under_another_name_is_not_trusted(tls_engine: TLSEngine, tmp_path: Path) -> None:
    folder = write_certificates(tmp_path / "c", tls_engine.ca, tls_engine.ca.issue_cert("us"))
    elsewhere = Settings(
        cre_docker_host=f"tcp://localhost:{tls_engine.port}", cre_docker_cert_folder=folder
    )
    with pytest.raises(BackendUnavailable, match="host name it was made for into CRE_DOCKER_HOST"):
        connect(elsewhere, {})


def test_a_certificate_of_another_ca_is_refused_and_named(
    tls_engine: TLSEngine, tmp_path: Path
) -> None:
    folder = write_certificates(tmp_path / "c", tls_engine.ca, trustme.CA().issue_cert("us"))
    with pytest.raises(
        BackendUnavailable, match=r"into CRE_DOCKER_CERT_FOLDER as cert\.pem"
    ) as caught:
        connect(of(tls_engine, folder), {})
    assert caught.value.untouched
    assert "PRIVATE KEY" not in str(caught.value)


# ssh.


def test_an_instance_lives_and_goes_over_ssh(
    over_ssh: Settings,
    docker_client: docker.DockerClient,
    image: str,
    deployment: str,
    database: Database,
) -> None:
    settings = Settings(
        cre_docker_host=over_ssh.cre_docker_host, cre_deployment=deployment, cre_firewall="none"
    )
    catalog = StaticCatalog([ChallengeSpec(id=1, name="A", image=image)])
    engine = ContainerRuntimeEngine(settings, catalog=catalog, database=database)
    try:
        ok, message, instance = engine.start_instance(7, 1)
        assert ok, message
        assert docker_client.containers.get(instance["container_id"]).status == "running"
        assert engine.get_instance_status(7, 1) is not None
        assert engine.stop_instance(7, 1).ok
        assert not docker_client.containers.list(filters={"id": instance["container_id"]})
    finally:
        engine.close()


def children() -> list[str]:
    """Programs that this process, or a shell of its own, has begun and not collected."""

    def below(pid: int) -> list[str]:
        found = []
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            name = Path(f"/proc/{child}/comm").read_text().strip()
            found += [name, *(below(int(child)) if name == "sh" else [])]
        return found

    return below(os.getpid())


def test_an_ssh_serves_many_requests_and_is_collected(over_ssh: Settings) -> None:
    before = children()
    client = connect(over_ssh)
    for _ in range(5):
        assert client.ping()
    assert children().count("ssh") == before.count("ssh") + 1
    client.close()
    assert children() == before


def test_a_host_key_that_is_not_known_is_refused_with_ssh_s_own_words(
    ssh_host: SSHHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{ssh_host.impostor}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(BackendUnavailable, match=r"CRE_DOCKER_HOST.*ssh says: Host key verif"):
        connect(Settings(cre_docker_host=ssh_host.url))


def test_a_machine_without_ssh_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable, match="over ssh"):
        connect(Settings(cre_docker_host="ssh://127.0.0.1"))


@pytest.fixture
def silent_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("silent_ssh")
def test_a_far_side_that_is_silent_has_a_deadline() -> None:
    before = children()
    with pytest.raises(BackendUnavailable, match="over ssh"):
        connector(Settings(cre_docker_host="ssh://127.0.0.1"), seconds=1.0)()
    assert children() == before


# The local socket: what a process that cannot use it is told.

ANOTHER_USER = """
import os, sys
from engines.cre.runtimes.connection import connect
from engines.errors import BackendUnavailable
from engines.settings import Settings
import docker.transport
os.setgroups([]), os.setgid(1001), os.setuid(1001)
try: connect(Settings(cre_docker_host="unix://" + sys.argv[1]), {})
except BackendUnavailable as error: print(error)
"""


def test_a_socket_that_is_not_ours_to_open_is_named_with_its_owner_and_the_fix() -> None:
    require("root", os.getuid() == 0, "run this as root")
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        path = Path(folder, "docker.sock")
        listening.bind(str(path))
        listening.listen()
        Path(folder).chmod(0o755)
        path.chmod(0o660)
        os.chown(path, 0, 998)
        done = subprocess.run(
            [sys.executable, "-c", ANOTHER_USER, str(path)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert f"permission denied for {path}" in done.stdout
    assert "uid 1001" in done.stdout
    assert "belongs to uid 0 and gid 998, mode 0660" in done.stdout
    assert "--group-add" in done.stdout
    assert "CRE_FIREWALL=operator" in done.stdout


def test_a_socket_that_is_not_there_or_deaf_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with pytest.raises(BackendUnavailable, match=f"there is no socket {path}: start Docker, mount"):
        connect(Settings(cre_docker_host=f"unix://{path}"), {})
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    with pytest.raises(BackendUnavailable, match=f"nothing listens at {path}: start Docker"):
        connect(Settings(cre_docker_host=f"unix://{path}"), {})
    with pytest.raises(
        BackendUnavailable,
        match="nothing listens at its address: start it, or put the address in CRE_DOCKER",
    ):
        connect(Settings(cre_docker_host="tcp://127.0.0.1:9"), {})
