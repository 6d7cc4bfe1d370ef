"""What a ``--backend SPEC`` means, and what is said of one that means nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from reference.world import ReferenceHarness

from conformance.harness import Options
from conformance.harnesses.bare import BareHarness
from conformance.harnesses.whale import FakeWhaleHarness
from conformance.registry.backends import BackendSpecError, defaults, resolve


def test_a_harness_by_its_factory() -> None:
    subject = resolve("mine=reference.world:harness")

    assert subject.name == "mine"
    assert isinstance(subject.harness, ReferenceHarness)


def test_a_bare_backend_by_its_factory() -> None:
    assert isinstance(resolve("mine=reference.world:bare").harness, BareHarness)


def test_the_built_in_simulated_backend() -> None:
    subject = resolve("cre:memory")

    assert subject.name == "cre:memory"
    assert subject.harness.simulated


@pytest.mark.parametrize(
    ("spec", "dialect", "teams"),
    [
        ("whale:fake", "ctfd-whale", False),
        ("whale:fake:documented", "documented", False),
        ("whale:fake:legacy:teams", "legacy", True),
        ("whale:fake:teams", "ctfd-whale", True),
    ],
)
def test_the_fake_whale_by_dialect_and_mode(spec: str, dialect: str, teams: bool) -> None:
    subject = resolve(spec)
    assert isinstance(subject.harness, FakeWhaleHarness)
    assert subject.name == spec
    subject.harness.open()
    try:
        world = subject.harness.world(Options())
        assert subject.harness.versions()["dialect"] == dialect
        assert all((player.team_id is not None) == teams for player in world.players)
        world.close()
    finally:
        subject.harness.close()


def test_the_defaults_have_a_stand_in_for_docker_only() -> None:
    cre, whale = defaults()

    assert (cre.name, whale.name) == ("cre", "whale:fake")
    assert cre.fallback is not None
    assert cre.fallback().name == "cre:memory"
    assert whale.fallback is None


def test_the_current_folder_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wr_third_party.py").write_text(
        "from reference.world import harness as make\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    assert resolve("theirs=wr_third_party:make").name == "theirs"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "there is no such backend; use cre, cre:swarm, cre:memory"),
        ("docker", "there is no such backend"),
        ("cre:kubernetes", "there is no such backend"),
        ("whale", "there is no such backend"),
        ("whale:fakes", "does not speak"),
        ("whale:fake:klingon", "the fake Whale does not speak 'klingon'; it speaks ctfd-whale"),
        ("=reference.world:harness", "the name before '='"),
        ("a b=reference.world:harness", "the name before '='"),
        ("mine=", "after '=' stands package.module:factory"),
        ("mine=reference.world", "after '=' stands package.module:factory"),
        ("mine=no_such_module:make", "no_such_module cannot be imported: ModuleNotFoundError"),
        ("mine=reference.world:nothing", "reference.world has no nothing"),
        ("mine=reference.backend:STEP", "cannot be called; name a factory"),
        ("mine=builtins:dict", "returned dict; it must return a conformance.harness.Harness"),
        ("mine=reference.backend:ReferenceBackend", "its factory raised TypeError"),
    ],
)
def test_a_spec_that_means_nothing_is_explained(spec: str, said: str) -> None:
    with pytest.raises(BackendSpecError) as raised:
        resolve(spec)

    assert str(raised.value).startswith(f"--backend {spec}: ")
    assert said in str(raised.value)
