"""Whether a chunk's index says just what is in it: read back from the bytes as written."""

import struct
from itertools import islice
from operator import add, ge
from typing import NamedTuple

from m0_chunker.media.mp4.boxes import BoxError, children, need
from m0_chunker.media.mp4.index import read_places


class Written(NamedTuple):
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
    starts: list[int] = []
    lengths: list[int] = []
    for kind, trak in children(moov):
        if kind != b"trak":
            continue
        try:
            places, sizes, samples = read_places(need(trak, b"mdia", b"minf", b"stbl"))
        except struct.error as error:
            raise BoxError("a table is cut off") from error
        if any(map(ge, places, islice(places, 1, None))):
            raise BoxError("a track's samples are out of order")
        starts += places
        lengths += sizes
        written.append(Written(samples, sum(sizes)))
    _check_tiling(starts, lengths, len(head), len(head) + payload_bytes)
    return written


def _check_tiling(starts: list[int], lengths: list[int], first: int, end: int) -> None:
    # Over a byte lie as many runs as begin up to it, less those that end up to it: if both lists
    # are the same, that is one over each byte from the first to the end, and none elsewhere.
    if sorted([first, *map(add, starts, lengths)]) != sorted([*starts, end]):
        raise BoxError("its samples do not fill its media data")
