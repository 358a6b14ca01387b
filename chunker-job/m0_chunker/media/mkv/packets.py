"""From blocks to packets, as libav would have made them: numbers, times, durations.

All is done for many blocks at a time, in loops that are not Python's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappushpop
from itertools import compress, repeat
from operator import and_, itemgetter, lt, sub
from typing import Any, NamedTuple

from m0_chunker.media.mkv.blocks import Blocks
from m0_chunker.media.mkv.ebml import OddError

UNKNOWN = -(2**62)
"""A decoding time that can't be told, of the first pictures."""


class BlockPacket(NamedTuple):
    """What the splitter and the writer ask of a packet, under `av.Packet`'s names."""

    payload: bytes
    size: int
    pts: int
    dts: int
    duration: int
    is_keyframe: int

    @classmethod
    def of(cls, packet: Any) -> "BlockPacket":
        """One of libav's."""
        return cls(
            bytes(packet),
            packet.size,
            packet.pts,
            packet.dts,
            packet.duration or 0,
            packet.is_keyframe,
        )


payload_of = itemgetter(0)
"""A packet's payload: what goes into the chunk."""


@dataclass(slots=True)
class Track:
    """How packets of a stream come from its blocks.

    Attributes:
        number: position among the streams.
        shift: how much earlier than its block's time a packet is (an encoder's priming), ticks.
        duration: of a packet whose block doesn't say its own, ticks.
        latest: times of the last pictures, as many as may be shown after one that is decoded
            later; a heap: Matroska has no decoding times, and libav takes the earliest of
            these and the picture's own.
        mark: (place, mask) of the byte whose bits tell how long a packet is.
        marks: what those bits were where the duration was that above.
        ordered: pictures are shown in the order that they are decoded in.
    """

    number: int
    shift: int
    duration: int
    latest: list[int]
    mark: tuple[int, int] | None = None
    marks: set[int] = field(default_factory=set)
    ordered: bool = False


_make = partial(tuple.__new__, BlockPacket)


class Translator:
    """Makes packets of blocks."""

    def __init__(self, tracks: dict[int, Track]) -> None:
        """`tracks`: by the first byte of their number in the film."""
        self._tracks = tracks
        by_number = sorted(tracks.values(), key=lambda track: track.number)
        self._by_number = by_number
        self._numbers = {key: track.number for key, track in tracks.items()}
        self._shifts = [track.shift for track in by_number]
        self._durations = [track.duration for track in by_number]
        self._latest = [track.latest for track in by_number]
        self._last = [UNKNOWN] * len(by_number)

    def packets(self, blocks: Blocks) -> list[tuple[int, BlockPacket]]:
        """(position of its stream, packet) of each block whose stream is wanted.

        Raises:
            OddError: libav might make something else of these.
        """
        blocks = self._wanted(blocks)
        numbers = list(map(self._numbers.__getitem__, blocks.tracks))
        times, payloads = blocks.times, blocks.payloads
        if any(self._shifts):
            times = list(map(sub, times, map(self._shifts.__getitem__, numbers)))
        durations = list(map(self._durations.__getitem__, numbers))
        for at, duration in blocks.durations.items():
            durations[at] = duration or durations[at]
        if any(self._by_number[numbers[at]].mark for at in blocks.trimmed):
            raise OddError("a packet of sound is shorter than it looks")
        for track in self._by_number:
            if track.mark or track.ordered:
                chosen = list(map(track.number.__eq__, numbers))
                _check_marks(track, compress(payloads, chosen))
                self._check_order(track, list(compress(times, chosen)))
        dts = map(heappushpop, map(self._latest.__getitem__, numbers), times)
        keys = map(and_, blocks.flags, repeat(0x80))
        columns = zip(payloads, map(len, payloads), times, dts, durations, keys, strict=True)
        return list(zip(numbers, map(_make, columns), strict=True))

    def _wanted(self, blocks: Blocks) -> Blocks:
        if set(blocks.tracks) <= self._numbers.keys():
            return blocks
        chosen = list(map(self._numbers.__contains__, blocks.tracks))
        places = {at: to for to, at in enumerate(compress(range(len(chosen)), chosen))}
        return Blocks(
            list(compress(blocks.begins, chosen)),
            list(compress(blocks.tracks, chosen)),
            list(compress(blocks.times, chosen)),
            list(compress(blocks.flags, chosen)),
            {places[at]: each for at, each in blocks.durations.items() if at in places},
            [places[at] for at in blocks.trimmed if at in places],
            list(compress(blocks.payloads, chosen)),
        )

    def _check_order(self, track: Track, times: Sequence[int]) -> None:
        if not track.ordered or not times:
            return
        if times[0] < self._last[track.number] or any(map(lt, times[1:], times)):
            raise OddError("pictures are out of order where none were before")
        self._last[track.number] = times[-1]


def _check_marks(track: Track, payloads: Iterable[bytes]) -> None:
    """A packet may say in its first bytes that it lasts longer or shorter than the others."""
    if track.mark is None:
        return
    place, mask = track.mark
    try:
        found = set(map(itemgetter(place), payloads))
    except IndexError as error:
        raise OddError("a packet of sound is too short") from error
    if not {value & mask for value in found} <= track.marks:
        raise OddError("a packet of sound has another duration")
