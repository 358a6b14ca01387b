"""Where packets come from: copied from the film, or encoded anew. The cutter can't tell."""

from collections.abc import Iterator
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
        positions = {stream.index: number for number, stream in enumerate(film.streams)}
        follow = [0] * len(film.streams)
        try:
            for packet in film.container.demux(*film.streams):
                if packet.size == 0:
                    continue
                number = positions[packet.stream_index]
                dts, pts = packet.dts, packet.pts
                if dts is None:
                    dts = packet.dts = follow[number] if pts is None else pts
                if pts is None:
                    packet.pts = dts
                follow[number] = dts + (packet.duration or 1)
                yield number, packet
        except (av.error.FFmpegError, ValueError, RuntimeError) as error:
            raise reading_error(error, film) from error


def _is_wrapped_alike(film: Film, stream: Any) -> bool:
    """Whether MP4 stores this stream's payload as the film's own container does."""
    family = set(film.container.format.name.split(","))
    if stream.codec_context.name.startswith(("vp9", "libvpx", "av1", "libdav1d", "libaom")):
        return "mov" in family
    return bool(family & {"mov", "matroska"})
