"""The challenge catalogue, read from TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.catalog import ChallengeSpec, Port, Readiness, StaticCatalog, Visibility
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


def test_an_empty_file_is_an_empty_catalogue(tmp_path: Path) -> None:
    assert load_catalog(write(tmp_path, "")).get(1) is None


ENTRY = '[[challenge]]\nid = 1\nname = "A"\nimage = "a"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("challenge = [", "cannot be read as TOML"),
        ("[challenge]\nid = 1", "two brackets"),
        ("[[challenges]]\nid = 1", "unknown key 'challenges'"),
        ('[[challenge]]\nid = 1\nname = "A"', "challenge 1: field 'image' is missing"),
        (ENTRY + "prt = 80", "challenge 1: unknown field 'prt'"),
        (ENTRY + "port = 0", "challenge 1: port must be a whole number from 1 to 65535"),
        (ENTRY + "port = true", "port must be a whole number"),
        (ENTRY + "cpus = true", "cpus must be a number"),
        (ENTRY + "cpus = 0", "cpus must be a number"),
        (ENTRY + 'visibility = "secret"', "visibility must be one of visible, hidden, locked"),
        (ENTRY + 'command = "serve"', "command must be a list of texts"),
        (ENTRY + "environment = { A = 1 }", "environment must be a table of texts"),
        (ENTRY + 'environment = { FLAG = "x" }', "environment.FLAG is set by the engine"),
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
