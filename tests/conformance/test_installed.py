"""Backends that installed packages bring by an entry point."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conformance.registry.backends import BackendSpecError, defaults, resolve
from whale_ready.cli import main


class Packages:
    """Installs distributions of a few lines into a folder on the path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, package: str, name: str, target: str) -> None:
        info = self._folder / f"{package.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(
            f"[whale_ready.backends]\n{name} = {target}\n", encoding="utf-8"
        )


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    monkeypatch.syspath_prepend(tmp_path)
    return Packages(tmp_path)


def whale_ready(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, list(arguments))


def test_an_installed_backend_is_known_by_its_name(packages: Packages) -> None:
    packages.install("acme-cloud", "acme", "reference.world:harness")

    assert resolve("acme").name == "acme"
    result = whale_ready("check", "--backend", "acme", "--select", "START-001")
    assert result.exit_code == 2, result.output
    assert "acme (simulated): 1 pass" in result.output


def test_a_name_and_a_factory_go_before_what_is_installed(packages: Packages) -> None:
    packages.install("acme-cloud", "acme", "no_such_module:make")

    assert resolve("acme=reference.world:bare").name == "acme"


def test_a_name_that_two_packages_bring_names_both(packages: Packages) -> None:
    packages.install("acme-cloud", "acme", "reference.world:harness")
    packages.install("acme-fork", "acme", "reference.world:harness")

    with pytest.raises(BackendSpecError, match="both acme-cloud and acme-fork bring a backend"):
        resolve("acme")


@pytest.mark.parametrize("name", ["cre:memory", "whale:fake", "whale"])
def test_a_built_in_name_is_not_taken_over(packages: Packages, name: str) -> None:
    packages.install("acme-cloud", name, "reference.world:harness")

    with pytest.raises(BackendSpecError, match="both whale-ready and acme-cloud bring a backend"):
        resolve(name)


def test_a_clash_with_a_default_is_not_passed_over(packages: Packages) -> None:
    packages.install("acme-cloud", "cre", "reference.world:harness")

    with pytest.raises(BackendSpecError, match="acme-cloud"):
        defaults()


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("acme", "no_such_module:make", "no_such_module cannot be imported: ModuleNotFoundError"),
        ("acme", "reference.world:nothing", "reference.world has no nothing"),
        ("acme", "reference.backend:STEP", "cannot be called; name a factory"),
        ("acme", "builtins:dict", "returned dict; it must return"),
        ("acme", "reference.backend:ReferenceBackend", "its factory raised TypeError"),
        ("acme", "reference.world", "is no package.module:factory"),
        ("two words", "reference.world:harness", "is made of letters, digits"),
    ],
)
def test_a_broken_one_is_3_and_names_package_and_fix(
    packages: Packages, name: str, target: str, said: str
) -> None:
    packages.install("acme-cloud", name, target)

    result = whale_ready("check", "--backend", name)

    assert result.exit_code == 3
    assert said in result.output
    assert f"it is from acme-cloud 1.2: put its entry point {target} right" in result.output


# whale-ready backends


def test_the_list_tells_built_in_and_installed_ones(packages: Packages) -> None:
    packages.install("acme-cloud", "acme", "reference.world:harness")

    result = whale_ready("backends")

    assert result.exit_code == 0, result.output
    lines = {line.split("│")[1].strip(): line for line in result.output.splitlines() if "│" in line}
    assert {
        "cre",
        "cre:memory",
        "cre:swarm",
        "cre:own-engine",
        "whale:fake[:DIALECT|:FORK][:teams]",
    } <= set(lines)
    assert "a reference backend in plain dictionaries" in lines["acme"]
    assert "acme-cloud 1.2" in lines["acme"]
    assert "a Docker engine" in lines["cre"]
    assert "--whale-world FILE" in lines["NAME=https://HOST"]


def test_the_list_tells_what_cannot_be_named_and_is_3(packages: Packages) -> None:
    packages.install("acme-cloud", "acme", "no_such_module:make")
    packages.install("acme-fork", "cre:memory", "reference.world:harness")

    result = whale_ready("backends")

    assert result.exit_code == 3
    assert "no_such_module cannot be imported" in result.output
    assert "both whale-ready and acme-fork bring a backend" in result.output
    assert "simulated containers" in result.output, "the others are listed all the same"
