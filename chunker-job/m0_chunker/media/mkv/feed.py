"""A Matroska film's packets, of its blocks."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from m0_chunker.media.direct import UNKNOWN, DirectFeed, OddError
from m0_chunker.media.mkv.blocks import BlockReader
from m0_chunker.media.mkv.keys import key_check
from m0_chunker.media.mkv.parts import Blocks
from m0_chunker.media.mkv.translate import Track, Translator
from m0_chunker.media.normalise import choose_normalise
from m0_chunker.media.packets import Batch, Numbered, Packet

_REORDERED = frozenset({"h264", "hevc"})
_MARKS = {"opus": (0, 0xFF), "ac3": (4, 0xC0), "eac3": (4, 0xF0)}
"""Sound whose packets say how long they are, where, and in which bits."""

CODECS = _REORDERED | {"vp9", "av1", "aac", *_MARKS}
"""Those whose packets libav leaves as they are, and whose times it finds by these rules."""


class BlockFeed(DirectFeed):
    """The film's own packets, by its blocks."""

    method = "blocks"

    def is_suitable(self) -> bool:
        """See `DirectFeed`."""
        codecs = {each.codec_context.codec.canonical_name for each in self.templates}
        return codecs <= CODECS and all(choose_normalise(each) is None for each in self.templates)

    def read(self, ahead: Sequence[Numbered]) -> Iterator[Batch]:
        """See `DirectFeed`."""
        file = self._film.file
        batches = BlockReader(file, file.size_bytes).batches()
        first = read_until(batches, max(packet.pos for _, packet in ahead))
        translator = learn(ahead, first, self.templates)
        return map(translator.batch, chain([first], batches))


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
