"""The integrity certificate: what was read against what was really written.

It is kept chunk by chunk, and what it says after a chunk is short enough to be stored with
that chunk: an attempt that goes on where another stopped vouches for the whole film.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from m0_contract.errors import ErrorCode
from m0_contract.outcome import Integrity
from pydantic_core import to_json  # the standard library's costs eight times as much

from m0_chunker.errors import ChunkerError

SHOWN_STREAMS = 8


class ChunkFacts(NamedTuple):
    """What one chunk adds.

    Attributes:
        read: packets of each stream that the film gave for this chunk.
        written: packets of each stream that its index has.
        repeated: of those, how many of each stream are in the next chunk as well (overlap).
        size_bytes: of the whole file.
        sha256: of all its bytes, raw.
        gap_s: longest stretch without a picture (without sound in a film without pictures).
        shift_s: how far its start, or the next one's, is behind its nominal time.
        leading: pictures at its start that need one before the cut (open GOP).
        encoded: packets among `written` that are not the film's own.
    """

    read: Sequence[int]
    written: Sequence[int]
    repeated: Sequence[int]
    size_bytes: int
    sha256: bytes
    gap_s: float = 0.0
    shift_s: float = 0.0
    leading: int = 0
    encoded: int = 0


@dataclass
class Certificate:
    """The sum over all chunks so far.

    Attributes:
        kinds: `v` or `a` for each stream.
        read: packets of each stream that came from the film.
        written: packets of each stream that are in the chunks, repeated ones once.
        chain: SHA-256 over the one before and a chunk's SHA-256, chunk by chunk: it covers
            every byte that was written, and can be made again from the chunks' hashes.
    """

    kinds: str = ""
    read: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    repeated: int = 0
    size_bytes: int = 0
    chain: bytes = b""
    gap_s: float = 0.0
    shift_s: float = 0.0
    leading: int = 0
    encoded: int = 0

    def add(self, facts: ChunkFacts, chunk_id: int) -> None:
        """Take a chunk in.

        Raises:
            ChunkerError: INTEGRITY: it doesn't hold what was read for it.
        """
        for stream, (read, written) in enumerate(zip(facts.read, facts.written, strict=True)):
            if read != written:
                raise ChunkerError(
                    ErrorCode.INTEGRITY,
                    f"stream {stream}: {read} packets were read, {written} are in the chunk",
                    chunk_id=chunk_id,
                )
        self.read = _sum(self.read, facts.read, facts.repeated)
        self.written = _sum(self.written, facts.written, facts.repeated)
        self.repeated += sum(facts.repeated)
        self.size_bytes += facts.size_bytes
        self.chain = hashlib.sha256(self.chain + facts.sha256).digest()
        self.gap_s = max(self.gap_s, facts.gap_s)
        self.shift_s = max(self.shift_s, facts.shift_s)
        self.leading += facts.leading
        self.encoded += facts.encoded

    def dump(self) -> str:
        """A line of JSON, at most about 1 KiB."""
        values: list[Any] = [
            self.kinds,
            self.written,
            self.repeated,
            self.size_bytes,
            self.chain.hex(),
            round(self.gap_s, 6),
            round(self.shift_s, 6),
            self.leading,
            self.encoded,
        ]
        return to_json(values).decode()

    @classmethod
    def load(cls, text: str) -> "Certificate":
        """What `dump` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            values = json.loads(text)
            kinds, written, repeated, size_bytes, chain, gap_s, shift_s, leading, encoded = values
            return cls(
                str(kinds),
                [int(count) for count in written],
                [int(count) for count in written],
                int(repeated),
                int(size_bytes),
                bytes.fromhex(chain),
                float(gap_s),
                float(shift_s),
                int(leading),
                int(encoded),
            )
        except (TypeError, AttributeError) as error:
            raise ValueError("no certificate") from error

    def check(self, delivered: Sequence[int], before: Sequence[int] | None = None) -> None:
        """Compare with what the film gave in all.

        Args:
            delivered: packets of each stream, counted where they come from.
            before: those that an earlier attempt was given, where they did not come again.

        Raises:
            ChunkerError: INTEGRITY, naming the stream and both counts.
        """
        earlier = before or [0] * len(delivered)
        given_in_all = [a + b for a, b in zip(delivered, earlier, strict=True)]
        for stream, (given, written) in enumerate(zip(given_in_all, self.written, strict=True)):
            if given != written:
                raise ChunkerError(
                    ErrorCode.INTEGRITY,
                    f"stream {stream}: the film has {given} packets, {written} are in the chunks",
                )

    def to_integrity(
        self, covered_s: float, film_s: float | None = None, **more: object
    ) -> Integrity:
        """The certificate as it goes into the outcome.

        Args:
            covered_s: seconds of the film that are in the chunks.
            film_s: length of the film as its header gives it, seconds; None: unknown.
            more: what else is to be said.
        """
        kinds = ["video" if kind == "v" else "audio" for kind in self.kinds]
        streams = zip(kinds, self.read, self.written, strict=True)
        missing = 0.0 if film_s is None else max(0.0, film_s - covered_s)
        values: dict[str, object] = {
            "packets_in": sum(self.read),
            "packets_out": sum(self.written),
            "payload_sha256": self.chain.hex(),
            "bytes_out": self.size_bytes,
            "streams": [
                {"kind": kind, "in": read, "out": written}
                for kind, read, written in list(streams)[:SHOWN_STREAMS]
            ],
            "covered_s": round(covered_s, 6),
            "missing_s": round(missing, 3),
            "largest_gap_s": round(self.gap_s, 6),
            "largest_shift_s": round(self.shift_s, 6),
            "repeated": self.repeated or None,
            "leading_pictures": self.leading or None,
            "encoded": self.encoded or None,
            **more,
        }
        return Integrity.model_validate({k: v for k, v in values.items() if v is not None})


def _sum(total: list[int], counts: Sequence[int], less: Sequence[int]) -> list[int]:
    total = total or [0] * len(counts)
    return [a + b - c for a, b, c in zip(total, counts, less, strict=True)]
