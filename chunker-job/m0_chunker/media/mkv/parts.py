"""What a reader of blocks finds: blocks in columns, and what is said of tracks and in groups."""

from dataclasses import dataclass, field
from typing import NamedTuple

from m0_chunker.media.direct import OddError
from m0_chunker.media.mkv import ebml
from m0_chunker.media.mkv.ebml import Header, children, read_number

KEY = 0x80
"""The flag of a key frame."""

MAX_TIME = 2**48

_UNLACED = bytes(flags for flags in range(256) if not flags & 0x06)
_MAX_NUMBER = 0x7F
_MEDIA = frozenset({1, 2, 17})
"""Pictures, sound, text."""

_SILENT = frozenset({ebml.PRIORITY, ebml.VOID, ebml.CRC})
"""What a group may hold that libav's packets do not show."""


@dataclass(slots=True)
class Blocks:
    """Some consecutive blocks.

    Attributes:
        places: where each one's content begins: some numbers, and what is to be added to each.
        tracks: the first byte of each one's track number.
        times: in the segment's ticks.
        flags: see `KEY`.
        durations: of those that say it, by their place among these, ticks.
        trimmed: places of those that are shorter than they look, and don't say how long.
        payloads: what they hold.
    """

    places: list[tuple[int, list[int]]] = field(default_factory=list)
    tracks: bytearray = field(default_factory=bytearray)
    times: list[int] = field(default_factory=list)
    flags: bytearray = field(default_factory=bytearray)
    durations: dict[int, int] = field(default_factory=dict)
    trimmed: list[int] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)

    @property
    def begins(self) -> list[int]:
        """Where each one's content is in the film; only of the first few it is ever asked."""
        return [base + begin for base, begins in self.places for begin in begins]

    def extend(self, others: "Blocks") -> None:
        """Take those in that come after these."""
        known = len(self.payloads)
        self.durations |= {known + at: length for at, length in others.durations.items()}
        self.trimmed += [known + at for at in others.trimmed]
        self.places += others.places
        self.tracks += others.tracks
        self.times += others.times
        self.flags += others.flags
        self.payloads += others.payloads

    def check(self, tracks: set[int]) -> None:
        """Whether all are of the usual kind.

        Args:
            tracks: first bytes of the numbers of the film's tracks.

        Raises:
            OddError: one is not.
        """
        if self.flags.translate(None, _UNLACED):
            raise OddError("several packets share a block")
        if self.tracks.translate(None, bytes(tracks)):
            raise OddError("a block of no track")
        if min(self.times) < 0:
            raise OddError("a block's time is before zero")


class Group(NamedTuple):
    """A block with what is said of it around it.

    Attributes:
        block: its header.
        is_key: it needs no other.
        duration: ticks; None: it isn't said.
        trimmed: something is to be left out of it.
    """

    block: Header
    is_key: bool
    duration: int | None
    trimmed: bool


def read_group(data: bytes, at: int, after: int) -> Group:
    """The group whose content is there.

    Raises:
        OddError: it holds something else than most do.
    """
    found: dict[int, Header] = {}
    for header in children(data, at, after):
        if header.kind in _SILENT:
            continue
        if header.kind in found and header.kind != ebml.REFERENCE:
            raise OddError("a group says something twice")
        found[header.kind] = header
    block, said = found.pop(ebml.BLOCK, None), found.pop(ebml.DURATION, None)
    is_key = found.pop(ebml.REFERENCE, None) is None
    trimmed = found.pop(ebml.DISCARD_PADDING, None) is not None
    if block is None or found:
        raise OddError("a group has something of its own")
    duration = None if said is None else min(_number(data, said), MAX_TIME)
    return Group(block, is_key, duration, trimmed)


def read_tracks(data: bytes, at: int, after: int) -> set[int]:
    """First bytes of the numbers of the tracks that are said there, as far as they are usual.

    Raises:
        OddError: an element is longer than what it is in.
    """
    tracks = set()
    for entry in children(data, at, after):
        if entry.kind != ebml.TRACK_ENTRY:
            continue
        inner = children(data, entry.begin, entry.begin + (entry.size or 0))
        said = {
            each.kind: _number(data, each)
            for each in inner
            if each.kind in {ebml.TRACK_NUMBER, ebml.TRACK_TYPE}
        }
        number = said.get(ebml.TRACK_NUMBER, 0)
        if 0 < number < _MAX_NUMBER and said.get(ebml.TRACK_TYPE) in _MEDIA:
            tracks.add(0x80 | number)
    return tracks


def _number(data: bytes, header: Header) -> int:
    return read_number(data[header.begin : header.begin + (header.size or 0)])
