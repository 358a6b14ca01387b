"""Packets encoded anew: one decode, one continuous encode of each stream.

Boundaries are exact because the encoder is told to put a key frame at each of them, on
the new frame grid; the splitter then cuts there as it would in a copied film. Sound is
encoded in one go, so an encoder's start-up silence is in the first chunk only.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags2
from av.container import Flags as ContainerFlags
from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.media.encoder import Encoding
from m0_chunker.media.feed import PlainFeed
from m0_chunker.media.packets import Packet
from m0_chunker.media.pictures import Cuts, PictureTrack
from m0_chunker.media.preroll import read_packets
from m0_chunker.media.sound import SoundTrack
from m0_chunker.media.source import Film, reading_error

__all__ = ["Encoding", "TranscodeFeed"]

MIN_BAD_PACKETS = 100
MAX_BAD_SHARE = 0.1
"""A stream with more undecodable packets than both is not worth having."""


class TranscodeFeed(PlainFeed):
    """See `PacketFeed`. Only for a film with pictures.

    Attributes:
        notes: plain sentences about what is done otherwise than asked or expected.
        bad_packets: how many could not be decoded and were skipped, as players do.
        frames: decoded ones of each stream.
    """

    skips = True

    def __init__(
        self,
        film: Film,
        encoding: Encoding,
        key_times: Callable[[int, Fraction], Fraction],
        resume_at: Fraction = Fraction(0),
    ) -> None:
        """Args:
        film: open, and nothing read of it yet.
        encoding: how.
        key_times: when the k-th key frame is wanted, k ≥ 1, seconds since the film's
            start; strictly increasing. The first picture is one in any case.
        resume_at: a boundary; only what comes from there on is given, as in a run that
            was not interrupted.
        """
        self._film, self._resume_at = film, resume_at
        self.notes: list[str] = []
        self._pictures = PictureTrack(
            film.streams[film.reference],
            film.start,
            encoding,
            Cuts(key_times, resume_at),
            self.notes,
        )
        first = self._pictures.first_time if resume_at else Fraction(0)
        self._tracks: list[PictureTrack | SoundTrack] = []
        for stream in film.streams:
            threads = encoding.threads if stream is self._pictures.source else 1
            prepare_decoder(stream, threads, film.max_pixels)
            if stream is self._pictures.source:
                self._tracks.append(self._pictures)
            elif stream.type == "audio":
                self._tracks.append(SoundTrack(stream, film.start, first, self.notes))
            else:
                self.notes.append("The film has more than one video track: the first was taken.")
        self.templates: list[Any] = []
        self.reference = self._tracks.index(self._pictures)
        self.start = Fraction(0)
        self.encoded: set[int] = set()  # all are; the certificate counts those among copied ones
        self.frames = [0] * len(self._tracks)
        self._read = [0] * len(self._tracks)
        self._bad = [0] * len(self._tracks)

    def source_counts(self) -> list[dict[str, int]]:
        """See `PacketFeed`."""
        counts = zip(self._read, self.frames, self._bad, strict=True)
        return [{"packets": read, "frames": frames, "bad": bad} for read, frames, bad in counts]

    @property
    def bad_packets(self) -> int:
        """See the class."""
        return sum(self._bad)

    def packets(self) -> Iterator[tuple[int, Packet]]:
        """See `PacketFeed`.

        Raises:
            ChunkerError: SOURCE_*, UNSUPPORTED_MEDIA, LIMIT_EXCEEDED, CHUNK_FAILED.
        """
        waiting: list[tuple[int, Packet]] = []
        for number, packet in self._encode():
            if self.templates:
                yield number, packet
                continue
            waiting.append((number, packet))
            if self._pictures.stream is not None:
                self.templates = [track.stream for track in self._tracks]
                yield from waiting
                waiting = []
        if not self.templates:
            raise ChunkerError(ErrorCode.SOURCE_CORRUPT, "not one picture could be decoded")

    def _encode(self) -> Iterator[tuple[int, Packet]]:
        film, sources = self._film, [track.source for track in self._tracks]
        positions = {source.index: number for number, source in enumerate(sources)}
        if "avi" in film.container.format.name:
            # Its packets have no time stamps, and decoders make late ones of their order.
            film.container.flags |= ContainerFlags.gen_pts.value
        if self._resume_at:
            # Pictures that are not quite recovered lie before the boundary, but are counted.
            self._pictures.source.codec_context.flags2 |= Flags2.show_all
        try:
            for packet in read_packets(film, sources, self._pictures.source, self._resume_at):
                number = positions[packet.stream_index]
                for frame in self._decode(number, packet):
                    self.frames[number] += 1
                    for encoded in self._tracks[number].take(frame):
                        yield number, encoded
        except (av.error.FFmpegError, ValueError, RuntimeError) as error:
            raise reading_error(error, film) from error
        for number, track in enumerate(self._tracks):
            for encoded in track.finish():
                yield number, encoded

    def _decode(self, number: int, packet: Packet) -> list[Any]:
        """Frames of a packet; damaged ones are skipped, as players do."""
        self._read[number] += 1
        try:
            return list(packet.decode())
        except (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError):
            self._bad[number] += 1
        bad, read = self._bad[number], self._read[number]
        if bad > MIN_BAD_PACKETS and bad > read * MAX_BAD_SHARE:
            kind = self._tracks[number].source.type
            raise ChunkerError(
                ErrorCode.SOURCE_CORRUPT,
                f"{bad} of the first {read} {kind} packets could not be decoded",
            )
        return []


def prepare_decoder(stream: Any, threads: int, max_pixels: int) -> None:
    """Threads as given, and no picture that is too big, wherever in the film it comes."""
    context = stream.codec_context
    if context.is_open:
        return
    context.thread_count = threads
    context.thread_type = "AUTO" if threads > 1 else "SLICE"
    context.options = {**context.options, "max_pixels": str(max_pixels)}
