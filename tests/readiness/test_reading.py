"""What is no evidence is refused: file, field and fix are named, and no secret gets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from support.made_evidence import bench, check, item, preflight, written

from benchmarks import cells, decisions
from benchmarks.bench_file import Call, Decision, Figure
from conformance.spec.rules import SPEC_VERSION
from whale_ready.readiness.evidence_files import (
    EvidenceError,
    read_bench,
    read_check,
    read_preflight,
)

Change = Callable[[dict[str, Any]], Any]
READERS: dict[str, tuple[Callable[[Path], Any], Callable[[], dict[str, Any]]]] = {
    "check": (read_check, check),
    "bench": (read_bench, bench),
    "preflight": (read_preflight, preflight),
}


def refused(folder: Path, name: str, content: object) -> str:
    """What the reader says of such a file."""
    path = folder / f"{name}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(EvidenceError) as error:
        READERS[name][0](path)
    said = str(error.value)
    assert said.startswith(f"{path}: ")
    return said


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_of_ours_is_refused(name: str, tmp_path: Path) -> None:
    assert "is no JSON object; make a new one: whale-ready" in refused(tmp_path, name, "no")
    assert "is no JSON object" in refused(tmp_path, name, "[]")
    assert "is no JSON object" in refused(tmp_path, name, '{"spec_version": NaN}')
    assert "is no JSON object" in refused(tmp_path, name, "[" * 100_000)
    assert "make a new one" in refused(tmp_path, name, "{}")
    for other, (_, make) in READERS.items():
        if other != name:
            assert "make a new one" in refused(tmp_path, name, make())
    with pytest.raises(EvidenceError, match="No such file or directory; name a file I can read"):
        READERS[name][0](tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("name", "field", "newest"),
    [
        ("check", "spec_version", SPEC_VERSION),
        ("bench", "version", 1),
        ("preflight", "schema_version", 1),
    ],
)
def test_a_newer_form_asks_for_a_newer_whale_ready(
    name: str, field: str, newest: int, tmp_path: Path
) -> None:
    content = READERS[name][1]()
    content[field] = newest + 1
    said = refused(tmp_path, name, content)
    assert f"{field}: is {newest + 1}, and {newest} is the newest I know" in said
    assert "it is of a newer whale-ready; use that one" in said


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("check", lambda d: d.update(more=1), "more: is no field; the fields are"),
        ("check", lambda d: d.update(started_at="2026-01-01T00:00:00"), "started_at: must be"),
        ("check", lambda d: d["results"][0].pop("status"), "results[0].status: is missing"),
        ("check", lambda d: d.update(exit_code=1), "exit_code is 1, its verdict's is 0"),
        ("bench", lambda d: d.pop("ratios"), "ratios: is missing"),
        ("bench", lambda d: d["ratios"][2].update(value="fast"), "[2].value: must be a number"),
        ("bench", lambda d: d["ratios"][2].update(value=1e999), "is no JSON"),
        ("bench", lambda d: d["ratios"][2].update(low=-1), "ratios[2]: low is -1.0"),
        ("bench", lambda d: d["ratios"][2].update(decision="fine"), "[2].decision: must be one of"),
        ("bench", lambda d: d["ratios"][2].update(margin=None), "decision is pass, margin is None"),
        ("bench", lambda d: d["backends"][1].update(role="C"), "backends[1].role: must be one"),
        ("bench", lambda d: d["cells"][3].update(backend="x"), "cells[3]: backend is 'x'"),
        ("bench", lambda d: d["cells"][3]["quantiles"].pop("p95"), "[3].quantiles.p95: is missing"),
        ("bench", lambda d: d["environment"].pop("whale-ready"), "environment.whale-ready: must"),
        ("bench", lambda d: d.update(began="today"), "began: must be a time with its zone"),
        ("preflight", lambda d: d.update(kind="x"), "kind is not 'whale-ready preflight'"),
        ("preflight", lambda d: d.update(items=[]), "items is empty"),
        ("preflight", lambda d: d["items"][1].update(state="fine"), "items[1].state: must be"),
        ("preflight", lambda d: d["items"][1].update(id="a b"), "items[1].id: must be made of"),
        ("preflight", lambda d: d["items"].append(d["items"][0]), "reachable is there twice"),
        ("preflight", lambda d: d["counts"].update(ok=9), "counts: ok is 9, of 3 items"),
        ("preflight", lambda d: d["whale"].update(url="whale"), "whale: url: write an address"),
        ("preflight", lambda d: d["whale"].update(url="https://u:p@x"), "leave user and password"),
        ("preflight", lambda d: d["whale"].update(url="https://x:port"), "whale: url: Port"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(name: str, change: Change, said: str, tmp_path: Path) -> None:
    content = READERS[name][1]()
    change(content)
    assert said in refused(tmp_path, name, content)


def test_no_secret_of_a_file_gets_through_and_no_other_text_is_lost(tmp_path: Path) -> None:
    secrets = ("flag{a-flag-of-somebody}", "token=abc-123-def", "Cookie: session=0123")
    content = preflight(item("tls", "not_ok", f"saw {secrets[0]}", f"{secrets[1]}; {secrets[2]}"))
    (_, path) = written(tmp_path, preflight=content)
    (found,) = read_preflight(Path(path)).items
    assert found.evidence == "saw ‹flag›"
    for secret in ("a-flag-of-somebody", "abc-123-def", "0123"):
        assert secret not in repr(found)


def test_the_words_of_a_bench_are_the_benchs_words() -> None:
    assert tuple(each.value for each in decisions.MarginDecision) == get_args(Decision)
    assert (*decisions.QUANTILES, "errors") == get_args(Figure)
    assert get_args(Call) == cells.CALLS


def test_a_whole_file_is_read_as_it_is(tmp_path: Path) -> None:
    files = {"check": check(), "bench": bench(), "preflight": preflight()}
    for name, path in zip(files, written(tmp_path, **files)[1::2], strict=True):
        found = READERS[name][0](Path(path))
        assert found.source.file == Path(path).name
        assert len(found.source.sha256) == 64
        assert found.source.made_at.isoformat().startswith("2026-03-09")
