"""Odd films for the transcoder, and a way to run it and look at what comes out, decoded.

Films carry each picture's number in blocks (see `films`), and a chirp as sound, by which
a stretch of it can be found again to a fraction of a millisecond.
"""

import io
import math
import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import films
from av.audio.frame import AudioFrame
from av.video.frame import PictureType, VideoFrame
from m0_chunker.media.source import Limits, open_film
from m0_chunker.media.transcode import Encoding, TranscodeFeed
from m0_contract.request import VideoPreprocessing

RATE = 48_000


@dataclass(frozen=True)
class Odd:
    """A film to make.

    Attributes:
        pictures: time stamp of each, in `base`.
        base: seconds.
        keys: positions of key frames in `pictures`, besides those the encoder chooses.
        look: called with each picture before it is encoded.
        setup: called with the stream before it is opened.
        sound: (start, end) of each stretch of sound, seconds; its time stamps leave gaps.
    """

    pictures: Sequence[int] = range(90)
    base: Fraction = Fraction(1, 30)
    width: int = 160
    height: int = 120
    pixels: str = "yuv420p"
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    keys: frozenset[int] = frozenset()
    look: Callable[[VideoFrame], None] = lambda _: None
    setup: Callable[[Any], None] = lambda _: None
    sound: Sequence[tuple[Fraction, Fraction]] = ()
    sound_codec: str = "pcm_s16le"
    layout: str = "mono"
    rate: int = RATE


def chirp(time: float) -> float:
    """The sound at a time, -1 … 1: quick sweeps, each a little different from the one before."""
    sweep, within = divmod(time, 0.25)
    low = 300 + 41 * (sweep % 11)
    return 0.6 * math.sin(2 * math.pi * (low * within + 5000 * within * within))


def make_odd(path: Path, odd: Odd) -> Path:
    """Write it; the container is chosen by the name's suffix."""
    with av.open(str(path), "w") as out:
        packets = [*_video(out, odd), *(_audio(out, odd) if odd.sound else [])]
        out.start_encoding()
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def _video(out: Any, odd: Odd) -> list[Any]:
    options = {"preset": "ultrafast", "bf": "2", "g": "1000", "crf": "20", "forced-idr": "1"}
    if odd.codec != "libx264":
        options = {}
    stream = out.add_stream(odd.codec, rate=30, options=options | odd.options)
    stream.width, stream.height, stream.pix_fmt = odd.width, odd.height, odd.pixels
    stream.time_base = stream.codec_context.time_base = odd.base
    stream.codec_context.thread_count = 1
    odd.setup(stream)
    drawing = films._Picture(odd.width & ~1, odd.height & ~1)
    packets = []
    for position, pts in enumerate(odd.pictures):
        frame = drawing.frame(position)
        if (odd.width, odd.height, odd.pixels) != (frame.width, frame.height, "yuv420p"):
            frame = frame.reformat(odd.width, odd.height, odd.pixels)
        frame.pts, frame.time_base = pts, odd.base
        frame.pict_type = PictureType.I if position in odd.keys else PictureType.NONE
        odd.look(frame)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _audio(out: Any, odd: Odd) -> list[Any]:
    stream = out.add_stream(odd.sound_codec, rate=odd.rate, layout=odd.layout)
    stream.time_base = stream.codec_context.time_base = Fraction(1, odd.rate)
    channels = stream.codec_context.layout.nb_channels
    packets = []
    for start, end in odd.sound:
        first, last = round(start * odd.rate), round(end * odd.rate)
        for at in range(first, last, 1000):
            samples = range(at, min(at + 1000, last))
            values = [round(32_767 * chirp(n / odd.rate)) for n in samples]
            frame = AudioFrame("s16", odd.layout, len(samples))
            data = struct.pack(
                f"<{len(values) * channels}h", *(v for v in values for _ in range(channels))
            )
            frame.planes[0].update(data + bytes(frame.planes[0].buffer_size - len(data)))
            frame.sample_rate, frame.pts = odd.rate, at
            frame.time_base = Fraction(1, odd.rate)
            packets += stream.encode(frame)
    return packets + stream.encode(None)


class Bytes(io.FileIO):
    """A file as the stores give it."""

    failure = None

    @property
    def size_bytes(self) -> int:
        return Path(self.name).stat().st_size


@dataclass
class Transcoded:
    """What a feed gave.

    Attributes:
        streams: its templates.
        packets: (number of the stream, time stamps and payload).
    """

    feed: TranscodeFeed
    streams: list[Any]
    packets: list[tuple[int, Any]]

    def of(self, number: int | None = None) -> list[Any]:
        """A stream's packets; the pictures' without a number."""
        number = self.feed.reference if number is None else number
        return [packet for at, packet in self.packets if at == number]

    @property
    def keys(self) -> list[Fraction]:
        """Times of key frames, seconds."""
        return [p.pts * p.time_base for p in self.of() if p.is_keyframe]

    @property
    def times(self) -> list[Fraction]:
        """Times of pictures, seconds, ascending."""
        return sorted(p.pts * p.time_base for p in self.of())

    def pictures(self, start: Fraction | None = None, end: Fraction | None = None) -> list[Any]:
        """Decode those packets alone that a chunk from `start` to `end` has."""
        start = self.keys[0] if start is None else start
        return decode(self.streams[self.feed.reference], _between(self.of(), start, end))

    def sound(
        self, number: int = 1, start: Fraction | None = None, end: Fraction | None = None
    ) -> dict[int, float]:
        """Samples of the first channel by their time, in samples since the film's start."""
        packets = [
            p
            for p in self.of(number)
            if (start is None or p.pts * p.time_base >= start)
            and (end is None or p.pts * p.time_base < end)
        ]
        samples: dict[int, float] = {}
        for frame in decode(self.streams[number], packets):
            values = array("f", bytes(frame.planes[0])[: 4 * frame.samples])
            samples.update(enumerate(values, frame.pts))
        return samples


def _between(packets: list[Any], start: Fraction, end: Fraction | None) -> list[Any]:
    """From the key frame at `start` to the one at `end`, in decoding order."""
    times = [p.pts * p.time_base if p.is_keyframe else None for p in packets]
    last = len(packets) if end is None else times.index(end)
    return packets[times.index(start) : last]


def decode(stream: Any, packets: Iterable[Any]) -> list[Any]:
    """With a decoder that has seen nothing else."""
    decoder = av.CodecContext.create(stream.codec_context.name.replace("libx264", "h264"), "r")
    decoder.extradata = stream.codec_context.extradata
    decoder.thread_count = 1
    frames = []
    for packet in packets:
        frames += decoder.decode(packet)
    frames += decoder.decode(None)
    for frame in frames:
        frame.time_base = stream.time_base
    return frames


def transcode(
    path: Path,
    every: Fraction | float = 1,
    resume_at: Fraction = Fraction(0),
    threads: int = 1,
    limits: Limits | None = None,
    **wanted: Any,
) -> Transcoded:
    """Run the feed over a film, with key frames at each multiple of `every` seconds."""
    film = open_film(Bytes(str(path)), path.name, limits or Limits())
    try:
        feed = TranscodeFeed(
            film,
            Encoding(
                VideoPreprocessing(chunk_duration=float(every), **wanted), "veryfast", 20, threads
            ),
            lambda number, _: number * Fraction(every),
            resume_at,
        )
        packets = list(feed.packets())
    finally:
        film.close()
    return Transcoded(feed, feed.templates, packets)


def read_number(
    frame: Any, place: Callable[[float, float], tuple[float, float]] = lambda x, y: (x, y)
) -> int:
    """The number in a picture's blocks, whatever its size.

    Args:
        frame: 8 bit.
        place: from where a point was drawn to where it is now; both 0 … 1 of a side.
    """
    luma, stride = bytes(frame.planes[0]), frame.planes[0].line_size
    number = 0
    for bit in range(20):
        x, y = place((32 + bit * 6 + 3) / 160, 8 / 120)
        if luma[int(y * frame.height) * stride + int(x * frame.width)] > 0x80:
            number |= 1 << bit
    return number


def find_delay(samples: dict[int, float], at: float, rate: int = RATE) -> float:
    """By how many seconds the chirp heard around `at` seconds is late.

    Raises:
        ValueError: it isn't heard there at all.
    """
    first = round(at * rate)
    heard = [samples.get(n, 0.0) for n in range(first, first + 1500)]
    best, best_lag = 0.0, None
    for lag in range(-120, 121):
        likeness = sum(value * chirp((first + n - lag) / rate) for n, value in enumerate(heard))
        if likeness > best:
            best, best_lag = likeness, lag
    if best_lag is None or best < 1500 * 0.36 / 2 * 0.7:
        raise ValueError(f"no chirp at {at} s")
    return best_lag / rate
