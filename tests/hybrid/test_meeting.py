"""What may be promised when a call may end on either of two backends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hybrid.stage import Site

from engines.contract import Scope
from engines.hybrid.meeting import meet


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Scope.PER_CHALLENGE, Scope.PER_CHALLENGE, Scope.PER_CHALLENGE),
        (Scope.PER_CHALLENGE, Scope.PER_ACCOUNT, Scope.PER_ACCOUNT),
        (Scope.PER_ACCOUNT, Scope.PER_CHALLENGE, Scope.PER_ACCOUNT),
    ],
)
def test_the_narrower_scope_holds(here: Site, one: Scope, other: Scope, both: Scope) -> None:
    of = here.hybrid.sides["cre"].capabilities
    assert meet([replace(of, scope=one), replace(of, scope=other)]) == replace(of, scope=both)
