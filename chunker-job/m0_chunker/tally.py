"""How far a video has come, and the account of it that is left when it ends, whatever way."""

import resource
import time
from dataclasses import dataclass, field

from m0_contract.outcome import Integrity, Outcome

from m0_chunker.errors import ChunkerError


class Timed:
    """How often something was done, and how long that took; counts from any thread."""

    def __init__(self) -> None:
        self._took_s: list[float] = []

    def since(self, began: float) -> None:
        """Count what was begun at this time of `time.monotonic` and has just been done."""
        self._took_s.append(time.monotonic() - began)

    @property
    def times(self) -> int:
        """How often."""
        return len(self._took_s)

    @property
    def seconds(self) -> float:
        """How long, all together."""
        return round(sum(self._took_s), 3)


@dataclass
class Tally:
    """How far it has come; what the outcome says when it ends, whatever way.

    Attributes:
        chunks: announced.
        done_s: seconds of the film in them.
        size_bytes: of them, counted once.
        mode: `copy` or `transcode`.
        total_s: the film's length as its header says, seconds.
        integrity: set by the cutter at its end.
        resumed_at: chunks that earlier attempts had finished.
        first_chunk_s: seconds from the start to the first message.
        uploads: of chunks, to both stores; a copy inside a store is one as well.
        rows: that the backend has confirmed.
        began_s: seconds of the film that were done before this attempt; set by its first chunk.
    """

    chunks: int = 0
    done_s: float = 0.0
    size_bytes: int = 0
    mode: str | None = None
    total_s: float | None = None
    integrity: Integrity | None = None
    resumed_at: int | None = None
    first_chunk_s: float | None = None
    started: float = field(default_factory=time.monotonic)
    uploads: Timed = field(default_factory=Timed)
    rows: Timed = field(default_factory=Timed)
    began_s: float | None = None

    def left_s(self) -> float | None:
        """Seconds until it is done, at this attempt's speed so far; None while unknown."""
        if self.total_s is None or self.began_s is None or self.done_s <= self.began_s:
            return None
        pace = (time.monotonic() - self.started) / (self.done_s - self.began_s)
        return max(0.0, self.total_s - self.done_s) * pace

    def to_outcome(self, error: ChunkerError | None, **receipt: object) -> Outcome:
        """The account for the operator."""
        return Outcome(
            chunks=self.chunks,
            duration_s=self.done_s,
            size_bytes=self.size_bytes,
            mode=self.mode,
            failure=error.to_failure() if error else None,
            integrity=None if error else self.integrity,
            receipt={
                "first_chunk_s": self.first_chunk_s,
                "resumed_at": self.resumed_at,
                "uploads": self.uploads.times,
                "upload_s": self.uploads.seconds,
                "rows": self.rows.times,
                "row_s": self.rows.seconds,
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "cpu_s": round(time.process_time(), 3),
                **receipt,
            },
        )
