"""What keeps instances from Docker's host and from the internet: rules of iptables.

Instances stand on bridges whose interfaces begin with :data:`CLOSED` (no egress) or :data:`OPEN`
(egress). The rules match those names and live in two chains of our own, jumped to from the top of
``INPUT`` (to the host itself) and of ``FORWARD`` (through the host). Published ports are not
touched: a player's connection comes from outside, and what an instance answers belongs to it.

They are in the table ``mangle``, which a packet passes before ``filter``. Docker's own place for
rules, ``DOCKER-USER`` in ``filter``, has gaps: Docker takes its jump there out and puts it back
whenever it makes a network (seen with 20.10: some milliseconds), and a name server was reached
from a closed instance at such a moment.

All is changed by one ``iptables-restore``, which the kernel does at once or not at all: there is no
moment without rules, and of several processes none undoes another's work.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from engines.child import Done, run
from engines.errors import BackendUnavailable
from engines.reasons import reason

CLOSED, OPEN = "wrc-", "wro-"
"""How the interface of a bridge without and with egress begins."""
CHAIN_IN, CHAIN_FORWARD = "WHALE-READY-IN", "WHALE-READY-FWD"
PRIVATE = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",  # with the clouds' metadata servers
    "127.0.0.0/8",
)
"""Networks beside the host: no part of the internet, also for a challenge with egress."""
CALL_SECONDS = 30.0
ROUNDS = 5
"""How often to try again when another process changed the same rules under our hands."""
JUMPS = (("INPUT", CHAIN_IN), ("FORWARD", CHAIN_FORWARD))
"""A chain of the system and the chain of ours that its first rule jumps to."""
FIX = (
    "run `whale-ready firewall apply` as root on Docker's host and set CRE_FIREWALL=operator, or "
    "CRE_FIREWALL=none to run instances that host and internet are open to"
)

_ANSWERS = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
# Each line as `iptables -S` prints it, so that what is there can be compared.
RULES: dict[str, tuple[str, ...]] = {
    CHAIN_IN: (_ANSWERS, f"-i {CLOSED}+ -j DROP", f"-i {OPEN}+ -j DROP"),
    CHAIN_FORWARD: (
        _ANSWERS,
        # Within a bridge Docker decides: nothing passes on a shared one, all on an instance's own.
        "-m physdev --physdev-is-bridged -j RETURN",
        f"-i {CLOSED}+ -j DROP",
        f"-i {OPEN}+ -o {CLOSED}+ -j DROP",
        f"-i {OPEN}+ -o {OPEN}+ -j DROP",
        f"-i {OPEN}+ -p udp -m udp --dport 53 -j RETURN",
        f"-i {OPEN}+ -p tcp -m tcp --dport 53 -j RETURN",
        *(f"-d {network} -i {OPEN}+ -j DROP" for network in PRIVATE),
    ),
}
_NOTHING = (f"-i {CLOSED}+ -j DROP", f"-i {OPEN}+ -j DROP")
RULES_6: dict[str, tuple[str, ...]] = {CHAIN_IN: _NOTHING, CHAIN_FORWARD: _NOTHING}
"""Instances have no IPv6 address; one that gives itself one has nobody to speak to."""


@dataclass(frozen=True)
class _Table:
    """The rules of one protocol."""

    program: str
    rules: dict[str, tuple[str, ...]]


_MANGLE = ("-t", "mangle")
_Listed = dict[str, list[str]]
_Text = Callable[[_Table, _Listed], str]

_IPV4 = _Table("iptables", RULES)
_IPV6 = _Table("ip6tables", RULES_6)


class Firewall:
    """The rules on this machine.

    Args:
        prefix: put before every command, as ``("ip", "netns", "exec", "NAME")`` for the rules of
            another network namespace.
    """

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self._prefix = prefix

    def applied(self) -> bool:
        """Whether all rules are there and asked first.

        Raises:
            BackendUnavailable: it cannot be found out; names the fix.
        """
        self._check_place()
        return all(_is_there(table, self._listed(table)) for table in self._tables())

    def apply(self) -> None:
        """Put the rules there; what of them is there already stays without a gap.

        Raises:
            BackendUnavailable: it cannot be done; names the fix.
        """
        self._check_place()
        for table in self._tables():
            self._change(table, _application)
        if not self.applied():
            raise BackendUnavailable(
                f"the firewall's rules do not stay: another program changes them; {FIX}"
            )

    def remove(self) -> None:
        """Take the rules away. Instances that run can reach host and internet from then on."""
        for table in self._tables():
            self._change(table, _removal)

    def script(self) -> str:
        """A POSIX shell script that does what :meth:`apply` does."""
        parts = ["#!/bin/sh", "# Rules of whale-ready; as root on Docker's host.", "set -eu"]
        parts += [_script_part(_IPV4), "if ip6tables -t mangle -S >/dev/null 2>&1; then"]
        return "\n".join([*parts, _script_part(_IPV6), "fi", ""])

    def _tables(self) -> list[_Table]:
        return [_IPV4, _IPV6] if self._has_ipv6() else [_IPV4]

    def _has_ipv6(self) -> bool:
        try:
            return self._run(_IPV6.program, "-w", *_MANGLE, "-S").returncode == 0
        except BackendUnavailable:
            return False

    def _change(self, table: _Table, text_for: _Text) -> None:
        for _ in range(ROUNDS):
            text = text_for(table, self._listed(table))
            done = self._run(f"{table.program}-restore", "-w", "--noflush", text=text)
            if done.returncode == 0:
                return
        raise BackendUnavailable(f"{table.program}-restore refused the rules: {_said(done)}; {FIX}")

    def _check_place(self) -> None:
        """Whether Docker keeps its own rules here."""
        done = self._run("iptables", "-w", "-S")
        if done.returncode != 0:
            raise BackendUnavailable(f"iptables cannot be used: {_said(done)}; {FIX}")
        if "-N DOCKER-USER" not in done.stdout.splitlines():
            raise BackendUnavailable(
                "there is no chain DOCKER-USER here: Docker's host is another machine (or network "
                f"namespace), or dockerd runs with iptables=false, which isolates nothing; {FIX}"
            )

    def _listed(self, table: _Table) -> _Listed:
        """The rules of the table by chain."""
        done = self._run(table.program, "-w", *_MANGLE, "-S")
        if done.returncode != 0:
            raise BackendUnavailable(f"{table.program} cannot be used: {_said(done)}; {FIX}")
        chains: _Listed = {}
        for line in done.stdout.splitlines():
            kind, chain, *rest = line.split(" ", 2)
            rules = chains.setdefault(chain, [])
            if kind == "-A":
                rules.append(rest[0])
        return chains

    def _run(self, program: str, *arguments: str, text: str = "") -> Done:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        try:
            return run(
                [*self._prefix, program, *arguments],
                text=text,
                seconds=CALL_SECONDS,
                environ={**os.environ, "PATH": path},
            )
        except FileNotFoundError:
            raise BackendUnavailable(
                f"{program} is missing: install iptables; or {FIX}", untouched=True
            ) from None
        except OSError as error:  # a time-out too
            raise BackendUnavailable(
                f"{program} cannot be run: {reason(error)}; {FIX}", untouched=True
            ) from error


def _is_there(table: _Table, listed: _Listed) -> bool:
    if any(listed.get(chain, [])[:1] != [f"-j {ours}"] for chain, ours in JUMPS):
        return False
    return all(
        [_words(rule) for rule in listed.get(chain, [])] == [_words(rule) for rule in rules]
        for chain, rules in table.rules.items()
    )


def _words(rule: str) -> list[str]:
    """A rule regardless of the order in which a version of iptables prints its matches."""
    return sorted(shlex.split(rule))


def _chains(table: _Table) -> list[str]:
    """Our chains with their rules, replaced as a whole where they exist."""
    lines = [f":{chain} - [0:0]" for chain in table.rules]
    return lines + [f"-A {chain} {rule}" for chain, rules in table.rules.items() for rule in rules]


def _application(table: _Table, listed: _Listed) -> str:
    lines = _chains(table)
    for chain, ours in JUMPS:
        jump = f"-j {ours}"
        rules = listed.get(chain, [])
        if rules[:1] != [jump] or rules.count(jump) > 1:
            lines += [f"-D {chain} {jump}"] * rules.count(jump)
            lines.append(f"-I {chain} 1 {jump}")
    return _restore(lines)


def _removal(table: _Table, listed: _Listed) -> str:
    lines = []
    for chain, ours in JUMPS:
        jump = f"-j {ours}"
        lines += [f"-D {chain} {jump}"] * listed.get(chain, []).count(jump)
    ours_there = [chain for chain in table.rules if chain in listed]
    lines += [f"-F {chain}" for chain in ours_there] + [f"-X {chain}" for chain in ours_there]
    return _restore(lines)


def _restore(lines: list[str]) -> str:
    return "\n".join(["*mangle", *lines, "COMMIT", ""])


def _script_part(table: _Table) -> str:
    program = table.program
    lines = [f"{program}-restore -w --noflush <<'RULES'", _restore(_chains(table)) + "RULES"]
    for chain, ours in JUMPS:
        first = f"{program} -w -t mangle -S {chain} 1"
        lines.append(f'[ "$({first})" = "-A {chain} -j {ours}" ] ||')
        lines.append(f"  {program} -w -t mangle -I {chain} 1 -j {ours}")
    return "\n".join(lines)


def _said(done: Done) -> str:
    lines = done.stderr.strip().splitlines()
    return lines[0][:200] if lines else f"exit code {done.returncode}"
