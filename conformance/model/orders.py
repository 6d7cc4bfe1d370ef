"""What the scenarios of parallel calls ask of a recorded history."""

from __future__ import annotations

from conformance.model.histories import HistoryRecorder, Op
from conformance.model.linearizability import impossible
from conformance.model.rulebook import SLACK_SECONDS, Rulebook
from conformance.spec.steps import demand


def in_order(recorder: HistoryRecorder, *, capacity: int | None = None) -> None:
    """The recorded answers must be those of some order of the calls.

    Args:
        capacity: places of the whole system, where accounts share them.
    """
    moves = sum(op.moves for op in recorder.ops)
    blur = sum(op.moves for op in recorder.ops if _in_company(op, recorder))
    took = max((op.ended for op in recorder.ops), default=0.0)
    drift = recorder.drift()
    stage = recorder.stage
    rules = Rulebook(
        stage.capabilities,
        (stage.first, stage.second),
        capacity=capacity,
        slack=SLACK_SECONDS + moves + took + drift,
        blur=blur + drift,
        reads_clock=False,
    )
    found = impossible(rules, recorder.ops, shared=capacity is not None)
    demand(found is None, str(found))
    begun = [op for op in recorder.ops if op.answer is not None and op.answer.word == "ok"]
    demand(bool(begun), "of all these calls none did anything")


def _in_company(op: Op, recorder: HistoryRecorder) -> bool:
    return any(op.overlaps(other) for other in recorder.ops if other is not op)
