"""What goes wrong in a run: drawn from its seed, class by class; some are calm and some hell.

Each class of fault is on or off by itself (swarm testing): a run in which only events are
dropped finds what a run in which everything burns would hide.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Literal

Temper = Literal["calm", "rough", "hell"]
Windows = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Plan:
    """Rates are per call unless they say otherwise; all faults end at `horizon_s`.

    Attributes:
        replicas: processes that want to lead.
        limit: `maxActiveJobs`.
        latency_s: mean of one way of a call.
        lose: a request, or the answer to it.
        slow: a call that takes seconds.
        kill, freeze: the process, at this call.
        uncancel: a call that is cancelled ends with its own error instead, as aiohttp's may.
        kill_every_s, stop_every_s: mean time between kills, orderly stops; 0 for never.
        event_drop, event_twice, event_delay_s: of the watch.
        cut: of the chance that a service goes away for a while at this very call.
        away: when a service does not answer.
        reject: of a backend's answers.
        disrupt: of the chance that a pod meets some end before its own, per pod.
        meddle_every_s: mean time between things that people do; 0 for never.
        pace: what the operator's own waits for idle polling are multiplied by.
    """

    seed: int
    temper: Temper
    requests: int
    horizon_s: float
    replicas: int = 1
    limit: int = 4
    resync_s: float = 20.0
    handed_over: Literal["PROCESSING", "COMPLETED"] = "PROCESSING"
    backend: bool = True
    backoff_limit: int = 3
    deadline_s: int | None = None
    latency_s: float = 0.005
    lose: float = 0.0
    slow: float = 0.0
    cut: float = 0.0
    kill: float = 0.0
    freeze: float = 0.0
    uncancel: float = 0.0
    kill_every_s: float = 0.0
    stop_every_s: float = 0.0
    event_drop: float = 0.0
    event_twice: float = 0.0
    event_delay_s: float = 0.05
    away: dict[str, Windows] = field(default_factory=dict)
    reject: float = 0.0
    disrupt: float = 0.0
    meddle_every_s: float = 0.0
    pace: float = 1.0

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong."""
        return self.temper == "calm"

    def is_away(self, service: str, now_s: float) -> bool:
        """Whether a service does not answer."""
        return any(start <= now_s < end for start, end in self.away.get(service, ()))


def draw_plan(seed: int) -> Plan:
    """The plan of a seed."""
    rng = Random(f"plan {seed}")
    temper: Temper = rng.choices(("calm", "rough", "hell"), (1, 6, 4))[0]
    horizon_s = rng.choice((40.0, 80.0, 150.0))
    if temper == "calm":
        return Plan(
            seed,
            temper,
            requests=rng.randint(1, 8),
            horizon_s=40.0,
            limit=rng.choice((1, 2, 4)),
            handed_over=rng.choice(("PROCESSING", "COMPLETED")),
        )
    heat = 1.0 if temper == "rough" else 4.0

    def some(value: float, chance: float = 0.5) -> float:
        """On or off, and then of some strength."""
        on = rng.random() < chance
        return value * heat * rng.uniform(0.3, 1.5) if on else 0.0

    def every(mean_s: float, chance: float) -> float:
        on = rng.random() < chance
        return mean_s / heat * rng.uniform(0.6, 2.0) if on else 0.0

    freeze = some(0.01, 0.35)
    return Plan(
        seed,
        temper,
        requests=rng.randint(2, 9),
        horizon_s=horizon_s,
        # One that sleeps is of interest while another one leads.
        replicas=2 if freeze else rng.choice((1, 2)),
        limit=rng.choice((1, 2, 3, 5)),
        resync_s=rng.choice((10.0, 30.0, 60.0)),
        handed_over=rng.choice(("PROCESSING", "COMPLETED")),
        backend=rng.random() < 0.9,
        backoff_limit=rng.choice((0, 1, 3)),
        deadline_s=rng.choice((None, None, 60)),
        latency_s=rng.choice((0.002, 0.02, 0.2)),
        lose=some(0.03),
        slow=some(0.01),
        cut=some(0.005),
        kill=some(0.006, 0.4),
        freeze=freeze,
        uncancel=min(1.0, some(0.3, 0.3)),
        kill_every_s=every(120.0, 0.25),
        stop_every_s=every(120.0, 0.25),
        event_drop=some(0.1),
        event_twice=some(0.1),
        event_delay_s=rng.choice((0.05, 1.0, 5.0)),
        away={
            service: _draw_windows(rng, horizon_s, heat)
            for service in ("api", "broker", "backend")
            if rng.random() < 0.35
        },
        reject=some(0.04, 0.3),
        disrupt=min(0.8, some(0.2)),
        meddle_every_s=every(40.0, 0.5),
        pace=rng.choice((1.0, 4.0)),
    )


def _draw_windows(rng: Random, horizon_s: float, heat: float) -> Windows:
    windows = []
    for _ in range(rng.randint(1, 2)):
        start = rng.uniform(0, horizon_s)
        windows.append((start, min(horizon_s, start + rng.uniform(2, 15 * heat))))
    return tuple(windows)
