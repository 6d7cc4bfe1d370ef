"""Prometheus metrics of a deployment; docs/metrics.md has the list.

Needs prometheus_client, which nothing else in ``engines`` does: ``pip install
'whale-ready[metrics]'``. Every figure is read from the database at the moment of the scrape, so it
does not matter which of many processes is asked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from wsgiref.simple_server import WSGIServer

from sqlalchemy.exc import SQLAlchemyError

from engines.audit import Action
from engines.clock import Clock
from engines.reasons import reason
from engines.state.database import Database, one_clock
from engines.state.figures import DURATION_BOUNDS_MS, Backlog, CallFigures, Figures, read_figures

try:
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "metrics need prometheus_client, which is not installed: pip install 'whale-ready[metrics]'"
    ) from error

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what :func:`exposition` returns."""

WHALE_TRAITS = ("scope", "scope_from", "get")
"""As :func:`engines.whale.traits.read_traits` has them."""

_STARTS = (Action.STARTED.value, Action.START_FAILED.value)
_STOPS = (Action.STOPPED.value, Action.STOP_FAILED.value)


class InstanceCollector(Collector):
    """Reads everything from the database whenever it is collected; safe in any thread.

    While the database cannot be read it collects ``whale_ready_up 0`` and nothing else.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = one_clock(database, clock)

    def collect(self) -> Iterator[Metric]:
        """Every metric with its present value."""
        try:
            figures = read_figures(self._database, self._clock.now())
        except SQLAlchemyError as error:
            log.warning("no metrics: the database cannot be read: %s", reason(error))
            yield _up(0)
            return
        yield _up(1)
        yield from _families(figures)

    def describe(self) -> Iterator[Metric]:
        """Every metric without a value: registering asks no database."""
        yield _up(0)
        yield from _families(Figures())


def registry(database: Database, clock: Clock | None = None) -> CollectorRegistry:
    """A registry with these metrics and no others, for a server of your own."""
    made = CollectorRegistry()
    made.register(InstanceCollector(database, clock))
    return made


def exposition(database: Database, clock: Clock | None = None) -> bytes:
    """All metrics in Prometheus' text format, to be served as :data:`CONTENT_TYPE`."""
    return generate_latest(registry(database, clock))


def serve(database: Database, host: str, port: int) -> tuple[WSGIServer, threading.Thread]:
    """Serve the metrics over HTTP in threads of its own; ``port`` 0 is any free one.

    To end it, call the server's ``shutdown()`` and ``server_close()`` and join the thread.

    Raises:
        OSError: nothing can listen there.
    """
    return start_http_server(port, host, registry(database))


def _up(value: int) -> Metric:
    return GaugeMetricFamily(
        "whale_ready_up", "1 when the database could be read, else 0.", value=value
    )


def _families(figures: Figures) -> Iterator[Metric]:
    yield from _backlog_families(figures.backlogs)
    yield _events(figures.calls)
    yield _durations(
        "start",
        "From a call to start until its outcome, readiness included.",
        [calls for calls in figures.calls if calls.action in _STARTS],
    )
    yield _durations(
        "stop",
        "From a call to stop until its outcome.",
        [calls for calls in figures.calls if calls.action in _STOPS],
    )
    pool = GaugeMetricFamily(
        "whale_ready_pool_ready",
        "Warm containers that wait for a start.",
        labels=["challenge_id"],
    )
    for challenge_id, level in figures.pool.items():
        pool.add_metric([str(challenge_id)], level)
    yield pool
    reserved = GaugeMetricFamily(
        "whale_ready_reservations", "Reserved numbers in use, such as ports.", labels=["kind"]
    )
    for kind, number in figures.reservations.items():
        reserved.add_metric([kind], number)
    yield reserved
    traits = GaugeMetricFamily(
        "whale_ready_whale_traits",
        "1, with what Whale was seen to hold, or is said to; not there while nothing is known.",
        labels=WHALE_TRAITS,
    )
    if figures.whale:
        traits.add_metric([figures.whale.get(name, "unknown") for name in WHALE_TRAITS], 1)
    yield traits


def _backlog_families(backlogs: Mapping[str, Backlog]) -> Iterator[Metric]:
    instances = GaugeMetricFamily(
        "whale_ready_instances",
        "Instances on record, each in one state; expired: its time is over and it is still there.",
        labels=["backend", "state"],
    )
    lag = GaugeMetricFamily(
        "whale_ready_worker_lag_seconds",
        "Since when the longest overdue instance should be gone; 0 when none is overdue.",
        labels=["backend"],
    )
    alive = GaugeMetricFamily(
        "whale_ready_worker_alive",
        "1 when a cleanup worker was heard of lately, else 0.",
        labels=["backend"],
    )
    for backend, backlog in backlogs.items():
        for state, number in backlog.states.items():
            instances.add_metric([backend, state], number)
        lag.add_metric([backend], backlog.lag_seconds)
        alive.add_metric([backend], int(backlog.worker_alive))
    yield from (instances, lag, alive)


def _events(calls: Iterable[CallFigures]) -> Metric:
    family = CounterMetricFamily(
        "whale_ready_events",
        "Rows of the audit log: what calls did, or failed to do, and why.",
        labels=["backend", "action", "code"],
    )
    for call in calls:
        family.add_metric([call.backend, call.action, call.code], call.count)
    return family


def _durations(what: str, text: str, calls: Iterable[CallFigures]) -> Metric:
    """A histogram by backend and code, whichever action bears the code."""
    by_labels: dict[tuple[str, str], list[CallFigures]] = {}
    for call in calls:
        by_labels.setdefault((call.backend, call.code), []).append(call)
    family = HistogramMetricFamily(
        f"whale_ready_{what}_duration_seconds", text, labels=["backend", "code"]
    )
    for labels, same in by_labels.items():
        within = [sum(column) for column in zip(*(figures.within for figures in same), strict=True)]
        buckets: list[tuple[str, float]] = [
            (f"{bound / 1000:g}", number)
            for bound, number in zip(DURATION_BOUNDS_MS, within, strict=True)
        ]
        buckets.append(("+Inf", sum(figures.count for figures in same)))
        family.add_metric(labels, buckets, sum(figures.total_ms for figures in same) / 1000)
    return family
