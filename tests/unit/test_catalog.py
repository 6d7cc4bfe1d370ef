"""The challenge catalogue, read from TOML."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from engines.catalog import (
    Catalog,
    ChallengeSpec,
    Companion,
    Port,
    Pull,
    Readiness,
    StaticCatalog,
    Transport,
    Visibility,
    may_be_on_whale,
    not_on_whale,
    paired,
)
from engines.catalog_file import load_catalog
from engines.errors import CatalogError


def write(folder: Path, text: str) -> Path:
    path = folder / "challenges.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_full_entry(tmp_path: Path) -> None:
    catalog = load_catalog(
        write(
            tmp_path,
            """
            [[challenge]]
            id = 5
            name = "Ünïcode & <web>"
            image = "ctf/web:1"
            port = 8080
            visibility = "hidden"
            readiness = "http"
            memory_mb = 64
            cpus = 1
            pids_limit = 32
            flag_prefix = "ctf"
            command = ["serve", "--fast"]
            environment = { MODE = "hard" }
            """,
        )
    )
    assert catalog.get(5) == ChallengeSpec(
        id=5,
        name="Ünïcode & <web>",
        image="ctf/web:1",
        ports=(Port(8080),),
        visibility=Visibility.HIDDEN,
        readiness=Readiness.HTTP,
        memory_mb=64,
        cpus=1.0,
        pids_limit=32,
        flag_prefix="ctf",
        command=("serve", "--fast"),
        environment={"MODE": "hard"},
    )
    assert catalog.get(6) is None


def test_what_a_challenge_may_ask_for(tmp_path: Path) -> None:
    catalog = load_catalog(
        write(
            tmp_path,
            """
            [[challenge]]
            id = 5
            name = "Shop"
            image = "registry.example.org/ctf/shop@sha256:0123"
            ports = [8080, "53/udp"]
            readiness = "healthcheck"
            capabilities = ["CHOWN", "NET_BIND_SERVICE"]
            ulimits = { nofile = 64 }
            read_only = true
            user = "1000:1000"
            egress = true
            host = "shop.example.org"
            pull = "missing"
            timeout_seconds = 600
            ends_at = 2026-12-01T18:00:00+01:00
            limit = 40
            warm = 3
            nodes = ["node.labels.ctf==true"]
            whale = false
            init = false
            shm_mb = 256
            no_new_privileges = false
            disk_mb = 1024
            flag_owner = "1000:1001"

            [[challenge.companions]]
            name = "db"
            image = "ctf/db:1"
            flag = true
            memory_mb = 256
            readiness = "tcp"
            port = 5432
            flag_file = "/home/ctf/flag.txt"
            """,
        )
    )
    assert catalog.get(5) == ChallengeSpec(
        id=5,
        name="Shop",
        image="registry.example.org/ctf/shop@sha256:0123",
        ports=(Port(8080), Port(53, Transport.UDP)),
        readiness=Readiness.HEALTHCHECK,
        capabilities=("CHOWN", "NET_BIND_SERVICE"),
        ulimits={"nofile": 64},
        read_only=True,
        user="1000:1000",
        egress=True,
        host="shop.example.org",
        pull=Pull.MISSING,
        timeout_seconds=600,
        ends_at=datetime(2026, 12, 1, 17, tzinfo=timezone.utc),
        limit=40,
        warm=3,
        nodes=("node.labels.ctf==true",),
        whale=False,
        init=False,
        shm_mb=256,
        no_new_privileges=False,
        disk_mb=1024,
        flag_owner="1000:1001",
        companions=(
            Companion(
                name="db",
                image="ctf/db:1",
                flag=True,
                memory_mb=256,
                readiness=Readiness.TCP,
                port=5432,
                flag_file="/home/ctf/flag.txt",
            ),
        ),
    )


def test_what_it_does_not_ask_for_is_closed() -> None:
    spec = ChallengeSpec(1, "A", "a")
    assert (spec.capabilities, spec.egress, spec.companions, spec.warm) == ((), False, (), 0)
    assert (spec.memory_mb, spec.pids_limit, spec.ulimits["nofile"]) == (128, 128, 1024)
    assert spec.pull is Pull.NEVER
    assert (spec.init, spec.shm_mb, spec.disk_mb, spec.flag_file) == (True, 64, 256, "")


@pytest.mark.parametrize(
    ("said", "capabilities", "may"),
    [
        (None, (), False),
        (None, ("CHOWN", "SETUID"), False),
        (None, ("SETGID", "SETUID"), True),
        (True, ("SETGID", "SETUID"), False),
        (False, (), True),
    ],
)
def test_set_uid_programs_work_where_a_challenge_asks_for_it(
    said: bool | None, capabilities: tuple[str, ...], may: bool
) -> None:
    """NilsIrl/dockerc#53, container2wasm/container2wasm#239: a privilege-escalation challenge."""
    spec = ChallengeSpec(1, "A", "a", capabilities=capabilities, no_new_privileges=said)
    assert spec.may_gain_privileges is may


def test_a_number_that_is_there_for_both_transports_is_a_pair() -> None:
    udp = Transport.UDP
    assert paired((Port(80), Port(53), Port(53, udp), Port(81, udp))) == [53]


SPEC = ChallengeSpec(1, "A", "a", companions=(Companion(name="db", image="db"),))


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"image": "a:2"}, False),
        ({"environment": {"A": "1"}}, False),
        ({"companions": (Companion(name="db", image="db:2"),)}, False),
        ({"ports": (Port(81),)}, False),
        ({"egress": True}, False),
        ({"name": "B", "warm": 5, "limit": 3, "timeout_seconds": 5, "pull": Pull.ALWAYS}, True),
        ({"visibility": Visibility.HIDDEN, "ends_at": datetime.now(timezone.utc)}, True),
        ({"whale": False}, True),
    ],
)
def test_a_fingerprint_tells_whether_a_waiting_container_is_still_of_use(
    changed: dict[str, Any], same: bool
) -> None:
    assert (replace(SPEC, **changed).fingerprint == SPEC.fingerprint) is same


def test_an_empty_file_is_an_empty_catalogue(tmp_path: Path) -> None:
    assert load_catalog(write(tmp_path, "")).get(1) is None


ENTRY = '[[challenge]]\nid = 1\nname = "A"\nimage = "a"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("challenge = [", "is not TOML"),
        ("[challenge]\nid = 1", "two brackets"),
        ("challenge = [5]", "two brackets"),
        ("[[challenges]]\nid = 1", "unknown key 'challenges'"),
        ('[[challenge]]\nid = 1\nname = "A"', "challenge 1: image is missing"),
        (ENTRY + "prt = 80", "challenge 1: prt is no field; did you mean port?"),
        (ENTRY + "port = 0", "challenge 1: port must be a whole number from 1 to 65535"),
        (ENTRY + "port = true", "port must be a whole number"),
        (ENTRY + "cpus = true", "cpus must be a number"),
        (ENTRY + "cpus = 0", "cpus must be a number"),
        (ENTRY + 'visibility = "secret"', "visibility must be one of visible, hidden, locked"),
        (ENTRY + 'command = "serve"', "command must be a list of texts"),
        (ENTRY + "environment = { A = 1 }", "environment.A must be a text"),
        (ENTRY + 'environment = { FLAG = "x" }', "environment.FLAG is set by the engine"),
        (ENTRY + "port = 80\nports = [80]", "port and ports are both given"),
        (ENTRY + 'ports = ["80/sctp"]', "ports must be a list such as"),
        (ENTRY + "ports = [true]", "ports must be a list such as"),
        (ENTRY + "ports = [80, 80]", "ports names one twice"),
        (ENTRY + 'ports = ["53/udp"]', "asks the first of ports, which must be a tcp port"),
        (ENTRY + "ports = []", "asks the first of ports"),
        (ENTRY + 'capabilities = ["CAP_chown"]', "capabilities must be written as"),
        (ENTRY + "ulimits = { nofile = -1 }", "ulimits.nofile must be a whole number"),
        (ENTRY + "ends_at = 2026-12-01T18:00:00", "ends_at must be a time with its zone"),
        (ENTRY + 'read_only = "yes"', "read_only must be true or false"),
        (ENTRY + "warm = -1", "warm must be a whole number from 0"),
        (ENTRY + 'whale = "no"', "whale must be true or false"),
        (ENTRY + 'nodes = ["ctf"]', "nodes must be written as node.labels"),
        (ENTRY + 'companions = [{ image = "a" }]', "companions ?: name is missing"),
        (
            ENTRY + 'companions = [{ name = "a b", image = "a" }]',
            "companions a b: name must be written as a host name",
        ),
        (
            ENTRY + 'companions = [{ name = "a", image = "a", ports = [1] }]',
            "companions a: ports is no field; did you mean port?",
        ),
        (
            ENTRY + 'companions = [{ name = "a", image = "a" }, { name = "a", image = "b" }]',
            "companions have the same name",
        ),
        (ENTRY + 'init = "yes"', "init must be true or false"),
        (ENTRY + "shm_mb = 0", "shm_mb must be a whole number from 1"),
        (ENTRY + "disk_mb = -1", "disk_mb must be a whole number from 0"),
        (ENTRY + 'no_new_privileges = "no"', "no_new_privileges must be true or false"),
        (ENTRY + 'flag_file = "flag"', "flag_file must be a path from the root"),
        (ENTRY + 'flag_file = "/a/../flag"', "flag_file must be a path from the root"),
        (ENTRY + 'flag_file = "/dev/shm/flag"', "flag_file cannot be below /dev"),
        (ENTRY + 'flag_file = "/flag"\nread_only = true', "flag_file cannot be put on a root that"),
        (ENTRY + 'flag_owner = "ctf"', "flag_owner must be written as numbers"),
        (
            ENTRY + 'companions = [{ name = "a", image = "a", readiness = "http" }]',
            "companions a: readiness must be one of tcp, healthcheck, none",
        ),
        (
            ENTRY + 'companions = [{ name = "a", image = "a", port = 5432 }]',
            'companions a: port is what readiness looks for; write readiness = "tcp"',
        ),
        (
            ENTRY
            + "".join(f'[[challenge.companions]]\nname = "c{n}"\nimage = "a"\n' for n in range(13)),
            "companions are at most 12",
        ),
        (ENTRY + ENTRY, "challenge id 1 is given twice"),
        ('[[challenge]]\nid = 1\nname = " "\nimage = "a"', "name must be a text"),
    ],
)
def test_a_wrong_entry_names_the_place_and_the_fix(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(CatalogError) as caught:
        load_catalog(write(tmp_path, text))
    assert complaint in str(caught.value)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nowhere\.toml: cannot be read"):
        load_catalog(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("visibility", list(Visibility))
def test_only_visible_challenges_can_be_started(visibility: Visibility) -> None:
    spec = ChallengeSpec(1, "A", "a", visibility=visibility)
    assert spec.startable is (visibility is Visibility.VISIBLE)
    assert StaticCatalog([spec]).get(1) is spec


# What Whale has.

CHALLENGES = [ChallengeSpec(1, "A", "a"), ChallengeSpec(2, "B", "b", whale=False)]


class Elsewhere:
    """Somebody's own catalogue, written before Whale was asked about."""

    def get(self, challenge_id: int) -> ChallengeSpec | None:
        return next((spec for spec in self.all() if spec.id == challenge_id), None)

    def all(self) -> list[ChallengeSpec]:
        return CHALLENGES


class AsksWhale(Elsewhere):
    """One that knows by itself, whatever its challenges say."""

    def not_on_whale(self) -> frozenset[int]:
        return frozenset({1, 7})


@pytest.mark.parametrize(
    ("catalog", "missing"),
    [(StaticCatalog(CHALLENGES), {2}), (Elsewhere(), {2}), (AsksWhale(), {1, 7})],
)
def test_a_catalogue_says_what_whale_does_not_have(catalog: Catalog, missing: set[int]) -> None:
    assert not_on_whale(catalog) == missing
    kept = {number for number in (1, 2, 7, 99) if not may_be_on_whale(catalog, number)}
    assert kept == missing, "what it does not know may be there"
