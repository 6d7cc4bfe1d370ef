"""No token and no flag in anything that is written: log, audit, state, reports, exceptions."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest

from conformance.harness import Options, World
from conformance.harnesses.whale import TOKENS, FakeWhaleHarness, FakeWhaleWorld
from conformance.registry.backends import Subject
from conformance.report.results import Status
from conformance.report.writers import FILES, write_reports
from conformance.run.runner import CheckRequest, check_subjects
from engines.contract import Code, StartResult
from engines.errors import BackendUnavailable
from engines.whale import WhaleAPIManager


class Leaky(FakeWhaleHarness):
    """Fails every start in the middle of a trace full of what Whale answered."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set(TOKENS.values())

    def world(self, options: Options) -> World:
        world = super().world(options)
        assert isinstance(world, FakeWhaleWorld)
        sound = world.manager.start_instance

        def start(user_id: int, challenge_id: int, team_id: int | None = None) -> StartResult:
            sound(user_id, challenge_id, team_id)
            flags = world.flags()
            self.secrets.update(flags)
            told = f"the flag is {''.join(flags)} and the token {TOKENS.get(user_id)}"
            return StartResult(False, told, code=Code.INTERNAL)

        world.manager.start_instance = start  # type: ignore[method-assign] # the leak
        return world


def test_no_report_quotes_a_token_or_a_flag_that_a_backend_gives_away(tmp_path: Path) -> None:
    harness = Leaky()
    request = CheckRequest(select=("START-*", "FLAG-*"))
    report = check_subjects([Subject("leaky", harness)], request)
    assert any(result.status is Status.FAIL for result in report.results)
    assert len(harness.secrets) > len(TOKENS)
    write_reports(report, tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert set(written) == set(FILES)
    for name, text in written.items():
        assert [secret for secret in harness.secrets if secret in text] == [], name


def test_no_log_event_row_or_repr_holds_a_token(
    world: FakeWhaleWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    results = [
        world.manager.start_instance(11, 1),
        world.manager.start_instance(11, 1),
        world.manager.extend_instance(11, 1),
        world.manager.start_instance(12, 999_999),
        world.manager.start_instance(99, 1),
    ]
    flags = world.flags()
    with world.outage():
        results.append(world.manager.stop_instance(11, 1))
        with pytest.raises(BackendUnavailable) as caught:
            world.manager.get_instance_status(11, 1)
    results.append(world.manager.stop_instance(11, 1))
    shown = [
        caplog.text,
        repr(world.events()),
        repr(results),
        repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__),
        repr(vars(world.manager)),
        "\n".join(world.exchanges()),
        pickle.dumps([tuple(result) for result in results]).decode("latin-1"),
    ]
    assert flags
    for text in shown:
        for secret in (*TOKENS.values(), *flags):
            assert secret not in text


def test_the_state_database_holds_no_token(world: FakeWhaleWorld, tmp_path: Path) -> None:
    assert world.manager.start_instance(11, 1).ok
    file = Path(str(world.database.engine.url.database))
    content = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"whale_instances" in content
    for token in TOKENS.values():
        assert token.encode() not in content


def test_an_unexpected_error_inside_is_logged_without_its_text(
    world: FakeWhaleWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_manager: WhaleAPIManager, _call: object) -> None:
        raise RuntimeError(f"header was Authorization: Token {TOKENS[11]}")

    monkeypatch.setattr(WhaleAPIManager, "_start", explode)
    result = world.manager.start_instance(11, 1)
    assert (result.ok, result.code) == (False, Code.INTERNAL)
    assert TOKENS[11] not in caplog.text + result.message
    assert "RuntimeError" in caplog.text
