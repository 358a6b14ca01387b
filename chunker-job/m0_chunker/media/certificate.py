"""The integrity certificate: what was read against what was really written."""

import hashlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from m0_contract.errors import ErrorCode
from m0_contract.outcome import Integrity

from m0_chunker.errors import ChunkerError

if TYPE_CHECKING:
    import av

    from m0_chunker.media.mp4 import Track

_READ_BYTES = 2**20


@dataclass(slots=True)
class _Count:
    """One stream, on one side."""

    packets: int = 0
    size_bytes: int = 0
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)


class Certificate:
    """Counts of every stream on its way in and on its way out.

    Payloads must be the same bytes where the container changes only their wrapping
    (`exact`); where the muxer rewrites them on the way (MPEG-TS start codes become
    lengths) only their number can be compared.
    """

    def __init__(self, kinds: list[str], *, exact: list[bool], counted: list[bool]) -> None:
        """Args:
        kinds: `video` or `audio`, one for each stream.
        exact: whether each stream's payload is to come out as it went in.
        counted: whether each stream's packets are one sample each (not so for PCM).
        """
        self._kinds, self._exact, self._counted = kinds, exact, counted
        self._in = [_Count() for _ in kinds]
        self._out = [_Count() for _ in kinds]
        self._payload = hashlib.sha256()

    def count_in(self, stream: int, packet: "av.Packet[av.stream.Stream]") -> None:
        """A packet was read."""
        count = self._in[stream]
        count.packets += 1
        count.size_bytes += packet.size
        count.sha256.update(packet)

    def count_out(self, stream: int, track: "Track", spool: IO[bytes]) -> None:
        """A chunk's track was written; reads its samples back from the chunk."""
        count = self._out[stream]
        count.packets += track.samples
        count.size_bytes += track.size_bytes
        for offset, length in track.runs:
            spool.seek(offset)
            left = length
            while left:
                data = spool.read(min(left, _READ_BYTES))
                if not data:
                    raise ChunkerError(ErrorCode.INTEGRITY, "a chunk's index points past its end")
                count.sha256.update(data)
                left -= len(data)

    def check(self) -> Integrity:
        """Compare both sides.

        Raises:
            ChunkerError: INTEGRITY, naming the stream and both counts.
        """
        for stream, kind in enumerate(self._kinds):
            read, written = self._in[stream], self._out[stream]
            if self._counted[stream] and read.packets != written.packets:
                raise _mismatch(stream, kind, "packets", read.packets, written.packets)
            if self._exact[stream] and read.sha256.digest() != written.sha256.digest():
                raise _mismatch(stream, kind, "bytes", read.size_bytes, written.size_bytes)
        return self.summary()

    def summary(self) -> Integrity:
        """The certificate as it goes into the outcome."""
        total = hashlib.sha256(b"".join(count.sha256.digest() for count in self._out))
        return Integrity.model_validate(
            {
                "packets_in": sum(count.packets for count in self._in),
                "packets_out": sum(count.packets for count in self._out),
                "payload_sha256": total.hexdigest(),
                "bytes_in": sum(count.size_bytes for count in self._in),
                "bytes_out": sum(count.size_bytes for count in self._out),
                "streams": [
                    {
                        "kind": kind,
                        "in": self._in[stream].packets,
                        "out": self._out[stream].packets,
                        "exact": self._exact[stream],
                    }
                    for stream, kind in enumerate(self._kinds[:8])
                ],
            }
        )


def _mismatch(stream: int, kind: str, unit: str, read: int, written: int) -> ChunkerError:
    return ChunkerError(
        ErrorCode.INTEGRITY,
        f"{kind} stream {stream}: {read} {unit} were read, {written} are in the chunks"
        + (" (of the same number, but not the same ones)" if read == written else ""),
    )
