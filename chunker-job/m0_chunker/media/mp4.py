"""The few boxes of an MP4 file that the chunker handles itself.

After the muxer has written a chunk, this reads its index: to put it in front, so that a
player needs one request, and to find where each track's samples really are, so that the
certificate is computed from what was written.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})


@dataclass(frozen=True, slots=True)
class Track:
    """What the index says of one track.

    Attributes:
        samples: how many.
        size_bytes: of all samples.
        runs: (offset in the file, length) of stretches of consecutive samples, in order.
    """

    samples: int
    size_bytes: int
    runs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A finished file, as it is to be sent: `head`, then the spool from `body_offset` on.

    Attributes:
        head: everything before the media data, with the index in it.
        body_offset: where the media data box begins in the spool, bytes.
        body_bytes: its length.
        tracks: in the index's order, with offsets into the spool.
    """

    head: bytes
    body_offset: int
    body_bytes: int
    tracks: tuple[Track, ...]


def _boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start of content, end) of the boxes in `data[start:end]`."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        elif size == 0:
            size = end - start
        if size < header or start + size > end:
            raise ValueError(f"box {kind!r} at {start} has a bad size")
        yield bytes(kind), start + header, start + size
        start += size


def _find(data: bytearray, start: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    for kind, inner, stop in _boxes(data, start, end):
        if kind == wanted:
            yield inner, stop
        elif kind in _CONTAINERS:
            yield from _find(data, inner, stop, wanted)


def read_layout(spool: IO[bytes]) -> Layout:
    """Read a file that the muxer has just finished.

    Raises:
        ValueError: it is no complete MP4 file.
    """
    places = _top_level(spool)
    if not {b"ftyp", b"mdat", b"moov"} <= places.keys():
        raise ValueError(f"boxes found: {sorted(places)}")
    ftyp, moov = (_read(spool, *places[name]) for name in (b"ftyp", b"moov"))
    body_offset, body_bytes = places[b"mdat"]
    index = bytearray(moov)
    tracks = tuple(_track(index, *place) for place in _find(index, 0, len(index), b"trak"))
    _shift_offsets(index, len(ftyp) + len(index) - body_offset)
    return Layout(bytes(ftyp) + bytes(index), body_offset, body_bytes, tracks)


def _read(spool: IO[bytes], offset: int, length: int) -> bytes:
    spool.seek(offset)
    return spool.read(length)


def _top_level(spool: IO[bytes]) -> dict[bytes, tuple[int, int]]:
    """Type -> (offset, length) of the outermost boxes, headers included."""
    end = spool.seek(0, 2)
    places: dict[bytes, tuple[int, int]] = {}
    at = 0
    while at + 8 <= end:
        header = _read(spool, at, 16)
        size, kind = struct.unpack_from(">I4s", header)
        if size == 1:
            (size,) = struct.unpack_from(">Q", header, 8)
        if size < 8 or at + size > end:
            raise ValueError(f"box {kind!r} at {at} has a bad size")
        places[bytes(kind)] = (at, size)
        at += size
    return places


def _chunk_offsets(index: bytearray, start: int, end: int) -> Iterator[tuple[int, str, int]]:
    """(place of the table, struct letter, entries) of each chunk offset table."""
    for name, letter in ((b"stco", "I"), (b"co64", "Q")):
        for inner, _ in _find(index, start, end, name):
            (count,) = struct.unpack_from(">I", index, inner + 4)
            yield inner + 8, letter, count


def _shift_offsets(index: bytearray, shift: int) -> None:
    for place, letter, count in _chunk_offsets(index, 0, len(index)):
        shape = f">{count}{letter}"
        offsets = struct.unpack_from(shape, index, place)
        try:
            struct.pack_into(shape, index, place, *(offset + shift for offset in offsets))
        except struct.error as error:
            raise ValueError("the chunk is just at 4 GiB: choose another length") from error


def _track(index: bytearray, start: int, end: int) -> Track:
    sizes = _sample_sizes(index, *next(_find(index, start, end, b"stsz")))
    place, _ = next(_find(index, start, end, b"stsc"))
    (count,) = struct.unpack_from(">I", index, place + 4)
    steps = struct.unpack_from(f">{3 * count}I", index, place + 8)
    offsets = [
        offset
        for where, letter, entries in _chunk_offsets(index, start, end)
        for offset in struct.unpack_from(f">{entries}{letter}", index, where)
    ]
    runs, sample = [], 0
    for step in range(count):
        first, per_chunk = steps[3 * step], steps[3 * step + 1]
        after = steps[3 * step + 3] if step + 1 < count else len(offsets) + 1
        for chunk in range(first, after):
            runs.append((offsets[chunk - 1], sizes.total(sample, sample + per_chunk)))
            sample += per_chunk
    return Track(sizes.count, sizes.total(0, sizes.count), tuple(runs))


@dataclass(frozen=True, slots=True)
class _Sizes:
    count: int
    each: int
    table: tuple[int, ...]

    def total(self, start: int, end: int) -> int:
        return self.each * (end - start) if self.each else sum(self.table[start:end])


def _sample_sizes(index: bytearray, place: int, _end: int) -> _Sizes:
    each, count = struct.unpack_from(">II", index, place + 4)
    table = () if each else struct.unpack_from(f">{count}I", index, place + 12)
    return _Sizes(count, each, table)
