"""Many packets at a time, in columns: what is done for each of them is not done in Python."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, count
from typing import Any

from m0_chunker.media.normalise import Normalise

Packet = Any
"""`av.Packet`; the library's own type is generic in ways that say nothing here."""

Numbered = tuple[int, Packet]
"""(position of its stream, packet)."""

BATCH_PACKETS = 64


@dataclass(slots=True)
class Packets:
    """Packets of one stream, in decoding order; times in its ticks.

    Attributes:
        payloads: what goes into the chunk, as bytes or something that holds them.
        sizes: of the payloads, bytes.
        pts: presentation times.
        dts: decoding times.
        durations: 0 where a packet doesn't say.
        keys: whether each is a key frame.
    """

    payloads: list[Any] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    pts: list[int] = field(default_factory=list)
    dts: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, packets: Sequence[Packet], normalise: Normalise | None = None) -> "Packets":
        """Those of libav's, their payloads changed by `normalise`."""
        payloads = list(packets) if normalise is None else list(map(normalise, packets))
        return cls(
            payloads,
            [packet.size for packet in packets] if normalise is None else list(map(len, payloads)),
            [packet.pts for packet in packets],
            [packet.dts for packet in packets],
            [packet.duration or 0 for packet in packets],
            [packet.is_keyframe for packet in packets],
        )

    def __len__(self) -> int:
        return len(self.sizes)

    def part(self, first: int, after: int) -> "Packets":
        """Packets `first` to `after`; not to be changed, they may be these themselves."""
        if not first and after == len(self.sizes):
            return self
        return Packets(
            self.payloads[first:after],
            self.sizes[first:after],
            self.pts[first:after],
            self.dts[first:after],
            self.durations[first:after],
            self.keys[first:after],
        )

    def extend(self, others: "Packets", first: int = 0, after: int | None = None) -> None:
        """Append others, those from `first` to `after`."""
        self.payloads += others.payloads[first:after]
        self.sizes += others.sizes[first:after]
        self.pts += others.pts[first:after]
        self.dts += others.dts[first:after]
        self.durations += others.durations[first:after]
        self.keys += others.keys[first:after]

    def drop(self, count: int) -> None:
        """Forget the first ones."""
        del self.payloads[:count]
        del self.sizes[:count]
        del self.pts[:count]
        del self.dts[:count]
        del self.durations[:count]
        del self.keys[:count]


@dataclass(slots=True)
class Batch:
    """Consecutive packets of a film.

    Attributes:
        order: which stream each of them belongs to.
        sizes: of each of them as the film has it, bytes.
        streams: the packets of each stream.
        examples: a packet of libav's of each stream that has one here, the first.
    """

    order: Sequence[int]
    sizes: list[int]
    streams: list[Packets]
    examples: dict[int, Packet] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.order)

    def key_frames(self, number: int) -> tuple[list[int], list[int]]:
        """Where key frames of a stream are, among all packets and among the stream's."""
        keys = self.streams[number].keys
        places = compress(count(), map(number.__eq__, self.order))
        if isinstance(self.order, bytes):
            chosen = bytearray(256)
            chosen[number] = 1
            places = compress(count(), self.order.translate(chosen))  # a third of the time
        return list(compress(places, keys)), list(compress(count(), keys))

    def extend(self, others: "Batch") -> None:
        """Take those in that come after these."""
        self.order = [*self.order, *others.order]
        self.sizes = self.sizes + others.sizes
        for own, more in zip(self.streams, others.streams, strict=True):
            own.extend(more)

    def after(self, counts: Sequence[int]) -> "Batch":
        """Without the first so many of each stream."""
        left, places = list(counts), []
        for place, number in enumerate(self.order):
            if left[number]:
                left[number] -= 1
            else:
                places.append(place)
        return Batch(
            [self.order[place] for place in places],
            [self.sizes[place] for place in places],
            [each.part(at, len(each)) for each, at in zip(self.streams, counts, strict=True)],
        )


def make_batch(given: Sequence[Numbered], normalise: Sequence[Normalise | None]) -> Batch:
    """What libav gave, in columns.

    Args:
        given: its packets.
        normalise: how each stream's payloads are changed.
    """
    streams: list[list[Packet]] = [[] for _ in normalise]
    for number, packet in given:
        streams[number].append(packet)
    return Batch(
        [number for number, _ in given],
        [packet.size for _, packet in given],
        list(map(Packets.of, streams, normalise)),
        {number: packets[0] for number, packets in enumerate(streams) if packets},
    )


def batched(
    given: Iterable[Numbered], normalise: Callable[[], Sequence[Normalise | None]]
) -> Iterator[Batch]:
    """What libav gives, some at a time; what comes before a failure is given before it.

    Args:
        given: its packets.
        normalise: how each stream's payloads are changed; asked when there is a packet.
    """
    waiting: list[Numbered] = []
    known: set[int] = set()
    try:
        for number, packet in given:
            waiting.append((number, packet))
            # A stream is described by its first packet, and as libav knows it then: nothing
            # more may be read before.
            if len(waiting) == BATCH_PACKETS or number not in known:
                known.add(number)
                yield make_batch(waiting, normalise())
                waiting = []
    except Exception:
        if waiting:
            yield make_batch(waiting, normalise())
        raise
    if waiting:
        yield make_batch(waiting, normalise())
