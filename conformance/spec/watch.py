"""A backend under observation: every call and answer is noted and checked for its shape."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from conformance.spec.crash import ProcessDied
from conformance.spec.shape import RuleBroken, check_action, check_start, check_status
from conformance.spec.trace import Trace
from engines.contract import (
    ActionResult,
    Capabilities,
    Code,
    ContainerBackend,
    InstanceStatus,
    StartResult,
)

_T = TypeVar("_T")

_RAISES_RULE = {
    "start_instance": "INPUT-008",
    "extend_instance": "INPUT-008",
    "stop_instance": "INPUT-008",
    "get_instance_status": "STATUS-015",
    "last_known": "HTTP-011",
}


class WatchedBackend(ContainerBackend):
    """Passes calls on to the backend under test, from any number of threads.

    An exception the scenario did not expect is the backend's failure and becomes
    :class:`RuleBroken`, as does an answer of the wrong shape.
    """

    def __init__(self, inner: ContainerBackend, trace: Trace) -> None:
        self._inner = inner
        self._trace = trace
        self._expected: type[Exception] | None = None
        self._lock = threading.Lock()
        self._underway: dict[object, str] = {}

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def package(self) -> str:
        """The package that the backend under test is written in, as loggers are named."""
        return type(self._inner).__module__.partition(".")[0]

    @property
    def names(self) -> frozenset[str]:
        return self._inner.names

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def start_instance(self, *args: Any, **kwargs: Any) -> StartResult:
        answer: StartResult = self._call("start_instance", args, kwargs, self._check_start)
        return answer

    def extend_instance(self, *args: Any, **kwargs: Any) -> ActionResult:
        return self._call("extend_instance", args, kwargs, check_action)

    def stop_instance(self, *args: Any, **kwargs: Any) -> ActionResult:
        return self._call("stop_instance", args, kwargs, check_action)

    def get_instance_status(self, *args: Any, **kwargs: Any) -> InstanceStatus | None:
        return self._call("get_instance_status", args, kwargs, _check_status_or_none)

    def last_known(self, *args: Any, **kwargs: Any) -> InstanceStatus | None:
        return self._call("last_known", args, kwargs, _check_status_or_none)

    @contextmanager
    def expects(self, wanted: type[Exception], rule: str) -> Iterator[None]:
        """The one call inside this block must raise ``wanted``; ``rule`` demands it."""
        self._expected = wanted
        try:
            yield
        except wanted:
            return
        finally:
            self._expected = None
        raise RuleBroken(rule, f"{wanted.__name__} was not raised")

    @contextmanager
    def allows(self, wanted: type[Exception]) -> Iterator[None]:
        """The one call inside this block may raise ``wanted``."""
        self._expected = wanted
        try:
            yield
        except wanted:
            return
        finally:
            self._expected = None

    def _call(
        self,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        check: Callable[[_T], None],
    ) -> _T:
        text = f"{method}({_arguments(args, kwargs)})"
        try:
            with self.underway(text):
                answer: _T = getattr(self._inner, method)(*args, **kwargs)
        except Exception as error:
            self.answered(f"{text} raised {type(error).__name__}: {error}")
            if self._expected is not None and isinstance(error, self._expected):
                raise
            raised = f"{method} raised {type(error).__name__}"
            raise RuleBroken(_RAISES_RULE[method], raised) from error
        self.answered(f"{text} -> {_shown(answer)}")
        check(answer)
        self.check_secrets(answer)
        return answer

    @contextmanager
    def underway(self, text: str) -> Iterator[None]:
        """The backend is at work inside this block; many threads may be inside at once."""
        this = object()
        with self._lock:
            self._underway[this] = text
        try:
            with self._trace.call(text):
                yield
        except (Exception, ProcessDied):
            self._returned(this)
            raise
        self._returned(this)
        # Any other BaseException (a time-out, Ctrl-C) leaves the call pending.

    def _returned(self, call: object) -> None:
        """Others may be at work still: the trace goes on to name the oldest of them."""
        with self._lock:
            del self._underway[call]
            self._trace.pending = next(iter(self._underway.values()), None)

    def answered(self, line: str) -> None:
        """A call has been answered; ``line`` says how."""
        with self._lock:
            self._trace.calls += 1
            self._trace.note(line)

    def _check_start(self, answer: Any) -> None:
        """Note the container before the shape is judged: it was made all the same."""
        instance = answer[2] if isinstance(answer, tuple) and len(answer) > 2 else None
        made = instance.get("container_id") if isinstance(instance, dict) else None
        if made and isinstance(made, str):
            self._trace.containers.add(made)
        check_start(answer)

    def check_secrets(self, answer: object) -> None:
        """Raise :class:`RuleBroken` when the answer holds a flag that the scenario has met."""
        if self._trace.secrets.given_away_by(repr(answer)):
            raise RuleBroken("FLAG-007", "the answer gives a flag away")


def _check_status_or_none(status: InstanceStatus | None) -> None:
    if status is not None:
        check_status(status)


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    named = [f"{name}={value!r}" for name, value in kwargs.items()]
    return ", ".join([*map(repr, args), *named])


def _shown(answer: object) -> str:
    if not isinstance(answer, tuple):
        return repr(answer)
    code = getattr(answer, "code", None)
    shown = code.value if isinstance(code, Code) else repr(code)
    return f"{tuple(answer)!r} code={shown}"
