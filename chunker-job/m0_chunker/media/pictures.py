"""The picture half of a transcode: decoded pictures in, H.264 packets out.

deinterlace → grid (rate) → turn, scale, colours → libx264. Rate comes before scaling,
since dropped pictures need none, and after deinterlacing, which needs the neighbours.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.video.frame import PictureType
from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.media.deinterlacer import Deinterlacer, is_interlaced
from m0_chunker.media.encoder import Encoder, Encoding, open_bench
from m0_chunker.media.grid import Grid, OwnGrid, SteadyGrid
from m0_chunker.media.packets import Packet
from m0_chunker.media.painter import Painter, Shape, shape_of
from m0_chunker.media.wanted import choose_rate, describe_pictures

MAX_SHAPES = 16
"""More sizes and pixel formats are no film; each has a filter graph, for HDR a dear one."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where key frames are wanted, and where to begin.

    Attributes:
        key_times: (k, time of the picture before which k - 1 was wanted) → the k-th, k ≥ 1,
            seconds since the film's start; strictly increasing.
        resume_at: the first picture's time, one of the boundaries; 0 for all of the film.
    """

    key_times: Callable[[int, Fraction], Fraction]
    resume_at: Fraction


class PictureTrack:
    """See the module."""

    def __init__(
        self, source: Any, start: Fraction, encoding: Encoding, cuts: Cuts, notes: list[str]
    ) -> None:
        """Args:
        source: the film's stream.
        start: the film's start in its own time stamps, seconds.
        encoding: how to encode.
        cuts: where.
        notes: takes plain sentences about what is done otherwise than asked.
        """
        self.source = source
        self._encoder: Encoder | None = None
        self._encoding, self._notes = encoding, notes
        self._grid = _choose_grid(source, start, encoding, cuts.resume_at)
        self._cuts = cuts
        self._next_key, self._key_number = -(2**63), 0
        self._deinterlacer: Deinterlacer | None = None
        self._painters: dict[Shape, Painter] = {}
        self._painted: tuple[Any, Any] = (None, None)
        self._last_pts, self._usual = -(2**63), _usual_duration(source)

    @property
    def stream(self) -> Any | None:
        """Tells what packets are like, from the first on."""
        return self._encoder.stream if self._encoder else None

    @property
    def first_time(self) -> Fraction:
        """Of the first picture that `resume_at` lets through, at the earliest; seconds."""
        tick = self._grid.key_tick(self._cuts.resume_at)
        return max(self._cuts.resume_at, tick * self._grid.base)

    def take(self, frame: Any) -> Iterator[Packet]:
        """A decoded picture."""
        if frame.pts is None:  # AVI: only decoding times, and a decoder that delays them
            frame.pts = self._last_pts + self._usual if frame.dts is None else frame.dts
        self._last_pts = frame.pts
        if self._deinterlacer is None and is_interlaced(self.source, frame):
            self._notes.append("The film is interlaced: it was deinterlaced.")
            self._deinterlacer = Deinterlacer(self.source, self._encoding.threads)
        if self._deinterlacer is None:
            yield from self._place(frame)
            return
        for whole in self._deinterlacer.take(frame):
            yield from self._place(whole)

    def finish(self) -> Iterator[Packet]:
        """No more come."""
        if self._deinterlacer is not None:
            for frame in self._deinterlacer.finish():
                yield from self._place(frame)
        for tick, ticks, picture in self._grid.finish():
            yield from self._encode(tick, ticks, picture)
        if self._encoder is not None:
            yield from self._encoder.encode(None)

    def _place(self, frame: Any) -> Iterator[Packet]:
        for tick, ticks, picture in self._grid.take(
            frame.pts, frame.duration or self._usual, frame
        ):
            yield from self._encode(tick, ticks, picture)

    def _encode(self, tick: int, ticks: int, source: Any) -> Iterator[Packet]:
        picture = self._paint(source)
        if self._encoder is None:
            self._encoder = self._open()
        picture.pts, picture.duration, picture.time_base = tick, ticks, self._grid.base
        # A decoder's picture types would force the encoder's; only boundaries should.
        picture.pict_type = PictureType.NONE
        if tick >= self._next_key:
            picture.pict_type = PictureType.I
            while self._next_key <= tick:
                self._key_number += 1
                wanted = self._cuts.key_times(self._key_number, tick * self._grid.base)
                self._next_key = self._grid.key_tick(wanted)
        yield from self._encoder.encode(picture)

    def _paint(self, source: Any) -> Any:
        """The picture as it goes into the encoder; one that is shown again is not made again."""
        if self._painted[0] is not source:
            shape = shape_of(source)
            painter = self._painters.get(shape)
            if painter is None:
                painter = self._painters[shape] = self._hire(source)
            self._painted = (source, painter.paint(source))
        return self._painted[1]

    def _hire(self, source: Any) -> Painter:
        """One for pictures of another shape; all make pictures alike."""
        if len(self._painters) == MAX_SHAPES:
            raise ChunkerError(
                ErrorCode.LIMIT_EXCEEDED,
                f"the film's pictures have more than {MAX_SHAPES} sizes and formats",
            )
        first = next(iter(self._painters.values()), None)
        painter = Painter(self.source, source, self._encoding, first.target if first else None)
        self._notes += [note for note in painter.notes if note not in self._notes]
        return painter

    def _open(self) -> Encoder:
        first = next(iter(self._painters.values()))
        target, colours = first.target, first.colours
        rate = 1 / self._grid.base
        if isinstance(self._grid, OwnGrid):
            rate = self.source.guessed_rate or self.source.average_rate or Fraction(25)
        stream = open_bench().add_stream(
            "libx264",
            rate=rate,
            options={
                "preset": self._encoding.preset,
                "crf": str(self._encoding.crf),
                "forced-idr": "1",
                # The same film is to give the same hash. This is the one thing in libx264 that
                # gives other bytes now and then, when it runs in several threads.
                "x264-params": "mbtree=0",
            },
        )
        stream.width, stream.height, stream.pix_fmt = target.width, target.height, "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = self._grid.base
        context.thread_count = self._encoding.threads
        context.sample_aspect_ratio = target.aspect.limit_denominator(4096)
        context.color_range, context.colorspace = colours.range, colours.matrix
        context.color_primaries, context.color_trc = colours.primaries, colours.transfer
        stream.metadata.update(
            {key: value for key, value in self.source.metadata.items() if key == "language"}
        )
        return Encoder(stream)


def _choose_grid(source: Any, start: Fraction, encoding: Encoding, resume_at: Fraction) -> Grid:
    fps, base = encoding.wanted.fps, Fraction(source.time_base)
    if fps is None:
        return OwnGrid(base, start, resume_at)
    return SteadyGrid(choose_rate(describe_pictures(source), fps), base, start, resume_at)


def _usual_duration(source: Any) -> int:
    """Of a picture that does not say, in the source's ticks."""
    rate = source.average_rate or source.guessed_rate or Fraction(25)
    return max(1, round(1 / Fraction(rate * source.time_base)))
