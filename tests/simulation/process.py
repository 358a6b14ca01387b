"""A process of the operator: it can be killed, frozen and woken at every await."""

import asyncio
import contextvars
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any


PROCESS: ContextVar["Process | None"] = ContextVar("PROCESS", default=None)
"""Whose code runs; None for the world's own."""


class Process:
    """One life of one replica.

    Attributes:
        term: of the Lease it holds or held; 0 before it ever led.
        skew_s: how far its wall clock is ahead.
        seeded: whether it has counted what is in the cluster.
        context: its tasks run in it, or in copies.
        held: callbacks that wait for it to go on. A killed process never does: nothing of
            it runs again, no `finally`, no `except`.
    """

    def __init__(self, name: str, skew_s: float) -> None:
        self.name = name
        self.skew_s = skew_s
        self.term = 0
        self.dead = False
        self.ended = False
        self.frozen_until = 0.0
        self.held: list[asyncio.Handle] = []
        self.signals: dict[int, Callable[[], Any]] = {}
        self.on_death: Callable[[], None] = lambda: None
        self.seeded = False
        self.context = contextvars.copy_context()
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

    def __repr__(self) -> str:
        return self.name
