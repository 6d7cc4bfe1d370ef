"""Which backend a ``--backend SPEC`` means, and how its harness is made.

Harness modules are imported only when their backend is asked for.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.extras import OURS, advice
from conformance.harness import Harness
from conformance.harnesses.bare import BareHarness
from conformance.registry.installed import Installed, installed_backends
from engines.contract import ContainerBackend
from engines.published import document

if TYPE_CHECKING:
    from conformance.harnesses.state import ServerState

PACKAGE = "whale-ready"
"""The distribution that brings the built-in backends."""

DIALECTS = ("ctfd-whale", "documented", "legacy")
"""Whale dialects the fake speaks; the first is the default."""

FLAVOURS = (
    *("frankli0324", "frankli0324-2024", "jbnrz", "web1n", "scribblercoder", "nusgreyhats"),
    *("osama-yusouf", "htu", "matte23", "radhouen911", "om-arora"),
)
"""Generations and forks of ctfd-whale that the fake can be (docs/whale-wire.md, "Forks")."""

BUILT_IN = {
    "cre": "conformance.harnesses.cre_docker:DockerHarness",
    "cre:swarm": "conformance.harnesses.cre_swarm:SwarmHarness",
    "cre:memory": "conformance.harnesses.cre:MemoryHarness",
    "cre:own-engine": "conformance.harnesses.cre_own_engine:OwnEngineHarness",
}
"""Harnesses of the suite's own by name; those of Whale take arguments besides."""
_HYBRID = "conformance.harnesses.hybrid:HybridHarness"
_ROUTED = {"hybrid": "", "hybrid:cre": "cre", "hybrid:whale": "whale"}
_WHALE = "conformance.harnesses.whale:FakeWhaleHarness"
_LIVE_WHALE = "conformance.harnesses.live_whale:LiveWhaleHarness"
_TEAMS = ":teams"
_FORMS = (
    "cre, cre:swarm, cre:memory, cre:own-engine, whale:fake[:DIALECT|:FORK][:teams], "
    "hybrid[:cre|:whale], whale=https://…, NAME=package.module:factory or the name of an installed "
    "one (whale-ready backends)"
)
_TARGET = re.compile(r"[\w.]+:[\w.]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class BackendSpecError(ValueError):
    """A ``--backend`` cannot be understood or loaded; the message says how to put it right."""


@dataclass(frozen=True)
class Subject:
    """One backend under test: the name it has in reports, and its harness."""

    name: str
    harness: Harness
    fallback: Callable[[], Subject] | None = None
    """What stands in for it when its harness cannot run here."""


def defaults() -> list[Subject]:
    """The backends of a run that names none: CRE, simulated where no Docker is, and Whale."""
    cre = replace(resolve("cre"), fallback=lambda: resolve("cre:memory"))
    return [cre, resolve("whale:fake")]


def chosen(
    specs: Sequence[str], whale_world: Path | None = None, database: str | None = None
) -> list[Subject]:
    """The backends of a run, the defaults when it names none.

    Args:
        database: URL of the database where all of them keep their state; None for temporary ones.

    Raises:
        BackendSpecError: as :func:`resolve`, no backend is there for the world file, or one keeps
            its state elsewhere than in a database of ours.
    """
    if whale_world is not None and not any(_is_live(spec) for spec in specs):
        raise BackendSpecError(
            "--whale-world: is for a live Whale only; add --backend whale=https://… or leave it out"
        )
    subjects = [resolve(spec, whale_world) for spec in specs] if specs else defaults()
    return subjects if database is None else _on_database(subjects, database)


def _on_database(subjects: list[Subject], url: str) -> list[Subject]:
    from conformance.harnesses.state import ServerState

    try:
        server = ServerState(url)
    except ValueError as error:
        raise BackendSpecError(f"--database: {error}") from None
    return [_kept_in(server, subject) for subject in subjects]


def _kept_in(server: ServerState, subject: Subject) -> Subject:
    from conformance.harnesses.state import StatefulHarness

    if not isinstance(subject.harness, StatefulHarness):
        raise BackendSpecError(
            f"--database: {subject.name} does not keep its state in a database of ours; check it "
            "without this option"
        )
    subject.harness.keep_state_in(server)
    fallback = subject.fallback
    if fallback is None:
        return subject
    return replace(subject, fallback=lambda: _kept_in(server, fallback()))


def resolve(spec: str, whale_world: Path | None = None) -> Subject:
    """The backend that ``spec`` means; ``whale_world`` says what a live Whale may be used for.

    Raises:
        BackendSpecError: it means none, or its harness cannot be loaded.
    """
    name, given, target = spec.partition("=")
    if _is_live(spec):
        return _live_whale(spec, name, target, whale_world)
    if given:
        return _third_party(spec, name, target)
    installed = _installed(spec)
    if spec in BUILT_IN:
        return built_in(spec)
    if spec in _ROUTED:
        return Subject(spec, _called(spec, _load(spec, _HYBRID), _ROUTED[spec]))
    if installed is not None:
        return _from_package(spec, installed)
    if spec.startswith("whale:fake"):
        return _fake_whale(spec, spec.removeprefix("whale:fake"))
    raise BackendSpecError(f"--backend {spec}: there is no such backend; use {_FORMS}")


def built_in(name: str) -> Subject:
    """One of :data:`BUILT_IN`, whoever else brings its name."""
    return Subject(name, _called(name, _load(name, BUILT_IN[name])))


def is_built_in(name: str) -> bool:
    """Whether the suite itself has, or claims, this name."""
    return name in BUILT_IN or name == "whale" or name.startswith("whale:")


def clash(installed: Installed) -> str | None:
    """Why an installed backend cannot be named, or None."""
    others = [backend for backend in installed_backends() if backend.name == installed.name]
    packages = sorted({other.package for other in others})
    if is_built_in(installed.name):
        packages = [PACKAGE, *packages]
    if len(others) == 1 and not is_built_in(installed.name):
        return None
    return (
        f"both {' and '.join(packages)} bring a backend of this name; uninstall all but one, or "
        f"name one by its factory, as in mine={installed.target}"
    )


def _installed(spec: str) -> Installed | None:
    """The installed backend of this name.

    Raises:
        BackendSpecError: another has the name, too.
    """
    found = next((backend for backend in installed_backends() if backend.name == spec), None)
    reason = None if found is None else clash(found)
    if reason is not None:
        raise BackendSpecError(f"--backend {spec}: {reason}")
    return found


def _from_package(spec: str, installed: Installed) -> Subject:
    try:
        _check_name(spec, installed.name)
        return _made_by(spec, installed.name, installed.target)
    except BackendSpecError as error:
        raise BackendSpecError(
            f"{error} (it is from {installed.origin}: put its entry point {installed.target} "
            "right, or uninstall it)"
        ) from error


def _fake_whale(spec: str, rest: str) -> Subject:
    named = rest.removesuffix(_TEAMS)
    dialect = named.removeprefix(":") if named else DIALECTS[0]
    flavour = dialect if dialect in FLAVOURS else FLAVOURS[0]
    if dialect in FLAVOURS:
        dialect = DIALECTS[0]
    if (named and not named.startswith(":")) or dialect not in DIALECTS:
        known = ", ".join(DIALECTS)
        raise BackendSpecError(
            f"--backend {spec}: the fake Whale does not speak {dialect!r}; it speaks {known}, and "
            f"is one of {', '.join(FLAVOURS)}, each with or without {_TEAMS} behind it"
        )
    return Subject(spec, _called(spec, _load(spec, _WHALE), dialect, named != rest, flavour))


def _is_live(spec: str) -> bool:
    return re.match(r"https?://", spec.partition("=")[2], re.IGNORECASE) is not None


def _live_whale(spec: str, name: str, url: str, whale_world: Path | None) -> Subject:
    _check_name(spec, name)
    if whale_world is None:
        raise BackendSpecError(
            f"--backend {spec}: say with whale-ready check --whale-world FILE which accounts and "
            f"challenges of that Whale may be used; such a file: {document('how-to.md')}"
        )
    factory = _load(spec, _LIVE_WHALE)
    try:
        return Subject(name, factory(url, whale_world))
    except ValueError as error:  # it names file or setting, field and fix
        raise BackendSpecError(f"--backend {name}: {error}") from None


def _check_name(spec: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BackendSpecError(
            f"--backend {spec}: the name before '=' is made of letters, digits and ._:-"
        )


def _third_party(spec: str, name: str, target: str) -> Subject:
    _check_name(spec, name)
    if not _TARGET.fullmatch(target):
        raise BackendSpecError(
            f"--backend {spec}: after '=' stands package.module:factory, as in mine=my.backend:make"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: a project may have an ``engines`` of its own
    return _made_by(spec, name, target)


def _made_by(spec: str, name: str, target: str) -> Subject:
    if not _TARGET.fullmatch(target):
        raise BackendSpecError(f"--backend {spec}: {target} is no package.module:factory")
    factory = _load(spec, target)
    made = _called(spec, factory)
    if isinstance(made, Harness):
        return Subject(name, made)
    if isinstance(made, ContainerBackend):
        return Subject(name, BareHarness(factory, made))
    raise BackendSpecError(
        f"--backend {spec}: {target} returned {type(made).__name__}; it must return a "
        "conformance.harness.Harness or an engines.contract.ContainerBackend"
    )


def _load(spec: str, target: str) -> Any:
    module_name, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # a third party's module may raise anything
        told = _known(spec, module_name, error)
        if told is not None:
            raise BackendSpecError(told) from error
        raise BackendSpecError(
            f"--backend {spec}: {module_name} cannot be imported: {_said(error)}; run in the "
            "folder that holds it, or install it"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise BackendSpecError(f"--backend {spec}: {module_name} has no {path}")
        found = getattr(found, part)
    if not callable(found):
        raise BackendSpecError(f"--backend {spec}: {target} cannot be called; name a factory")
    return found


def _known(spec: str, module: str, error: Exception) -> str | None:
    """What to say of an import that failed for a reason of installation, and not of its code."""
    if not isinstance(error, ImportError):
        return None
    name = (error.name or "").partition(".")[0]
    ours = module.partition(".")[0] == __package__
    if name in OURS and not ours:
        theirs = _elsewhere(name)
        if theirs is not None:
            return (
                f"--backend {spec}: {name} is a package of whale-ready and hides yours, {theirs}: "
                "rename yours, or put it into a package of its own"
            )
    return advice(f"--backend {spec}", "check", error) if ours else None


def _elsewhere(name: str) -> Path | None:
    """Where the path has something of this name besides ours."""
    home = Path(__file__).resolve().parents[2]
    for folder in (Path(each).resolve() for each in sys.path):
        for found in (folder / name, folder / f"{name}.py"):
            if folder != home and found.exists():
                return found
    return None


def _called(spec: str, factory: Any, *arguments: object) -> Any:
    try:
        return factory(*arguments)
    except Exception as error:  # a third party's factory may raise anything
        raise BackendSpecError(f"--backend {spec}: its factory raised {_said(error)}") from error


def _said(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
