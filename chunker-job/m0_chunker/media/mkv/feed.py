"""A Matroska film's packets: its beginning from libav, the rest from its blocks.

libav's packets are the measure. As many of them as it takes to see each track at work are
held against what `blocks` and `packets` make of the same bytes; only if they are the same,
to the last byte and tick, does reading go on without libav. Where a block turns up later
that is not of the ordinary kind, libav takes over again: it reads what was read once more,
and goes on after it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NoReturn

from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.media.feed import CopyFeed, Packet
from m0_chunker.media.mkv.blocks import BlockReader, Blocks
from m0_chunker.media.mkv.ebml import OddError
from m0_chunker.media.mkv.packets import UNKNOWN, BlockPacket, Track, Translator, payload_of
from m0_chunker.media.normalise import Normalise, choose_normalise
from m0_chunker.media.source import Film

PICTURES, SOUNDS = 32, 8
"""Packets of a track that are looked at, at least; of the reference also its second key frame."""

UNSETTLED = 4
"""So many first packets of a track may have odd times."""

PATIENCE, PATIENCE_BYTES = 1000, 8 * 2**20
"""Where that needs more, the film is left to libav."""

_REORDERED = frozenset({"h264", "hevc"})
_MARKS = {"opus": (0, 0xFF), "ac3": (4, 0xC0), "eac3": (4, 0xF0)}
"""Sound whose packets say how long they are, where, and in which bits."""

CODECS = _REORDERED | {"vp8", "vp9", "av1", "aac", *_MARKS}
"""Those whose packets libav leaves as they are, and whose times it finds by these rules."""

Given = tuple[int, Packet]


class FirstPacket(BlockPacket):
    """A track's first packet, of which more is asked: what libav put beside it."""

    source: Any

    def has_sidedata(self, kind: str) -> bool:
        """As `av.Packet`."""
        return bool(self.source.has_sidedata(kind))

    def get_sidedata(self, kind: str) -> Any:
        """As `av.Packet`."""
        return self.source.get_sidedata(kind)

    def __bytes__(self) -> bytes:
        """As `av.Packet`."""
        return self.payload


class BlockFeed(CopyFeed):
    """The film's own packets, read without libav where that gives the same.

    Attributes:
        by_blocks: whether it does.
    """

    def __init__(self, film: Film) -> None:
        """Look at the film's beginning.

        Raises:
            ChunkerError: SOURCE_*.
        """
        super().__init__(film)
        self._libav = super().packets()
        self._ahead: list[Given] = []
        self._position = 0
        self._batches: Iterator[Sequence[Given]] = iter(())
        self.by_blocks = is_suitable(film) and self._look_ahead() and self._agree()

    def packets(self) -> Iterator[Given]:
        """See `PacketFeed`."""
        if self.by_blocks:
            return chain.from_iterable(self._by_blocks())
        return chain(self._ahead, self._libav)

    def normalise(self, number: int) -> Normalise | None:
        """See `PacketFeed`."""
        return payload_of if self.by_blocks else super().normalise(number)

    def _look_ahead(self) -> bool:
        """Have libav give packets until each track was seen at work."""
        left = [PICTURES if each.type == "video" else SOUNDS for each in self.templates]
        keys, size_bytes = 2, 0
        try:
            for number, packet in islice(self._libav, PATIENCE):
                self._ahead.append((number, packet))
                left[number] -= 1
                size_bytes += packet.size
                keys -= number == self.reference and packet.is_keyframe
                if size_bytes > PATIENCE_BYTES:
                    return False
                if keys <= 0 and max(left) <= 0:
                    return True
        except ChunkerError as error:  # it comes after the packets before it, as ever
            self._libav = _fail(error)
        return False

    def _agree(self) -> bool:
        """Whether the blocks say what libav has said; then reading can go on behind that."""
        file = self._film.file
        self._position = file.tell()  # libav, should it read on, believes to be there
        try:
            batches = BlockReader(file, file.size_bytes).batches()
            blocks = read_until(batches, max(packet.pos for _, packet in self._ahead))
            translator = Translator(learn(self._ahead, blocks, self.templates))
            packets = translator.packets(blocks)
            known = len(self._ahead)
            if not agree(packets, self._ahead):
                return False
        except OddError:
            return False
        finally:
            file.seek(self._position)
        rest = map(translator.packets, batches)
        self._batches = chain([convert(self._ahead), packets[known:]], rest)
        return True

    def _by_blocks(self) -> Iterator[Iterable[Given]]:
        given, last = -len(self._ahead), self._ahead[-1]
        self._ahead = []
        try:
            for packets in self._batches:
                if packets:
                    yield packets
                    given, last = given + len(packets), packets[-1]
        except OddError:
            yield self._by_libav(given, last)

    def _by_libav(self, given: int, last: Given) -> Iterator[Given]:
        """What comes after the first `given` packets that libav was not asked for yet.

        Args:
            given: how many.
            last: the last of them.

        Raises:
            ChunkerError: INTEGRITY: libav does not know that one. SOURCE_*.
        """
        self._film.file.seek(self._position)
        if given:
            again = next(islice(self._libav, given - 1, given), None)
            if again is None or not is_same(last, again):
                raise ChunkerError(ErrorCode.INTEGRITY, "the film is not what its blocks say it is")
        for number, packet in self._libav:
            yield number, BlockPacket.of(packet)


def is_suitable(film: Film) -> bool:
    """Whether a film may be such that its blocks do; only its packets show whether it is."""
    codecs = {each.codec_context.codec.canonical_name for each in film.streams}
    as_they_are = all(choose_normalise(each) is None for each in film.streams)
    return codecs <= CODECS and as_they_are and not (film.salvage or film.missing_bytes)


def read_until(batches: Iterable[Blocks], position: int) -> Blocks:
    """The blocks up to the one whose content is there, at least.

    Raises:
        OddError: there is none.
    """
    found = Blocks()
    for blocks in batches:
        found.extend(blocks)
        if found.begins[-1] >= position:
            return found
    raise OddError("libav has found more blocks")


def learn(given: Sequence[Given], blocks: Blocks, streams: Sequence[Any]) -> dict[int, Track]:
    """How libav's packets come from blocks, by the first byte of their track's number.

    Args:
        given: a film's first packets.
        blocks: its first blocks.
        streams: of the film.

    Raises:
        OddError: in no way that is known here.
    """
    places = {begin: at for at, begin in enumerate(blocks.begins)}
    tracks: dict[int, Track] = {}
    for number, stream in enumerate(streams):
        own = [packet for of, packet in given if of == number]
        at, name = places.get(own[0].pos), stream.codec_context.codec.canonical_name
        if at is None or blocks.tracks[at] in tracks:
            raise OddError("libav has found other blocks")
        is_video = stream.type == "video"
        depth = stream.codec_context.reorder_depth if is_video else 0
        if depth and name not in _REORDERED:
            raise OddError("its decoding times are found in another way")
        mark = _MARKS.get(name)
        tracks[blocks.tracks[at]] = Track(
            number,
            shift=blocks.times[at] - own[0].pts,
            duration=_usual_duration(own, places, blocks),
            latest=[UNKNOWN] * depth,
            mark=mark,
            marks=set() if mark is None else {bytes(each)[mark[0]] & mark[1] for each in own},
            ordered=is_video and not depth,
        )
    return tracks


def _usual_duration(packets: Sequence[Packet], places: dict[int, int], blocks: Blocks) -> int:
    """Of the last packet whose block doesn't say it, ticks."""
    plain = (each for each in reversed(packets) if places.get(each.pos) not in blocks.durations)
    return next((packet.duration or 0 for packet in plain), 0)


def agree(ours: Sequence[Given], given: Sequence[Given]) -> bool:
    """Whether packets made of blocks are libav's first ones, whose order may be another.

    It may be that a track's very first ones have other durations and decoding times: libav
    has not seen enough of the track then.
    """
    seen: Counter[int] = Counter()
    in_order = sorted(given, key=lambda each: each[1].pos)
    for mine, theirs in zip(ours, in_order, strict=False):
        seen[mine[0]] += 1
        if not is_same(mine, theirs, settled=seen[mine[0]] > UNSETTLED):
            return False
    return len(ours) >= len(given)


def is_same(ours: Given, given: Given, *, settled: bool = True) -> bool:
    """Whether a packet made of a block is libav's.

    Args:
        ours: with its stream's number.
        given: likewise.
        settled: whether durations and decoding times must be the same, too.
    """
    (number, mine), (other, packet) = ours, given
    return (
        number == other
        and mine.payload == bytes(packet)
        and mine.pts == packet.pts
        and bool(mine.is_keyframe) == packet.is_keyframe
        and (not settled or mine.dts in {packet.dts, UNKNOWN})
        and (not settled or mine.duration == (packet.duration or 0))
    )


def convert(given: Sequence[Given]) -> list[Given]:
    """Packets of libav as those that are made of blocks."""
    described: set[int] = set()
    packets: list[Given] = []
    for number, packet in given:
        if number in described:
            packets.append((number, BlockPacket.of(packet)))
        else:
            described.add(number)
            first = FirstPacket(*BlockPacket.of(packet))
            first.source = packet
            packets.append((number, first))
    return packets


def _fail(error: ChunkerError) -> Iterator[NoReturn]:
    raise error
    yield
