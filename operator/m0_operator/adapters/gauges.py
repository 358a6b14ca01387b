"""Figures that are asked for whenever Prometheus looks. Names and units: docs/observability.md."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is asked for whenever somebody looks; all are quick.

    Attributes:
        leader: whether this process leads.
        rounds: of the intake so far, and how many of them failed: (rounds, errors).
        messages: messages ready, by queue; one that could not be asked is missing.
        not_empty_s: how long each has not been seen empty; likewise.
    """

    leader: Callable[[], bool]
    slots_limit: Callable[[], float]
    slots_used: Callable[[], float]
    not_starting: Callable[[], float]
    workqueue: Callable[[], float]
    watch_behind_s: Callable[[], float]
    rounds: Callable[[], tuple[int, int]]
    messages: Callable[[], Mapping[str, int]]
    not_empty_s: Callable[[], Mapping[str, float]]


class Asked(Collector):
    """What others know, asked when somebody looks."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Any]:
        """The families. One that stands by knows of nothing but that: it says nothing else."""
        ask = self._gauges
        yield _gauge("leader", "1 for the operator that acts, 0 for others.", ask.leader())
        if not ask.leader():
            return
        yield _gauge("slots_limit", "How many videos may be unfinished.", ask.slots_limit())
        yield _gauge("slots_used", "How many are.", ask.slots_used())
        yield _gauge("videos_not_starting", "Those whose pod can't start.", ask.not_starting())
        yield _gauge("workqueue_depth", "Resources that wait to be looked at.", ask.workqueue())
        yield _gauge(
            "watch_behind_seconds", "How long the watches owe an event.", ask.watch_behind_s()
        )
        rounds, errors = ask.rounds()
        yield CounterMetricFamily("m0_intake_rounds", "Looks for a message.", value=rounds)
        yield CounterMetricFamily("m0_intake_errors", "Those that failed.", value=errors)
        yield _by_queue("queue_messages", "Messages ready.", ask.messages())
        yield _by_queue("queue_not_empty_seconds", "No message in it is older.", ask.not_empty_s())


def _gauge(name: str, says: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"m0_{name}", says, value=float(value))


def _by_queue(name: str, says: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"m0_{name}", says, labels=["queue"])
    for queue, value in values.items():
        family.add_metric([queue], value)
    return family
