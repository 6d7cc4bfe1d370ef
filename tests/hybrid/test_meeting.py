"""What may be promised when a call may end on either of two backends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hybrid.stage import Site

from engines.contract import Isolation, Scope
from engines.hybrid.intersection import meet


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Scope.PER_CHALLENGE, Scope.PER_CHALLENGE, Scope.PER_CHALLENGE),
        (Scope.PER_CHALLENGE, Scope.PER_ACCOUNT, Scope.PER_ACCOUNT),
        (Scope.PER_ACCOUNT, Scope.PER_CHALLENGE, Scope.PER_ACCOUNT),
    ],
)
def test_the_narrower_scope_holds(here: Site, one: Scope, other: Scope, both: Scope) -> None:
    of = replace(here.hybrid.sides["cre"].capabilities, isolation=frozenset(Isolation))
    assert meet([replace(of, scope=one), replace(of, scope=other)]) == replace(of, scope=both)
    none = replace(of, isolation=frozenset())
    assert not meet([of, none]).isolation
    assert not meet([none, of]).isolation


@pytest.mark.parametrize("name", ["ready_on_start", "detects_loss", "teams", "multi_node"])
def test_what_one_cannot_do_is_not_promised(here: Site, name: str) -> None:
    of = here.hybrid.sides["cre"].capabilities
    for one, other in ((True, False), (False, True), (True, True)):
        both = meet([replace(of, **{name: one}), replace(of, **{name: other})])
        assert getattr(both, name) is (one and other)


@pytest.mark.parametrize(
    ("one", "other", "both"), [(30, 60, 60), (60, 30, 60), (0, 60, 0), (60, 0, 0)]
)
def test_a_time_that_one_does_not_tell_is_not_known(
    here: Site, one: int, other: int, both: int
) -> None:
    of = here.hybrid.sides["cre"].capabilities
    met = meet([replace(of, lapse_seconds=one), replace(of, lapse_seconds=other)])
    assert met.lapse_seconds == both
