"""The firewall's rules: real iptables, in a network namespace that nothing else uses."""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner
from conftest import require
from support import private_engine
from support.private_engine import PrivateEngine

from engines.cre.firewall import CHAIN_FORWARD, CHAIN_IN, RULES, Firewall
from engines.cre.guard import FirewallGuard
from engines.errors import BackendUnavailable
from whale_ready.cli import main
from whale_ready.commands import firewall as firewall_command

DOCKERS = "*filter\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -j RETURN\nCOMMIT\n"
"""What Docker has in ``filter`` while it makes a network: its chain, and no jump to it."""


class Host:
    """A machine with a firewall of its own."""

    def __init__(self, namespace: str) -> None:
        self.inside = ("ip", "netns", "exec", namespace)
        self.firewall = Firewall(self.inside)

    def run(self, *command: str, text: str = "") -> str:
        done = subprocess.run(
            [*self.inside, *command], input=text, capture_output=True, text=True, check=True
        )
        return done.stdout

    def rules(self, chain: str, program: str = "iptables") -> list[str]:
        lines = self.run(program, "-w", "-t", "mangle", "-S", chain).splitlines()
        return [line.removeprefix(f"-A {chain} ") for line in lines if line.startswith("-A")]


class Neighbours:
    """Two machines that reach each other through a host, one of them by an interface of that name.

    Entered, it gives the network namespaces of that one and of the other.
    """

    def __init__(self, host: Host, interface: str) -> None:
        self._host = host
        self._names = tuple(f"wrfw{secrets.token_hex(3)}" for _ in range(2))
        self._interfaces = (interface, "beyond")

    def __enter__(self) -> tuple[str, ...]:
        self._host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        for number, name in enumerate(self._names):
            interface = self._interfaces[number]
            ip("netns", "add", name)
            self._host.run(
                "ip", "link", "add", interface, "type", "veth", "peer", "in", "netns", name
            )
            self._host.run("ip", "address", "add", f"192.0.2.{8 * number + 1}/29", "dev", interface)
            self._host.run("ip", "link", "set", interface, "up")
            ip("-n", name, "address", "add", f"192.0.2.{8 * number + 2}/29", "dev", "in")
            ip("-n", name, "link", "set", "in", "up")
            ip("-n", name, "route", "add", "default", "via", f"192.0.2.{8 * number + 1}")
        return self._names

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            ip("netns", "delete", name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def got_through(inside: str, outside: str) -> bool:
    """Whether a datagram from the one is answered by the other, which a name server would do."""
    serve = (
        "import socket; s = socket.socket(2, 2); s.bind(('192.0.2.10', 53)); print(flush=True)\n"
    )
    serve += "s.sendto(*s.recvfrom(9))"
    ask = "import socket; s = socket.socket(2, 2); s.settimeout(1)\n"
    ask += "s.sendto(b'?', ('192.0.2.10', 53)); s.recv(9)"
    run_in = ("ip", "netns", "exec")
    with subprocess.Popen(
        [*run_in, outside, sys.executable, "-c", serve], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        asked = subprocess.run(
            [*run_in, inside, sys.executable, "-c", ask], capture_output=True, check=False
        )
        server.kill()
    return asked.returncode == 0


@pytest.fixture
def host() -> Iterator[Host]:
    able = os.geteuid() == 0 and bool(shutil.which("iptables") and shutil.which("ip"))
    require("iptables", able, "run as root with iptables and iproute2")
    namespace = f"wrfw{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        host = Host(namespace)
        host.run("iptables-restore", "--noflush", text=DOCKERS)
        yield host
    finally:
        subprocess.run(["ip", "netns", "delete", namespace], check=True)


def test_the_rules_come_first_and_go_without_a_trace(host: Host) -> None:
    programs = ("iptables", "ip6tables")
    tables = ("filter", "mangle")

    def listed() -> list[str]:
        return [host.run(program, "-t", table, "-S") for program in programs for table in tables]

    before = listed()
    assert not host.firewall.applied()
    host.firewall.apply()
    assert host.firewall.applied()
    for program in programs:
        assert host.rules("INPUT", program) == [f"-j {CHAIN_IN}"]
        assert host.rules("FORWARD", program) == [f"-j {CHAIN_FORWARD}"]
    host.firewall.remove()
    assert listed() == before
    host.firewall.remove()


def test_a_closed_bridge_stays_closed_while_docker_makes_a_network(host: Host) -> None:
    """Docker's own jump is out at that moment, and what it lets through stands alone."""
    with Neighbours(host, "wrc-t") as (inside, outside):
        assert got_through(inside, outside)
        host.firewall.apply()
        assert not got_through(inside, outside)


@pytest.mark.parametrize(
    "meddling",
    [
        ("iptables", "-I INPUT 1 -j ACCEPT"),
        ("iptables", f"-D FORWARD -j {CHAIN_FORWARD}"),
        ("iptables", f"-F {CHAIN_FORWARD}"),
        ("iptables", f"-D {CHAIN_IN} 3"),
        ("iptables", f"-I {CHAIN_IN} 1 -j RETURN"),
        ("ip6tables", f"-F {CHAIN_IN}"),
    ],
    ids=" ".join,
)
def test_meddling_is_noticed_and_put_right(host: Host, meddling: tuple[str, str]) -> None:
    program, words = meddling
    host.firewall.apply()
    host.run(program, "-t", "mangle", *words.split())
    assert not host.firewall.applied()
    host.firewall.apply()
    assert host.firewall.applied()
    assert host.rules("INPUT").count(f"-j {CHAIN_IN}") == 1


def test_many_at_once_leave_the_rules_whole(host: Host) -> None:
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(host.firewall.apply) for _ in range(8)]:
            done.result()
    assert host.firewall.applied()


def test_there_is_no_moment_without_rules(host: Host) -> None:
    """Eight times the jump is pushed down and the rules are applied again, while another looks."""
    host.firewall.apply()
    seen: list[str] = []
    with ThreadPoolExecutor(1) as threads:

        def change() -> None:
            for _ in range(8):
                push = "-w -t mangle -I INPUT 1 -j RETURN -s 192.0.2.1"
                host.run("iptables", *push.split())
                host.firewall.apply()

        changing = threads.submit(change)
        while not changing.done():
            seen.append(host.run("iptables", "-w", "-t", "mangle", "-S"))
        changing.result()
    wanted = [f"-A {chain} {rule}" for chain, rules in RULES.items() for rule in rules]
    wanted += [f"-A INPUT -j {CHAIN_IN}", f"-A FORWARD -j {CHAIN_FORWARD}"]
    assert seen
    for listing in seen:
        assert set(wanted) <= set(listing.splitlines())


def test_the_script_does_the_same_as_often_as_one_likes(host: Host) -> None:
    for _ in range(2):
        host.run("sh", text=host.firewall.script())
        assert host.firewall.applied()
    assert host.rules("INPUT").count(f"-j {CHAIN_IN}") == 1


def test_without_dockers_chain_it_says_what_is_wrong(host: Host) -> None:
    host.run("iptables-restore", text="*filter\nCOMMIT\n")
    for call in (host.firewall.applied, host.firewall.apply):
        with pytest.raises(BackendUnavailable, match=r"no chain DOCKER-USER here.*CRE_FIREWALL"):
            call()


def test_without_permission_it_names_the_fix(host: Host) -> None:
    nobody = Firewall((*host.inside, "setpriv", "--reuid=65534", "--clear-groups"))
    with pytest.raises(BackendUnavailable, match="whale-ready firewall apply"):
        nobody.apply()


def test_the_guard_refuses_an_engine_that_is_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BackendUnavailable, match="on another machine") as refusal:
        FirewallGuard("engine", "ssh://root@elsewhere").ensure("lo")
    assert refusal.value.untouched
    with pytest.raises(BackendUnavailable, match="no interface wrc-nowhere here"):
        FirewallGuard("engine").ensure("wrc-nowhere")
    FirewallGuard("operator", "ssh://root@elsewhere").ensure("wrc-nowhere")
    nobody = FirewallGuard("none")
    assert not nobody.keeps
    for _ in range(2):
        nobody.ensure("wrc-nowhere")
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["CRE_FIREWALL=none"]


# The SDK does not close the socket of a connection that a daemon which comes up has refused.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_dockers_restart_leaves_the_rules_in_force() -> None:
    require("docker", private_engine.possible(), private_engine.FIX)
    engine = PrivateEngine()
    try:
        host = Host(engine._namespace)
        host.firewall.apply()
        engine.restart()
        assert host.firewall.applied()
    finally:
        engine.close()
        gc.collect()


def test_the_command(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall_command, "Firewall", lambda: host.firewall)
    monkeypatch.setattr(firewall_command, "sees_bridged", lambda: True)  # not in question here
    monkeypatch.delenv("DOCKER_HOST", raising=False)

    def command(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["firewall", *words])
        return result.exit_code, result.output

    assert command("check") == (1, "not applied: run whale-ready firewall apply\n")
    assert command("apply") == (0, "applied\n")
    assert command("check") == (0, "applied\n")
    assert command("script") == (0, host.firewall.script())
    assert command("remove") == (0, "removed\n")
    assert command("check")[0] == 1
    host.run("iptables-restore", text="*filter\nCOMMIT\n")
    code, said = command("apply")
    assert code == 3
    assert "there is no chain DOCKER-USER here" in said
    assert command("aply")[0] == 3
    monkeypatch.setenv("DOCKER_HOST", "ssh://root@elsewhere")
    assert command("check") == (
        3,
        "Error: the Docker engine is at ssh://root@elsewhere: run this there\n",
    )
