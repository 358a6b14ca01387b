"""Whether a chunk's index says just what is in it: read back from the bytes as written."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import add, ge

from m0_chunker.media.mp4.boxes import BoxError, children, need
from m0_chunker.media.mp4.index import read_places


@dataclass(frozen=True, slots=True)
class Written:
    """A track as a chunk's index has it.

    Attributes:
        samples: how many.
        size_bytes: of all of them.
    """

    samples: int
    size_bytes: int


def read_written(head: bytes, payload_bytes: int) -> list[Written]:
    """The tracks of a chunk.

    Args:
        head: everything before the media data.
        payload_bytes: length of the media data.

    Raises:
        BoxError: the tracks' samples do not fill the media data to the last byte, each in
            order and none over another.
    """
    moov = need(memoryview(head), b"moov")
    written: list[Written] = []
    spans: list[tuple[int, int]] = []
    for kind, trak in children(moov):
        if kind != b"trak":
            continue
        places, lengths, samples = read_places(need(trak, b"mdia", b"minf", b"stbl"))
        if any(map(ge, places, places[1:])):
            raise BoxError("a track's samples are out of order")
        spans.extend(zip(places, lengths, strict=True))
        written.append(Written(samples, sum(lengths)))
    spans.sort()
    _check_tiling(spans, len(head), len(head) + payload_bytes)
    return written


def _check_tiling(spans: Sequence[tuple[int, int]], start: int, end: int) -> None:
    starts, lengths = zip(*spans, strict=True) if spans else ((), ())
    if (start, *map(add, starts, lengths)) != (*starts, end):
        raise BoxError("its samples do not fill its media data")
