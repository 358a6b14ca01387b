"""A Matroska film's packets: its beginning from libav, the rest from its blocks.

libav's packets are the measure. As many of them as it takes to see each track at work are
held against what `blocks` and `packets` make of the same bytes; only if they are the same,
to the last byte and tick, does reading go on without libav. Where a block turns up later
that is not of the ordinary kind, libav takes over again: it reads what was read once more,
and goes on after it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NoReturn

from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.media.feed import CopyFeed
from m0_chunker.media.mkv.blocks import BlockReader
from m0_chunker.media.mkv.ebml import OddError
from m0_chunker.media.mkv.keys import key_check
from m0_chunker.media.mkv.parts import Blocks
from m0_chunker.media.mkv.translate import UNKNOWN, Track, Translator
from m0_chunker.media.normalise import choose_normalise
from m0_chunker.media.packets import Batch, Numbered, Packet, Packets, batched, make_batch
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

CODECS = _REORDERED | {"vp9", "av1", "aac", *_MARKS}
"""Those whose packets libav leaves as they are, and whose times it finds by these rules."""


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
        self._ahead: list[Numbered] = []
        self._position = 0
        self._rest: Iterator[Batch] = iter(())
        self.by_blocks = is_suitable(film) and self._look_ahead() and self._agree()

    def packets(self) -> Iterator[Numbered]:
        """Libav's."""
        return chain(self._ahead, self._libav)

    def batches(self) -> Iterator[Batch]:
        """See `PacketFeed`."""
        return self._by_blocks() if self.by_blocks else super().batches()

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
        file, ahead = self._film.file, self._ahead
        self._position = file.tell()  # libav, should it read on, believes to be there
        try:
            batches = BlockReader(file, file.size_bytes).batches()
            blocks = read_until(batches, max(packet.pos for _, packet in ahead))
            translator = learn(ahead, blocks, self.templates)
            first = translator.batch(blocks)
        except OddError:
            return False
        finally:
            file.seek(self._position)
        for number, packets in enumerate(first.streams):
            if not agree(packets, [each for of, each in ahead if of == number], UNSETTLED):
                return False
        self._rest = chain([first.without(len(ahead))], map(translator.batch, batches))
        # Between those that libav has given is none that it has not.
        return sorted(first.order[: len(ahead)]) == sorted(number for number, _ in ahead)

    def _by_blocks(self) -> Iterator[Batch]:
        given, last = 0, make_batch(self._ahead, self.normalise())
        self._ahead = []
        yield last
        try:
            for batch in self._rest:
                if batch:
                    yield batch
                    given += len(batch)
                    last = batch
        except OddError:
            yield from self._by_libav(given, last)

    def _by_libav(self, given: int, last: Batch) -> Iterator[Batch]:
        """What comes after the first `given` packets that libav was not asked for yet.

        Args:
            given: how many.
            last: what ends with the last of them.

        Raises:
            ChunkerError: INTEGRITY: libav does not know that one. SOURCE_*.
        """
        self._film.file.seek(self._position)
        if given:
            again = next(islice(self._libav, given - 1, given), None)
            number = last.order[-1]
            end = last.streams[number].part(
                len(last.streams[number]) - 1, len(last.streams[number])
            )
            if again is None or again[0] != number or not agree(end, [again[1]]):
                raise ChunkerError(ErrorCode.INTEGRITY, "the film is not what its blocks say it is")
        yield from batched(self._libav, self.normalise)


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
        if blocks.begins[-1] >= position:
            return found
    raise OddError("libav has found more blocks")


def learn(given: Sequence[Numbered], blocks: Blocks, streams: Sequence[Any]) -> Translator:
    """How libav's packets come from blocks.

    Args:
        given: a film's first packets.
        blocks: its first blocks.
        streams: of the film.

    Raises:
        OddError: in no way that is known here.
    """
    places = {begin: at for at, begin in enumerate(blocks.begins)}
    numbers: dict[int, int] = {}
    tracks: list[Track] = []
    for number, stream in enumerate(streams):
        own = [packet for of, packet in given if of == number]
        at, name = places.get(own[0].pos), stream.codec_context.codec.canonical_name
        if at is None or blocks.tracks[at] in numbers:
            raise OddError("libav has found other blocks")
        is_video = stream.type == "video"
        depth = stream.codec_context.reorder_depth if is_video else 0
        if depth and name not in _REORDERED:
            raise OddError("its decoding times are found in another way")
        mark = _MARKS.get(name)
        numbers[blocks.tracks[at]] = number
        tracks.append(
            Track(
                shift=blocks.times[at] - own[0].pts,
                duration=_usual_duration(own, places, blocks),
                latest=[UNKNOWN] * depth,
                mark=mark,
                marks=set() if mark is None else {bytes(each)[mark[0]] & mark[1] for each in own},
                is_key=key_check(name, stream.codec_context.extradata or b""),
                ordered=is_video and not depth,
            )
        )
    return Translator(numbers, tracks)


def _usual_duration(packets: Sequence[Packet], places: dict[int, int], blocks: Blocks) -> int:
    """Of the last packet whose block doesn't say it, ticks."""
    plain = (each for each in reversed(packets) if places.get(each.pos) not in blocks.durations)
    return next((packet.duration or 0 for packet in plain), 0)


def agree(ours: Packets, given: Sequence[Packet], unsettled: int = 0) -> bool:
    """Whether packets made of blocks begin with libav's, of one stream.

    Args:
        ours: at least as many.
        given: libav's.
        unsettled: so many first ones may have other decoding times and durations: libav has
            not seen enough of the track then, and its own are taken.
    """
    theirs, count = Packets.of(given), len(given)
    times = zip(ours.dts[:count], theirs.dts, strict=False)
    return (
        [bytes(packet) for packet in given] == ours.payloads[:count]
        and theirs.pts == ours.pts[:count]
        and theirs.keys == list(map(bool, ours.keys[:count]))
        and theirs.durations[unsettled:] == ours.durations[unsettled:count]
        and all(mine in {dts, UNKNOWN} for mine, dts in list(times)[unsettled:])
    )


def _fail(error: ChunkerError) -> Iterator[NoReturn]:
    raise error
    yield
