"""What tests of failures ask of the stack: where programs are to die, and what answers are wrong.

In memory: a restart forgets all of it, and then everything behaves.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

Do = Literal["die", "hold", "go"]
Fault = Literal["", "500", "reject", "hang", "late"]

HANG_S = 20.0
"""Longer than M0's clients wait."""


@dataclass
class Arm:
    """One order: the next process that comes by this point dies, or holds.

    Attributes:
        point: which.
        subject: only for this resource; empty: for any.
        do: what happens there.
        skip: so many pass before.
        spent: somebody has died of it, or is held by it.
        released: who is held may go on.
    """

    number: int
    point: str
    subject: str
    do: Do
    skip: int = 0
    spent: bool = False
    released: bool = False


@dataclass
class Chaos:
    """The orders, and the one fault of the GraphQL endpoint.

    Attributes:
        fault: "500": answers so and does nothing. "late": does it, then answers 500.
            "reject": a GraphQL error. "hang": says nothing for a long time.
        only: mutations that the fault is for; all when empty.
        faulted: requests that met the fault.
    """

    arms: list[Arm] = field(default_factory=list)
    fault: Fault = ""
    only: str = ""
    faulted: int = 0

    def arm(self, point: str, subject: str = "", do: Do = "die", skip: int = 0) -> dict[str, Any]:
        """Give an order; it is good for one process."""
        self.arms.append(Arm(len(self.arms), point, subject, do, skip))
        return {"number": self.arms[-1].number}

    def armed(self, subject: str) -> dict[str, Any]:
        """The points that a process with this subject needs to ask about."""
        mine = {arm.point for arm in self.arms if arm.subject in {"", subject}}
        return {"points": sorted(mine)}

    def hit(self, point: str, subject: str = "", ticket: int | None = None) -> dict[str, Any]:
        """What somebody at a point is to do; `ticket`: as somebody who is held there already."""
        if ticket is not None:
            held = ticket < len(self.arms) and not self.arms[ticket].released
            return {"do": "hold" if held else "go", "ticket": ticket}
        for arm in self.arms:
            if arm.spent or arm.point != point or arm.subject not in {"", subject}:
                continue
            if arm.skip:
                arm.skip -= 1
                continue
            arm.spent = True
            return {"do": arm.do, "ticket": arm.number}
        return {"do": "go"}

    def release(self, number: int) -> dict[str, Any]:
        """Let go who is held, now or later."""
        self.arms[number].released = self.arms[number].spent = True
        return {}

    def clear(self) -> dict[str, Any]:
        """Forget all orders; whoever is held goes on."""
        self.arms.clear()
        self.fault, self.only, self.faulted = "", "", 0
        return {}

    def set_fault(self, fault: Fault, only: str = "") -> dict[str, Any]:
        """Have the GraphQL endpoint fail from now on; empty: no more."""
        self.fault, self.only = fault, only
        return {}

    def show(self) -> dict[str, Any]:
        """How far each order has come."""
        return {"arms": [vars(arm) for arm in self.arms], "faulted": self.faulted}

    def meets(self, body: bytes) -> Fault:
        """The fault that a GraphQL request meets."""
        if not self.fault or self.only.encode() not in body:
            return ""
        self.faulted += 1
        return self.fault


async def stall() -> None:
    """Say nothing for longer than anybody waits."""
    await asyncio.sleep(HANG_S)
