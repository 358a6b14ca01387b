"""Where packets come from: copied from the film, or encoded anew. The cutter can't tell."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Protocol

import av

from m0_chunker.media.source import Film, reading_error

Packet = Any
"""`av.Packet`; the library's own type is generic in ways that say nothing here."""


class PacketFeed(Protocol):
    """A stream of packets, finite or not.

    Attributes:
        templates: the streams that packets belong to; complete at the first packet.
        reference: position in `templates` of the stream whose key frames may be cut at.
        start: time stamp of the film's start, seconds, in the packets' own time.
        known_end: a time that packets are sure to reach, seconds since the start, or None.
        exact: for each template, whether its payload goes into MP4 byte for byte.
    """

    templates: list[Any]
    reference: int
    start: Fraction
    known_end: Fraction | None
    exact: list[bool]

    def packets(self) -> Iterator[tuple[int, Packet]]:
        """(position in `templates`, packet), each stream in decoding order."""
        ...


class CopyFeed:
    """The film's own packets."""

    def __init__(self, film: Film) -> None:
        self._film = film
        self.templates = list(film.streams)
        self.reference = film.reference
        self.start = film.start
        self.known_end = film.index_end
        self.exact = [_is_wrapped_alike(film, stream) for stream in film.streams]

    def packets(self) -> Iterator[tuple[int, Packet]]:
        """See `PacketFeed`; time stamps that are missing are filled in.

        Raises:
            ChunkerError: SOURCE_*.
        """
        film = self._film
        clocks = {stream.index: (number, _Clock()) for number, stream in enumerate(film.streams)}
        try:
            for packet in film.container.demux(*film.streams):
                if packet.size:
                    number, clock = clocks[packet.stream_index]
                    for timed in clock.stamp(packet):
                        yield number, timed
        except (av.error.FFmpegError, ValueError, RuntimeError) as error:
            raise reading_error(error, film) from error
        for number, clock in clocks.values():
            for timed in clock.flush():
                yield number, timed


class _Clock:
    """Fills in the time stamps that a container does not store, for one stream.

    Matroska has no decoding times: libav finds them from the third picture on, and the
    ones before must lie as far before that as there are pictures.
    """

    PATIENCE = 64

    def __init__(self) -> None:
        self._waiting: list[Packet] | None = []
        self._next = 0

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


def _is_wrapped_alike(film: Film, stream: Any) -> bool:
    """Whether MP4 stores this stream's payload as the film's own container does."""
    family = set(film.container.format.name.split(","))
    if stream.codec_context.name.startswith(("vp9", "libvpx", "av1", "libdav1d", "libaom")):
        return "mov" in family
    return bool(family & {"mov", "matroska"})
