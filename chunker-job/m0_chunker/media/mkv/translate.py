"""From blocks to packets, as libav would have made them: numbers, times, durations."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappushpop
from itertools import compress, repeat
from operator import itemgetter, lt, sub

from m0_chunker.media.direct import UNKNOWN, OddError
from m0_chunker.media.mkv.keys import IsKey
from m0_chunker.media.mkv.parts import KEY, Blocks
from m0_chunker.media.packets import Batch, Packets


@dataclass(slots=True)
class Track:
    """How packets of a stream come from its blocks.

    Attributes:
        shift: how much earlier than its block's time a packet is (an encoder's priming), ticks.
        duration: of a packet whose block doesn't say its own, ticks.
        latest: the latest times so far, as many as there may be pictures that are decoded
            before one that is shown earlier; a heap. Matroska has no decoding times, and
            libav takes the earliest of these and the picture's own.
        mark: (place, mask) of the byte whose bits tell how long a packet is.
        marks: what those bits may be.
        is_key: asks a picture whether it is a key frame; None: the block is believed.
        ordered: pictures are shown in the order that they are decoded in.
        last: when the last one is shown, if so.
    """

    shift: int
    duration: int
    latest: list[int]
    mark: tuple[int, int] | None = None
    marks: set[int] = field(default_factory=set)
    is_key: IsKey | None = None
    ordered: bool = False
    last: int = UNKNOWN


_NOBODY = 255
"""The number of streams that are not wanted."""

_KEYS = bytes(int(flags & KEY > 0) for flags in range(256))


class Translator:
    """Makes packets of blocks."""

    def __init__(self, numbers: dict[int, int], tracks: Sequence[Track]) -> None:
        """Args:
        numbers: position among the wanted streams, by the first byte of a track's number.
        tracks: of the wanted streams.
        """
        self._tracks = tracks
        # Tables for `bytes.translate`, the quickest loop that there is.
        self._numbers = bytes(numbers.get(first, _NOBODY) for first in range(256))
        self._chosen = [bytes(map(number.__eq__, self._numbers)) for number in range(len(tracks))]

    def batch(self, blocks: Blocks) -> Batch:
        """The packets of those blocks whose streams are wanted.

        Raises:
            OddError: libav might make something else of these.
        """
        order: Sequence[int] = blocks.tracks.translate(self._numbers)
        sizes = list(map(len, blocks.payloads))
        streams = [self._packets(number, blocks, sizes) for number in range(len(self._tracks))]
        if _NOBODY in order:
            wanted = list(map(_NOBODY.__ne__, order))
            order, sizes = list(compress(order, wanted)), list(compress(sizes, wanted))
        return Batch(order, sizes, streams)

    def _packets(self, number: int, blocks: Blocks, sizes: list[int]) -> Packets:
        track, chosen = self._tracks[number], blocks.tracks.translate(self._chosen[number])
        payloads = list(compress(blocks.payloads, chosen))
        pts = list(compress(blocks.times, chosen))
        if track.shift:
            pts = list(map(sub, pts, repeat(track.shift)))
        durations = [track.duration] * len(pts)
        if blocks.durations:
            said = map(blocks.durations.get, compress(range(len(chosen)), chosen))
            durations = [own or track.duration for own in said]
        if track.mark:
            if any(chosen[at] for at in blocks.trimmed):
                raise OddError("a packet of sound is shorter than it looks")
            _check_marks(track, track.mark, payloads)
        if track.ordered:
            _check_order(track, pts)
        keys = list(compress(blocks.flags.translate(_KEYS), chosen))
        if track.is_key and not all(map(track.is_key, compress(payloads, keys))):
            raise OddError("a key frame is none")
        return Packets(
            payloads,
            list(compress(sizes, chosen)),
            pts,
            list(map(partial(heappushpop, track.latest), pts)) if track.latest else pts[:],
            durations,
            keys,
        )


def _check_marks(track: Track, mark: tuple[int, int], payloads: Sequence[bytes]) -> None:
    """A packet may say in its first bytes that it is longer or shorter than the others."""
    place, mask = mark
    try:
        found = set(map(itemgetter(place), payloads))
    except IndexError as error:
        raise OddError("a packet of sound is too short") from error
    if not {value & mask for value in found} <= track.marks:
        raise OddError("a packet of sound has another duration")


def _check_order(track: Track, pts: Sequence[int]) -> None:
    """Libav changes its mind about decoding times when pictures turn out to be reordered."""
    if pts and (pts[0] < track.last or any(map(lt, pts[1:], pts))):
        raise OddError("pictures are out of order where none were before")
    track.last = pts[-1] if pts else track.last
