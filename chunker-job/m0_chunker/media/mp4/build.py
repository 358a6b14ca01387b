"""The head of a chunk: everything that comes before its media data."""

import struct
from array import array
from collections.abc import Sequence
from itertools import compress, count, islice, repeat
from math import ceil
from operator import add, ne, or_
from typing import NamedTuple

from m0_chunker.media.mp4.boxes import box, full_box, table
from m0_chunker.media.mp4.runs import Runs, big_endian
from m0_chunker.media.mp4.template import TrackTemplate, build_edits, build_trak

MOVIE_SCALE = 90_000
"""Ticks a second of edit lists and durations: 11 µs of rounding at most."""

_FILE_TYPE = box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")
_MOVIE, _NEXT = struct.Struct(">QQIQ"), struct.Struct(">I")
_ORDINARY = (
    struct.pack(">IH10x", 0x10000, 0x100)  # speed and volume
    + struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)  # neither turned nor moved
    + bytes(24)
)


class ChunkTrack(NamedTuple):
    """A track of a chunk.

    Attributes:
        template: what is said of it.
        timescale: ticks a second.
        sizes: of its samples, bytes; or (size, count) of equal ones.
        deltas: the decoding time steps, ticks.
        duration: their sum.
        offsets: from decoding to presentation, ticks, or None where all are 0.
        sync: numbers of the key frames from 0, or None where all are.
        run_counts: samples in each run of consecutive ones.
        run_places: where each run is, from the start of the media data.
        run_descriptions: which description each run uses, from 1; None: the first.
        begin: where the chunk's zero is, ticks after its first sample's decoding time.
        hidden: how much at the media's start has nothing to be shown or heard, ticks.
        span: seconds from the chunk's zero to the track's end.
    """

    template: TrackTemplate
    timescale: int
    sizes: "array[int] | tuple[int, int]"
    deltas: Runs
    duration: int
    offsets: Runs | None
    sync: "array[int] | None"
    run_counts: Sequence[int]
    run_places: Sequence[int]
    run_descriptions: Sequence[int] | None
    begin: float
    hidden: int
    span: float


def build_head(tracks: Sequence[ChunkTrack], payload_bytes: int) -> bytes:
    """`ftyp`, `moov` and the header of `mdat`: the payload comes right after it."""
    if payload_bytes + 8 < 2**32:
        data_header = struct.pack(">I4s", payload_bytes + 8, b"mdat")
    else:
        data_header = struct.pack(">I4sQ", 1, b"mdat", payload_bytes + 16)
    # Offsets count from the file's start: whether they need 64 bits depends on the index's
    # own size, which is sure to be below this.
    wide = payload_bytes + 2**28 >= 2**32
    traks = [_build_trak(track, number, wide=wide) for number, track in enumerate(tracks, 1)]
    duration = max(_ticks(track.span) for track in tracks)
    header = full_box(
        b"mvhd",
        1,
        0,
        _MOVIE.pack(0, 0, MOVIE_SCALE, duration),
        _ORDINARY,
        _NEXT.pack(len(tracks) + 1),
    )
    length = 8 + len(header) + sum(map(len, traks))
    base = len(_FILE_TYPE) + length + len(data_header)
    for track, trak in zip(tracks, traks, strict=True):
        _put_places(trak, track, base, wide=wide)
    return _FILE_TYPE + box(b"moov", header, *traks) + data_header


def _ticks(seconds: float) -> int:
    return max(ceil(seconds * MOVIE_SCALE), 1)


def _build_trak(track: ChunkTrack, number: int, *, wide: bool) -> bytearray:
    """A `trak`, but for the places of its runs."""
    runs = len(track.run_places)
    places = table(b"co64" if wide else b"stco", runs, bytes(runs * (8 if wide else 4)))
    edits = build_edits(track.begin, track.hidden, track.span, track.timescale, MOVIE_SCALE)
    return bytearray(
        build_trak(
            track.template,
            number,
            timescale=track.timescale,
            media_ticks=track.duration,
            edits=edits,
            duration=_ticks(track.span),
            tables=_build_tables(track) + places,
        )
    )


def _put_places(trak: bytearray, track: ChunkTrack, base: int, *, wide: bool) -> None:
    """Where the runs are, now that the length of all that comes before is known.

    The table is the last thing in a `trak` but for the user data.
    """
    places = map(add, track.run_places, repeat(base))
    offsets = big_endian(array("Q" if wide else "I", places))
    end = len(trak) - len(track.template.user_data)
    trak[end - len(offsets) : end] = offsets


def _build_tables(track: ChunkTrack) -> bytes:
    """The `stbl`'s boxes but for `stsd` and the offsets."""
    parts = [track.deltas.to_box(b"stts")]
    if track.offsets is not None:
        parts.append(track.offsets.to_box(b"ctts"))
    if track.sync is not None:
        numbers = array("I", map(add, track.sync, repeat(1)))
        parts.append(table(b"stss", len(numbers), big_endian(numbers)))
    parts.append(_runs(track.run_counts, track.run_descriptions))
    if isinstance(track.sizes, tuple):
        parts.append(full_box(b"stsz", 0, 0, struct.pack(">II", *track.sizes)))
    else:
        own = struct.pack(">II", 0, len(track.sizes))
        parts.append(full_box(b"stsz", 0, 0, own, big_endian(track.sizes)))
    return b"".join(parts)


def _runs(counts: Sequence[int], descriptions: Sequence[int] | None) -> bytes:
    """The `stsc`: only where a run differs from the one before is an entry."""
    changes = map(ne, islice(counts, 1, None), counts)
    if descriptions:
        changes = map(or_, changes, map(ne, islice(descriptions, 1, None), descriptions))
    starts = [0, *compress(count(1), changes)]
    entries = [1] * (3 * len(starts))
    entries[0::3] = map(add, starts, repeat(1))
    entries[1::3] = map(counts.__getitem__, starts)
    if descriptions:
        entries[2::3] = map(descriptions.__getitem__, starts)
    return table(b"stsc", len(starts), struct.pack(f">{len(entries)}I", *entries))
