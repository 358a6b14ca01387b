"""A process of the operator: it can be killed, frozen and woken at every await."""

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Process:
    """One life of one replica.

    Attributes:
        skew_s: how far its wall clock is ahead.
        term: of the Lease it holds or held; 0 before it ever led.
        held: callbacks that wait for it to go on. A killed process never does: nothing of
            it runs again, no `finally`, no `except`.
        signals: its handlers.
        seeded: whether it has counted what is in the cluster.
        context: its tasks run in it, or in copies.
    """

    name: str
    skew_s: float
    term: int = 0
    dead: bool = False
    ended: bool = False
    frozen_until: float = 0.0
    seeded: bool = False
    held: list[asyncio.Handle] = field(default_factory=list)
    signals: dict[int, Callable[[], Any]] = field(default_factory=dict)
    on_death: Callable[[], None] = lambda: None
    context: Context = field(default_factory=copy_context)

    def __post_init__(self) -> None:
        self.context.run(PROCESS.set, self)

    @property
    def stands_still(self) -> bool:
        """Whether its callbacks must wait."""
        return self.dead or self.frozen_until > 0

    @property
    def gone(self) -> bool:
        """Whether it will never act again."""
        return self.dead or self.ended

    def kill(self) -> None:
        """SIGKILL, a lost node, power off."""
        if not self.gone:
            self.dead = True
            self.on_death()

    def __str__(self) -> str:
        return self.name


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)
"""Whose code runs; None for the world's own."""
