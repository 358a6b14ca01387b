"""What the ledger notes down: lives of resources, dead letters, messages."""

from dataclasses import dataclass, field
from typing import Any

from simulation.process import Process

ENDS = frozenset({"Succeeded", "Failed", "Stopped"})


@dataclass
class Life:
    """One VideoChunkJob.

    Attributes:
        body: of the message behind it; None when a person applied it.
        valid: whether it can be run: then the backend hears QUEUED first.
        held: whether our finalizer was ever on it.
        lettered: the dead letter is on record as sent.
    """

    uid: str
    name: str
    process_id: int | str
    body: bytes | None
    valid: bool
    created_s: float
    held: bool
    phase: str | None = None
    finished_s: float | None = None
    gone_s: float | None = None
    deleted_by_operator: bool = False
    lettered: bool = False
    acknowledged: bool = False
    headers: dict[str, Any] = field(default_factory=dict)
    reported: str | None = None
    writes: int = 0
    jobs: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return self.phase in {"Failed", "Stopped"}

    def expected_reports(self, handed_over: str) -> list[str]:
        end = [] if self.phase not in ENDS else ["FAILED" if self.failed else handed_over]
        return (["QUEUED"] if self.valid else []) + end


@dataclass
class Letter:
    """One stored copy of a dead letter; `known`: its sender has heard the confirmation."""

    id: str
    body: bytes
    headers: dict[str, Any]
    priority: int
    at_s: float
    by: Process
    known: bool = True


@dataclass
class Message:
    """What somebody has published."""

    serial: int
    body: bytes
    headers: dict[str, Any]
    priority: int
    message_id: str
    at_s: float
    acked_s: float | None = None
    acked_by: Process | None = None
    ack_known: bool = True
    delivered_s: list[float] = field(default_factory=list)
