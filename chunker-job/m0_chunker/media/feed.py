"""Where packets come from: copied from the film, or encoded anew. The cutter can't tell."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Protocol

import av

from m0_chunker.media.mp4.template import TrackTemplate
from m0_chunker.media.normalise import Normalise, choose_normalise
from m0_chunker.media.packets import Batch, Numbered, Packet, batched
from m0_chunker.media.salvage import is_half
from m0_chunker.media.source import Film, reading_error


class PacketFeed(Protocol):
    """A stream of packets, finite or not.

    Attributes:
        templates: the streams that packets belong to; complete at the first packet.
        reference: position in `templates` of the stream whose key frames may be cut at.
        start: time stamp of the film's start, seconds, in the packets' own time.
        encoded: times of the reference's packets that are not the film's own, where most are.
        notes: what a person should know of how the packets came about; plain sentences.
        skips: whether a resumed feed gives nothing of what lies before.
    """

    templates: list[Any]
    reference: int
    start: Fraction
    encoded: set[int]
    notes: list[str]
    skips: bool

    def batches(self) -> Iterator[Batch]:
        """The packets, each stream's in decoding order; none is empty."""
        ...

    def adapt(self, number: int, template: TrackTemplate) -> TrackTemplate:
        """The description of stream `number`, where it must say more than the film's."""
        ...

    def source_counts(self) -> list[dict[str, int]] | None:
        """What was read and decoded of each stream, where that is not what is given."""
        ...


class PlainFeed:
    """What most feeds have in common."""

    templates: list[Any]
    skips = False
    _normalise: list[Normalise | None] | None = None

    def adapt(self, number: int, template: TrackTemplate) -> TrackTemplate:  # noqa: ARG002
        """See `PacketFeed`."""
        return template

    def packets(self) -> Iterator[Numbered]:
        """The packets one by one."""
        raise NotImplementedError

    def batches(self) -> Iterator[Batch]:
        """See `PacketFeed`."""
        return batched(self.packets(), self.normalise)

    def normalise(self) -> list[Normalise | None]:
        """How each stream's payloads are changed."""
        if self._normalise is None:
            self._normalise = list(map(choose_normalise, self.templates))
        return self._normalise

    def source_counts(self) -> list[dict[str, int]] | None:
        """See `PacketFeed`."""
        return None


class CopyFeed(PlainFeed):
    """The film's own packets."""

    def __init__(self, film: Film) -> None:
        self._film = film
        self.templates = list(film.streams)
        self.reference = film.reference
        self.start = film.start
        self.encoded: set[int] = set()
        self.notes: list[str] = []

    def packets(self) -> Iterator[Numbered]:
        """See `PacketFeed`; time stamps that are missing are filled in.

        Raises:
            ChunkerError: SOURCE_*.
        """
        film = self._film
        numbers = {stream.index: number for number, stream in enumerate(film.streams)}
        clocks = {stream.index: _Clock() for stream in film.streams}
        waiting = dict(clocks)
        try:
            for packet in film.demux(*film.streams):
                if not packet.size:
                    continue
                if packet.is_corrupt and is_half(packet, film.file.size_bytes):
                    raise film.cut_off()
                index = packet.stream_index
                if index not in waiting and packet.dts is not None and packet.pts is not None:
                    yield numbers[index], packet
                    continue
                for timed in clocks[index].stamp(packet):
                    yield numbers[index], timed
                if clocks[index].is_running:
                    waiting.pop(index, None)
        except (av.error.FFmpegError, ValueError, RuntimeError) as error:
            raise reading_error(error, film) from error
        for index, clock in clocks.items():
            for timed in clock.flush():
                yield numbers[index], timed


class _Clock:
    """Fills in the time stamps that a container does not store, for one stream.

    Matroska has no decoding times: libav finds them from the third picture on, and the
    ones before must lie as far before that as there are pictures.
    """

    PATIENCE = 64

    def __init__(self) -> None:
        self._waiting: list[Packet] | None = []
        self._next = 0

    @property
    def is_running(self) -> bool:
        """Whether the first packets have their time stamps."""
        return self._waiting is None

    def stamp(self, packet: Packet) -> Sequence[Packet]:
        """The packets that now have both time stamps, in order."""
        if self._waiting is None:
            if packet.dts is None:
                packet.dts = self._next if packet.pts is None else min(self._next, packet.pts)
            if packet.pts is None:
                packet.pts = packet.dts
            self._next = packet.dts + (packet.duration or 1)
            return (packet,)
        self._waiting.append(packet)
        if packet.dts is None and len(self._waiting) < self.PATIENCE:
            return ()
        return self.flush()

    def flush(self) -> Sequence[Packet]:
        """Stamp what waits for a decoding time, whether one came or not."""
        waiting, self._waiting = self._waiting or [], None
        if not waiting:
            return ()
        step = max(waiting[-1].duration or 1, 1)
        known = waiting[-1].dts
        if known is None:  # none at all: as early as the earliest picture allows
            first = min(
                (
                    packet.pts - step * at
                    for at, packet in enumerate(waiting)
                    if packet.pts is not None
                ),
                default=0,
            )
            known = first + step * (len(waiting) - 1)
        for before, packet in enumerate(reversed(waiting)):
            packet.dts = known - before * step
            if packet.pts is None:
                packet.pts = packet.dts
        self._next = known + step
        return waiting
