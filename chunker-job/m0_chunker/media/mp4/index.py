"""The sample tables of a film: where each packet is, how long, and when; nothing is decoded.

A film of this kind (progressive MP4 or MOV, one sample table a track) can be cut without
touching its packets. Whatever is out of the ordinary is refused with `UnsuitableIndexError`: the
general path, which reads the packets, takes it then.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, chain, islice, repeat
from operator import add, ge, gt, sub

from m0_chunker.media.mp4.boxes import (
    BoxError,
    Readable,
    children,
    find,
    first_of_each,
    need,
    read_exactly,
)
from m0_chunker.media.mp4.boxes import top_level as read_top_level
from m0_chunker.media.mp4.track import REORDER, SampleRuns, Steps, TrackIndex

MAX_MOOV_BYTES = 128 * 2**20
"""An index of a day of film, finely interleaved, has half of that."""

MAX_PRIMING = Fraction(1, 5)
"""Sound hidden by an edit list at the start: an encoder's priming, not somebody's cut; s."""


class UnsuitableIndexError(Exception):
    """This film's index can't be cut by itself; the message says why."""


def read_index(file: Readable, size_bytes: int, track_ids: Sequence[int]) -> list[TrackIndex]:
    """The tables of the wanted tracks, in the wanted order.

    Args:
        file: the film.
        size_bytes: its length.
        track_ids: which tracks.

    Raises:
        UnsuitableIndexError: it must be cut in the general way.
    """
    try:
        places = read_top_level(file, size_bytes)
        if b"moov" not in places or b"mdat" not in places or b"moof" in places:
            raise UnsuitableIndexError("it has no single index")
        offset, length = places[b"moov"]
        if length > MAX_MOOV_BYTES:
            raise UnsuitableIndexError(f"its index has {length} bytes")
        moov = memoryview(read_exactly(file, offset, length))[8:]
        if find(moov, b"mvex") is not None:
            raise UnsuitableIndexError("it is fragmented")
        movie_scale = _timescale(need(moov, b"mvhd"))
        found = {}
        for kind, trak in children(moov):
            if kind == b"trak":
                track_id = _track_id(trak)
                if track_id in track_ids:
                    found[track_id] = _read_track(trak, track_id, movie_scale, size_bytes)
        return [found[track_id] for track_id in track_ids]
    except (BoxError, struct.error, IndexError, KeyError, OverflowError) as error:
        raise UnsuitableIndexError(f"its index is odd: {error}") from error


def is_quicktime(file: Readable, size_bytes: int) -> bool:
    """Whether descriptions of its tracks are QuickTime's rather than MP4's."""
    places = read_top_level(file, size_bytes)
    if b"ftyp" not in places:
        return True
    brands = read_exactly(file, places[b"ftyp"][0] + 8, min(places[b"ftyp"][1], 256) - 8)
    return b"qt  " in (brands[at : at + 4] for at in range(0, len(brands), 4))


def _numbers(kind: str, data: memoryview, start: int, count: int) -> "array[int]":
    """`count` big-endian numbers from `start`."""
    values = array(kind)
    data = data[start : start + count * values.itemsize]
    if len(data) != count * values.itemsize:
        raise BoxError("a table is cut off")
    values.frombytes(data)
    if sys.byteorder == "little":
        values.byteswap()
    return values


def _count(data: memoryview) -> int:
    return int(struct.unpack_from(">I", data, 4)[0])


def _timescale(header: memoryview) -> int:
    """Of `mvhd` or `mdhd`."""
    (scale,) = struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)
    if not scale:
        raise BoxError("a timescale of 0")
    return int(scale)


def _track_id(trak: memoryview) -> int:
    header = need(trak, b"tkhd")
    return int(struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0])


def _read_track(trak: memoryview, track_id: int, movie_scale: int, size_bytes: int) -> TrackIndex:
    timescale = _timescale(need(trak, b"mdia", b"mdhd"))
    table = _tables(need(trak, b"mdia", b"minf", b"stbl"))
    _check_data_is_here(need(trak, b"mdia", b"minf", b"dinf", b"dref"))
    sizes = _read_sizes(table[b"stsz"])
    if 0 in sizes:
        raise UnsuitableIndexError("it has samples without a byte")
    ends = array("Q", accumulate(sizes, initial=0))
    deltas = _read_steps(table[b"stts"], len(sizes), "I")
    steps = zip(deltas.firsts, deltas.firsts[1:], deltas.values, strict=False)
    delta_times = array("q", accumulate(((b - a) * v for a, b, v in steps), initial=0))
    composition = table.get(b"ctts")
    offsets = None
    if composition is not None and _count(composition):
        offsets = _read_steps(composition, len(sizes), "i")
    sync = table.get(b"stss")
    track = TrackIndex(
        track_id,
        timescale,
        trak,
        sizes,
        ends,
        _read_runs(table, ends, size_bytes),
        deltas,
        delta_times[:-1],
        offsets,
        None if sync is None else _read_sync(sync, len(sizes)),
        0,
        0,
    )
    return _edited(track, movie_scale)


def _tables(content: memoryview) -> dict[bytes, memoryview]:
    """The boxes of a `stbl`.

    Raises:
        BoxError: one is missing that says where samples are.
    """
    tables = first_of_each(content)
    placed = b"stco" in tables or b"co64" in tables
    if not (placed and b"stsz" in tables and b"stsc" in tables):
        raise BoxError("it is not said where the samples are")
    return tables


def _check_data_is_here(references: memoryview) -> None:
    for _, content in children(references[8:]):
        if not content[3] & 1:
            raise UnsuitableIndexError("its media data is in another file")


def _read_sizes(data: memoryview) -> "array[int]":
    each, count = struct.unpack_from(">II", data, 4)
    if each or not count:
        raise UnsuitableIndexError("its samples have no sizes of their own")
    return _numbers("I", data, 12, count)


def _read_steps(data: memoryview, samples: int, kind: str) -> Steps:
    """A `stts` or `ctts`; negative offsets are taken as such, whatever the version says."""
    count = _count(data)
    pairs = _numbers("I", data, 8, 2 * count)
    firsts = array("Q", accumulate(pairs[0::2], initial=0))
    values = pairs[1::2]
    if kind == "i":
        values = array("i", values.tobytes())
    if firsts[-1] != samples:
        raise BoxError(f"a table speaks of {firsts[-1]} samples, another of {samples}")
    return Steps(firsts, values)


def _read_sync(data: memoryview, samples: int) -> "array[int]":
    numbers = _numbers("I", data, 8, _count(data))
    sync = array("I", (number - 1 for number in numbers))
    if not sync or sync[-1] >= samples or any(map(ge, sync, sync[1:])):
        raise BoxError("its key frames are out of order")
    return sync


def _read_runs(
    table: Mapping[bytes, memoryview], ends: "array[int]", size_bytes: int
) -> SampleRuns:
    """Where the samples are.

    Args:
        table: the boxes of a `stbl`.
        ends: bytes of all samples before each, and of all.
        size_bytes: of the film.
    """
    small = table.get(b"stco")
    wide = small if small is not None else table[b"co64"]
    offsets = _numbers("Q" if small is None else "I", wide, 8, _count(wide))
    data = table[b"stsc"]
    entries = _numbers("I", data, 8, 3 * _count(data))
    steps = _run_steps(entries, len(offsets))
    counts = array("I", _spread(entries[1::3], steps))
    firsts = array("Q", accumulate(counts, initial=0))
    if firsts[-1] != len(ends) - 1 or 0 in counts:
        raise BoxError(f"its runs have {firsts[-1]} samples of {len(ends) - 1}")
    bounds = list(map(ends.__getitem__, firsts))
    lengths = array("Q", map(sub, islice(bounds, 1, None), bounds))
    if any(map(gt, map(add, offsets, lengths), islice(offsets, 1, None))):
        raise UnsuitableIndexError("its samples are out of order or over each other")
    if offsets[-1] + lengths[-1] > size_bytes:
        raise UnsuitableIndexError("it is cut off")
    described = entries[2::3]
    one = described.count(1) == len(described)
    descriptions = None if one else array("I", _spread(described, steps))
    return SampleRuns(firsts, counts, offsets, lengths, descriptions)


def _run_steps(entries: Sequence[int], runs: int) -> Sequence[int]:
    """How many runs each of a `stsc`'s entries stands for."""
    starts = [*entries[0::3], runs + 1]
    steps = list(map(sub, islice(starts, 1, None), starts))
    if not runs or starts[0] != 1 or min(steps) < 1:
        raise BoxError("its runs are out of order")
    return steps


def _spread(values: Sequence[int], steps: Sequence[int]) -> Iterable[int]:
    """Each value as often as its step says."""
    if steps.count(1) == len(steps):
        return values
    return chain.from_iterable(map(repeat, values, steps))


def read_places(content: memoryview) -> tuple[Sequence[int], list[int], int]:
    """Where the media data of a track is, from its `stbl`; for a chunk, whose tables are short.

    Returns:
        The offsets of its runs, their lengths in bytes, and the number of samples.

    Raises:
        BoxError: that can't be said.
        struct.error: a table is cut off.
    """
    table = _tables(content)
    data = table[b"stsz"]
    each, samples = struct.unpack_from(">II", data, 4)
    small, runs = table.get(b"stco"), table[b"stsc"]
    wide = small if small is not None else table[b"co64"]
    # Tuples: what is looked at again and again is made into numbers once.
    places = struct.unpack_from(f">{_count(wide)}{'Q' if small is None else 'I'}", wide, 8)
    entries = struct.unpack_from(f">{3 * _count(runs)}I", runs, 8)
    counts = list(_spread(entries[1::3], _run_steps(entries, len(places))))
    if sum(counts) != samples or 0 in counts:
        raise BoxError(f"its runs have {sum(counts)} samples of {samples}")
    if each:
        return places, [count * each for count in counts], samples
    sizes = struct.unpack_from(f">{samples}I", data, 12)
    if len(counts) == samples:  # one each
        return places, list(sizes), samples
    ends = list(accumulate(sizes, initial=0))
    bounds = list(map(ends.__getitem__, accumulate(counts, initial=0)))
    return places, list(map(sub, islice(bounds, 1, None), bounds)), samples


def _edited(track: TrackIndex, movie_scale: int) -> TrackIndex:
    """Apply the edit list: a delay at the start, and what it hides there."""
    edits = _read_edits(find(track.trak, b"edts", b"elst"))
    shift, begin, played = 0, 0, None
    if edits:
        delays = [duration for duration, media_time in edits[:-1] if media_time == -1]
        duration, begin = edits[-1]
        if len(delays) != len(edits) - 1 or begin < 0:
            raise UnsuitableIndexError("its edit list is not simple")
        # In whole ticks, as libav has it: the times that players show.
        shift = round(Fraction(sum(delays) * track.timescale, movie_scale)) - begin
        played = Fraction(duration * track.timescale, movie_scale) if duration else None
    hidden = begin - min(track.shown(0, min(REORDER, track.samples)))
    allowed = 0 if track.sync is not None else MAX_PRIMING * track.timescale
    longest_tick = Fraction(track.timescale, movie_scale) + 1
    tail = Fraction(0)
    if played is not None:
        tail = track.longest(0, track.samples) - begin - played
    last = track.deltas.at(track.samples - 1)
    if hidden > allowed or tail > max(longest_tick, Fraction(last)):
        raise UnsuitableIndexError("its edit list hides a part of it")
    return replace(track, shift=shift, hidden=max(hidden, 0))


def _read_edits(data: memoryview | None) -> list[tuple[int, int]]:
    """(duration in the movie's ticks, media time) of each edit."""
    if data is None:
        return []
    shape = ">QqI" if data[0] == 1 else ">IiI"
    size = struct.calcsize(shape)
    entries = [struct.unpack_from(shape, data, 8 + size * at) for at in range(_count(data))]
    if any(rate != 0x10000 for _, media_time, rate in entries if media_time != -1):
        raise UnsuitableIndexError("its edit list changes the speed")
    return [(duration, media_time) for duration, media_time, _ in entries]
