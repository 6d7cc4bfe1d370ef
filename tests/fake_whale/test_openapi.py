"""The OpenAPI document says what the fake does: Schemathesis finds no undeclared answer."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import Phase, given, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import status_code_conformance

from fake_whale import FakeDialect, FakeWhale, VirtualEpochClock, WhaleWorld
from fake_whale.demo import DEMO_WORLD
from fake_whale.testing import tokens
from fake_whale.web.openapi import document

CHECKS: list[CheckFunction] = [status_code_conformance]


@pytest.mark.parametrize("dialect", list(FakeDialect))
def test_only_declared_answers(dialect: FakeDialect) -> None:
    """Schemathesis' own pytest integration does not know this pytest; its cases do."""
    headers = {"Authorization": f"Token {tokens(DEMO_WORLD)['alice']}"}
    fake = FakeWhale(DEMO_WORLD, clock=VirtualEpochClock(), dialect=dialect)
    with fake.serve() as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/_fake/openapi.json")
        tried = 0
        for operation in schema.get_all_operations():
            tried += 1

            @settings(max_examples=8, deadline=None, database=None, phases=[Phase.generate])
            @given(case=operation.ok().as_strategy())
            def check(case: schemathesis.Case) -> None:
                fake.lift_faults()
                case.call_and_validate(headers=headers, checks=CHECKS)

            check()
    assert tried >= 15


@pytest.mark.parametrize("dialect", list(FakeDialect))
def test_the_document_names_every_route(dialect: FakeDialect, world: WhaleWorld) -> None:
    with FakeWhale(world, clock=VirtualEpochClock(), dialect=dialect) as fake:
        served = {rule.rule for rule in fake.app.url_map.iter_rules()}
    described = set(document(dialect)["paths"])
    assert described <= served
    assert {path for path in served if path.startswith("/_fake/")} - described == {"/_fake/"}
