"""What may be promised when a call may end on either of several backends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from engines.contract import Capabilities, ExtendMode, Scope


def meet(of: Sequence[Capabilities]) -> Capabilities:
    """What holds on each of them: the lower limits, and only what all can do."""
    return reduce(_both, of)


def _both(one: Capabilities, other: Capabilities) -> Capabilities:
    per_account = Scope.PER_ACCOUNT in (one.scope, other.scope)
    return Capabilities(
        scope=Scope.PER_ACCOUNT if per_account else Scope.PER_CHALLENGE,
        extend=one.extend if one.extend is other.extend else ExtendMode.MIXED,
        # A call site must be able to show either.
        addressing=one.addressing | other.addressing,
        ready_on_start=one.ready_on_start and other.ready_on_start,
        detects_loss=one.detects_loss and other.detects_loss,
        teams=one.teams and other.teams,
        multi_node=one.multi_node and other.multi_node,
        account_limit=min(one.account_limit, other.account_limit),
        max_extensions=min(one.max_extensions, other.max_extensions),
        timeout_seconds=min(one.timeout_seconds, other.timeout_seconds),
        extension_seconds=min(one.extension_seconds, other.extension_seconds),
        isolation=one.isolation & other.isolation,
        flag_grace_seconds=min(one.flag_grace_seconds, other.flag_grace_seconds),
        lapse_seconds=_longer(one.lapse_seconds, other.lapse_seconds),
    )


def _longer(one: int, other: int) -> int:
    """The longer of two times; 0 where one of them is not said."""
    return max(one, other) if one and other else 0
