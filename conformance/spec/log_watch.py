"""Whether a backend logs a secret while a scenario runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from conformance.spec.redaction import Secrets
from conformance.spec.shape import RuleBroken

OURS = ("engines", "urllib3")
"""Loggers of our engines and of what they send requests with."""


class _Listener(logging.Handler):
    def __init__(self, secrets: Secrets) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[logging.LogRecord] = []
        self._secrets = secrets

    def emit(self, record: logging.LogRecord) -> None:
        if self._secrets.rule_broken_by(self.format(record)):
            self.heard.append(record)


@contextmanager
def listening(secrets: Secrets, packages: Iterable[str]) -> Iterator[None]:
    """Listen to these loggers and those below them, from DEBUG up, inside this block.

    Raises:
        RuleBroken: a record gives away a flag or a token.
    """
    listener = _Listener(secrets)
    loggers = [logging.getLogger(name) for name in dict.fromkeys((*OURS, *packages))]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(listener)
            logger.setLevel(level)
    for record in listener.heard:
        rule = secrets.rule_broken_by(listener.format(record))
        raise RuleBroken(rule, f"{record.name} logged a secret at level {record.levelname}")
