"""Packets encoded anew: one decode, one filter graph, one continuous encode of each stream.

Boundaries are exact because the encoder is told to put a key frame at each k·D of the
new frame grid; the splitter then cuts there as it would in a copied film. Sound is
encoded in one go, so an encoder's start-up silence is in the first chunk only.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import av
import av.filter
from av.video.frame import PictureType
from m0_contract.errors import ErrorCode
from m0_contract.request import VideoPreprocessing

from m0_chunker.errors import ChunkerError
from m0_chunker.media.feed import Packet
from m0_chunker.media.source import Film, reading_error

AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000})
BIT_RATE_PER_CHANNEL = 96_000
CODEC_FLAG_BITEXACT = 1 << 23
MAX_BAD_PACKETS = 1000


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode.

    Attributes:
        wanted: fps, width and height of the request.
        preset: libx264's.
        crf: libx264's.
        threads: for the decoder, the filters and the encoder.
    """

    wanted: VideoPreprocessing
    preset: str
    crf: int
    threads: int


class TranscodeFeed:
    """See `PacketFeed`. Only for a film with pictures."""

    def __init__(self, film: Film, encoding: Encoding) -> None:
        self._film, self._encoding = film, encoding
        self.templates: list[Any] = []
        self.reference = film.reference
        self.start = Fraction(0)
        # The decoder and the frame filter decide how long the new film is, not the index.
        self.known_end: Fraction | None = None
        self.exact = [True] * len(film.streams)
        self._bad_packets = 0

    def packets(self) -> Iterator[tuple[int, Packet]]:
        """See `PacketFeed`.

        Raises:
            ChunkerError: SOURCE_*, UNSUPPORTED_MEDIA, CHUNK_FAILED.
        """
        film = self._film
        tracks: list[_Video | _Sound] = [
            _Video(stream, film, self._encoding)
            if number == film.reference
            else _Sound(stream, film)
            for number, stream in enumerate(film.streams)
            if stream.type == "audio" or number == film.reference
        ]
        self.reference = next(n for n, track in enumerate(tracks) if isinstance(track, _Video))
        # libx264 writes start codes, of which the muxer makes lengths.
        self.exact = [number != self.reference for number in range(len(tracks))]
        positions = {track.source.index: number for number, track in enumerate(tracks)}
        waiting: list[tuple[int, Packet]] = []
        for number, packet in self._encode(tracks, positions):
            if not self.templates:
                waiting.append((number, packet))
                if not all(track.is_open for track in tracks):
                    continue
                self._show(tracks)
                yield from waiting
            else:
                yield number, packet
        if not self.templates:
            raise ChunkerError(ErrorCode.SOURCE_CORRUPT, "not one picture could be decoded")

    def _show(self, tracks: list["_Video | _Sound"]) -> None:
        self.templates = [track.stream for track in tracks]

    def _encode(
        self, tracks: list["_Video | _Sound"], positions: dict[int, int]
    ) -> Iterator[tuple[int, Packet]]:
        film = self._film
        try:
            for packet in film.container.demux(*(track.source for track in tracks)):
                number = positions[packet.stream.index]
                for frame in self._decode(packet):
                    for encoded in tracks[number].take(frame):
                        yield number, encoded
        except (av.error.FFmpegError, ValueError, RuntimeError) as error:
            raise reading_error(error, film) from error
        for number, track in enumerate(tracks):
            for encoded in track.finish():
                yield number, encoded

    def _decode(self, packet: Packet) -> list[Any]:
        """Frames of a packet; damaged ones are skipped, as players do."""
        try:
            return list(packet.decode())
        except av.error.InvalidDataError as error:
            self._bad_packets += 1
            if self._bad_packets > MAX_BAD_PACKETS:
                raise ChunkerError(
                    ErrorCode.SOURCE_CORRUPT,
                    f"more than {MAX_BAD_PACKETS} packets could not be decoded",
                ) from error
            return []


class _Video:
    """Decoded pictures in, H.264 packets on the new frame grid out."""

    def __init__(self, source: Any, film: Film, encoding: Encoding) -> None:
        self.source, self._encoding = source, encoding
        self._offset = round(film.start / source.time_base)
        source.codec_context.thread_count = encoding.threads
        source.thread_type = "AUTO" if encoding.threads > 1 else "SLICE"
        rate = encoding.wanted.fps or source.average_rate or source.guessed_rate or 25
        self.rate = Fraction(rate).limit_denominator(1001)
        self._duration = Fraction(str(encoding.wanted.chunk_duration))
        self._step = 0
        self._next_key = 0
        self._graph: Any = None
        self.stream: Any = None

    @property
    def is_open(self) -> bool:
        return self.stream is not None

    def take(self, frame: Any) -> Iterator[Packet]:
        if frame.pts is None:
            return
        if self._graph is None:
            self._graph = self._build_graph(frame)
        frame.pts -= self._offset
        self._graph.vpush(frame)
        yield from self._pull()

    def finish(self) -> Iterator[Packet]:
        if self._graph is None:
            return
        self._graph.vpush(None)
        yield from self._pull()
        if self.stream is not None:
            yield from _encoded(self.stream, None)

    def _pull(self) -> Iterator[Packet]:
        while True:
            try:
                frame = self._graph.vpull()
            except (BlockingIOError, av.error.EOFError):
                return
            if self.stream is None:
                self.stream = self._open(frame)
            # A decoder's picture types would force the encoder's; only boundaries should.
            frame.pict_type = PictureType.NONE
            if frame.pts >= self._next_key:
                frame.pict_type = PictureType.I
                self._step += 1
                self._next_key = ceil(self._step * self._duration * self.rate)
            yield from _encoded(self.stream, frame)

    def _build_graph(self, frame: Any) -> Any:
        """The filters; fps before scale, since dropped pictures need no scaling (18 % less CPU)."""
        wanted = self._encoding.wanted
        graph = av.filter.Graph()
        graph.threads = self._encoding.threads
        chain = [
            graph.add(
                "buffer",
                f"width={frame.width}:height={frame.height}:pix_fmt={frame.format.name}:"
                f"time_base={self.source.time_base}:pixel_aspect="
                f"{self.source.sample_aspect_ratio or Fraction(1)}",
            ),
            graph.add("fps", f"fps={self.rate}:start_time=0"),
        ]
        turns = {-90: [("transpose", "clock")], 90: [("transpose", "cclock")]}
        turns[180] = turns[-180] = [("hflip", ""), ("vflip", "")]
        chain += [graph.add(name, value or None) for name, value in turns.get(frame.rotation, [])]
        if wanted.width or wanted.height:
            # -2: from the aspect, and even, as 4:2:0 needs.
            chain.append(graph.add("scale", f"{wanted.width or -2}:{wanted.height or -2}"))
        chain.append(graph.add("format", "yuv420p"))
        chain.append(graph.add("buffersink"))
        graph.link_nodes(*chain).configure()
        return graph

    def _open(self, frame: Any) -> Any:
        if frame.width % 2 or frame.height % 2:
            raise ChunkerError(
                ErrorCode.UNSUPPORTED_MEDIA,
                f"H.264 needs even sizes; {frame.width} x {frame.height} was asked for",
            )
        stream = _bench().add_stream(
            "libx264",
            rate=self.rate,
            options={
                "preset": self._encoding.preset,
                "crf": str(self._encoding.crf),
                "forced-idr": "1",
            },
        )
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = 1 / self.rate
        context.thread_count = self._encoding.threads
        return _opened(stream)


class _Sound:
    """Decoded sound in, AAC packets out."""

    def __init__(self, source: Any, film: Film) -> None:
        self.source = source
        self._offset = film.start
        self.stream: Any = None
        self._resampler: Any = None

    @property
    def is_open(self) -> bool:
        return self.stream is not None

    def take(self, frame: Any) -> Iterator[Packet]:
        if self.stream is None:
            self._open(frame)
        if frame.pts is not None:
            frame.pts -= round(self._offset / frame.time_base)
        for piece in self._resampler.resample(frame):
            yield from _encoded(self.stream, piece)

    def finish(self) -> Iterator[Packet]:
        if self.stream is None:
            return
        for piece in self._resampler.resample(None):
            yield from _encoded(self.stream, piece)
        yield from _encoded(self.stream, None)

    def _open(self, frame: Any) -> None:
        rate = frame.sample_rate if frame.sample_rate in AAC_RATES else 48_000
        channels = frame.layout.nb_channels
        layout = frame.layout.name if channels in {1, 2, 6} else "stereo"
        stream = _bench().add_stream("aac", rate=rate, layout=layout)
        stream.bit_rate = BIT_RATE_PER_CHANNEL * min(channels, 6)
        stream.codec_context.time_base = stream.time_base = Fraction(1, rate)
        stream.metadata.update(self.source.metadata)
        self.stream = _opened(stream)
        self._resampler = av.AudioResampler(
            format="fltp", layout=layout, rate=rate, frame_size=stream.codec_context.frame_size
        )


def _bench() -> Any:
    """A muxer whose output nobody sees: PyAV makes streams that others can be like only there."""
    return av.open(io.BytesIO(), "w", format="mp4")


def _opened(stream: Any) -> Any:
    """Open the encoder now, the same every time: no version or date in the payload."""
    stream.codec_context.flags |= CODEC_FLAG_BITEXACT
    stream.container.start_encoding()  # completes the stream's description, too
    return stream


def _encoded(stream: Any, frame: Any) -> Iterator[Packet]:
    """Packets in the ticks of `stream`, finer than the encoder's; a picture lasts one of those."""
    base = stream.time_base
    for packet in stream.encode(frame):
        factor = packet.time_base / base
        if factor != 1:
            packet.pts = round(packet.pts * factor)
            packet.dts = round(packet.dts * factor)
            packet.duration = round((packet.duration or 1) * factor)
            packet.time_base = base
        yield packet
