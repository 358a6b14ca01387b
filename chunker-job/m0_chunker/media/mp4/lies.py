"""What an MP4's index says that would harm whoever believes it: looked at before libav is.

libav allocates for each sample, track and edit before it can be asked anything, opens what
it can of an index that makes no sense, and forgets the rest without a word. Only counts are
compared here, none is followed; boxes are taken where libav takes them, at any depth.
"""

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from m0_contract.errors import ErrorCode, Stage

from m0_chunker.errors import ChunkerError

MAX_TRACKS = 1000

MAX_SAMPLES = 7_000_000
"""Of all tracks. libav takes 72 bytes for each, and opening may take `bounds.PROBE_BYTES`;
a day of film at 30 pictures a second with AAC has less."""

MAX_EDITS = 1000
"""Of a track: each plays something again."""

MAX_BOXES = 200_000
"""That are looked into; a thousand tracks have a tenth of it."""

MAX_DEPTH = 12
"""Of boxes in each other; libav looks into 10."""

_CONTAINERS = frozenset(b"moov trak mdia minf stbl edts dinf udta mvex".split())

_ENTRY_BYTES = {b"stts": 8, b"ctts": 8, b"stss": 4, b"stsc": 12, b"stco": 4, b"co64": 8}
"""Of tables that have their number of entries after version and flags."""

_SOUND_PACKET = 1024
"""Samples of raw sound that libav makes one packet of."""


@dataclass
class _Track:
    """What counts of a track.

    Attributes:
        kind: `vide`, `soun`, or other.
        places: where its media data is when not here, raw.
        sides: (width, height) of its pictures, in pixels.
        uniform: bytes of each sample, where all have the same.
        samples: how many its `stsz` speaks of.
        runs: how many runs of samples there are.
        longest_run: of those, in samples.
        is_raw: each sample lasts a tick: sound that libav packs by the thousand.
        edits: how many.
    """

    kind: bytes = b""
    places: list[bytes] = field(default_factory=list)
    sides: list[tuple[int, int]] = field(default_factory=list)
    uniform: int = 0
    samples: int = 0
    runs: int = 0
    longest_run: int = 0
    is_raw: bool = False
    edits: int = 0

    @property
    def packets(self) -> int:
        """How many libav will make room for."""
        if self.kind == b"soun" and self.is_raw:
            return self.runs * max(1, -(-self.longest_run // _SOUND_PACKET))
        return self.samples


def refuse_lies(
    moov: memoryview, size_bytes: int, name: str, max_pixels: int, *, salvage: bool = False
) -> None:
    """Refuse an index whose numbers are beyond what it or the file can hold.

    Args:
        moov: the content of the box.
        size_bytes: of the file.
        name: of the film, for messages.
        max_pixels: in a picture.
        salvage: samples may lie beyond the file's end.

    Raises:
        ChunkerError: LIMIT_EXCEEDED, UNSUPPORTED_MEDIA, SOURCE_CORRUPT.
    """
    tracks: list[_Track] = []
    for count, (kind, content) in enumerate(_walk(moov, 0)):
        if count >= MAX_BOXES:
            raise _too_much(f"{name} has an index of more than {MAX_BOXES} boxes")
        if kind == b"trak":
            tracks.append(_Track())
            if len(tracks) > MAX_TRACKS:
                raise _too_much(f"{name} has more than {MAX_TRACKS} tracks")
        elif tracks:
            try:
                _note(tracks[-1], kind, content)
            except struct.error:
                continue  # too short to say anything
            except _TooShortError as error:
                raise _corrupt(f"{name} has a broken index: {error}") from error
    for number, track in enumerate(tracks):
        _judge(track, f"track {number} of {name}", size_bytes, max_pixels, salvage=salvage)
    if sum(track.packets for track in tracks) > MAX_SAMPLES:
        raise _too_much(f"{name} has more than {MAX_SAMPLES} samples")


def _walk(data: memoryview, depth: int) -> Iterator[tuple[bytes, memoryview]]:
    """All boxes, the outer before the inner, cut where what they are in ends: as libav does."""
    at, end = 0, len(data)
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1 and at + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            header = 16
        elif size == 0:
            size = end - at
        if size < header:
            return
        content = data[at + header : min(at + size, end)]
        yield bytes(kind), content
        if kind in _CONTAINERS and depth < MAX_DEPTH:
            yield from _walk(content, depth + 1)
        at += size


def _note(track: _Track, kind: bytes, content: memoryview) -> None:
    """Take a box in; of several of a kind, the worst counts."""
    if kind == b"hdlr" and bytes(content[8:12]) in {b"vide", b"soun"}:
        track.kind = bytes(content[8:12])
    elif kind == b"dref":
        track.places += [
            bytes(c[4:]).strip(b"\0") for _, c in _walk(content[8:], 0) if not _is_here(c)
        ]
    elif kind == b"stsd":
        track.sides += [
            struct.unpack_from(">HH", entry, 24)
            for _, entry in _walk(content[8:], 0)
            if len(entry) > 28
        ]
    elif kind in {b"stsz", b"stz2"}:
        _note_sizes(track, kind, content)
    elif kind == b"elst":
        track.edits = max(track.edits, *struct.unpack_from(">I", content, 4))
    elif kind in _ENTRY_BYTES:
        _note_table(track, kind, content)


def _is_here(reference: memoryview) -> bool:
    """Whether an entry of `dref` means this very file."""
    return len(reference) < 4 or bool(reference[3] & 1)


def _note_sizes(track: _Track, kind: bytes, content: memoryview) -> None:
    each, count = struct.unpack_from(">II", content, 4)
    bits = 32
    if kind == b"stz2":
        each, bits = 0, each & 0xFF
        if not bits:
            raise _TooShortError("sizes of no bits")
    if not each and count * bits > (len(content) - 12) * 8:
        raise _TooShortError(f"{count} sizes have no room in {len(content)} bytes")
    track.uniform, track.samples = each, max(track.samples, count)


def _note_table(track: _Track, kind: bytes, content: memoryview) -> None:
    (count,) = struct.unpack_from(">I", content, 4)
    if count * _ENTRY_BYTES[kind] > len(content) - 8:
        raise _TooShortError(
            f"{count} entries of {kind.decode()} have no room in {len(content)} bytes"
        )
    if kind in {b"stco", b"co64"}:
        track.runs = max(track.runs, count)
    elif kind == b"stsc" and count:
        track.longest_run = max(track.longest_run, _longest_run(content, count))
    elif kind == b"stts":
        track.is_raw = count == 1 and struct.unpack_from(">I", content, 12) == (1,)


def _longest_run(content: memoryview, count: int) -> int:
    """Of a `stsc`; it may have millions of entries."""
    numbers = array("I", content[8 : 8 + 12 * count].tobytes())
    if sys.byteorder == "little":
        numbers.byteswap()
    return max(numbers[1::3])


def _judge(track: _Track, which: str, size_bytes: int, max_pixels: int, *, salvage: bool) -> None:
    is_media = bool(track.kind)
    places = [place for place in track.places if place]
    if places and is_media:
        raise ChunkerError(
            ErrorCode.UNSUPPORTED_MEDIA,
            f"the media of {which} lies in another file: save the film as one file of its own",
        )
    for width, height in track.sides:
        if track.kind == b"vide" and width * height > max_pixels:
            raise _too_much(
                f"{which} has pictures of {width} x {height} pixels; "
                f"at most {max_pixels} pixels are taken"
            )
    if track.edits > MAX_EDITS:
        raise _too_much(f"{which} has {track.edits} edits; at most {MAX_EDITS} are taken")
    if track.uniform * track.samples > size_bytes and not salvage:
        missing = track.uniform * track.samples - size_bytes
        raise _corrupt(f"{which} is cut off: at least {missing} bytes are missing")


class _TooShortError(Exception):
    """A table says that it has more than it has room for."""


def _too_much(text: str) -> ChunkerError:
    return ChunkerError(ErrorCode.LIMIT_EXCEEDED, text)


def _corrupt(text: str) -> ChunkerError:
    return ChunkerError(ErrorCode.SOURCE_CORRUPT, text, stage=Stage.PROBE)
