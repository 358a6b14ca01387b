"""The picture half of a transcode: decoded pictures in, H.264 packets out.

deinterlace → grid (rate) → turn, scale, colours → libx264. Rate comes before scaling,
since dropped pictures need none, and after deinterlacing, which needs the neighbours.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.filter
from av.sidedata.sidedata import Type
from av.video.frame import PictureType

from m0_chunker.media.colour import Colours, build_colours
from m0_chunker.media.display import (
    Matrix,
    Target,
    build_turns,
    compute_target,
    parse_matrix,
    swaps_sides,
)
from m0_chunker.media.encoder import Encoder, Encoding, open_bench
from m0_chunker.media.feed import Packet
from m0_chunker.media.grid import Grid, OwnGrid, SteadyGrid
from m0_chunker.media.wanted import choose_rate, describe_pictures

INTERLACED_ORDERS = frozenset({2, 3, 4, 5})
"""AVFieldOrder: top or bottom field coded or shown first."""

TELLING_CODECS = frozenset(
    {"h264", "hevc", "mpeg2video", "mpeg4", "vc1", "vp9", "prores", "dvvideo"}
)
"""Decoders that mark each interlaced picture; of others only the header knows."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where key frames are wanted, and where to begin.

    Attributes:
        key_times: the k-th, k ≥ 1, seconds since the film's start; strictly increasing.
        resume_at: the first picture's time, one of the boundaries; 0 for all of the film.
    """

    key_times: Callable[[int], Fraction]
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
        self._deinterlacer: _Deinterlacer | None = None
        self._painter: _Painter | None = None
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
        if self._deinterlacer is None and self._is_interlaced(frame):
            self._notes.append("The film is interlaced: it was deinterlaced.")
            self._deinterlacer = _Deinterlacer(self.source, self._encoding.threads)
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

    def _is_interlaced(self, frame: Any) -> bool:
        if frame.interlaced_frame:
            return True
        context = self.source.codec_context
        return context.name not in TELLING_CODECS and context.field_order in INTERLACED_ORDERS

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
                self._next_key = self._grid.key_tick(self._cuts.key_times(self._key_number))
        yield from self._encoder.encode(picture)

    def _paint(self, source: Any) -> Any:
        """The picture as it goes into the encoder; one that is shown again is not made again."""
        if self._painted[0] is not source:
            if self._painter is None or not self._painter.fits(source):
                before = self._painter.target if self._painter else None
                self._painter = _Painter(self.source, source, self._encoding, before)
                self._notes += [n for n in self._painter.notes if n not in self._notes]
            self._painted = (source, self._painter.paint(source))
        return self._painted[1]

    def _open(self) -> Encoder:
        assert self._painter is not None  # noqa: S101 - a picture was painted
        target, colours = self._painter.target, self._painter.colours
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
    return max(1, round(1 / (rate * source.time_base)))


def _source_arguments(source: Any, frame: Any, colours: str = "") -> str:
    return (
        f"width={frame.width}:height={frame.height}:pix_fmt={frame.format.name}:"
        f"time_base={source.time_base}:pixel_aspect=1/1{colours}"
    )


def _build_graph(threads: int, filters: list[tuple[str, str | None]]) -> Any:
    graph = av.filter.Graph()
    graph.threads = threads
    nodes = [graph.add(name, arguments) for name, arguments in filters]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


class _Deinterlacer:
    """bwdif: one picture for one, only those that are interlaced; knows its neighbours."""

    def __init__(self, source: Any, threads: int) -> None:
        self._source, self._threads = source, threads
        self._graph: Any = None
        self._shape: tuple[int, int, str] = (0, 0, "")

    def take(self, frame: Any) -> Iterator[Any]:
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._shape:
            yield from self.finish()
            self._shape = shape
            self._graph = self._build(frame)
        self._graph.vpush(frame)
        yield from self._pull()

    def finish(self) -> Iterator[Any]:
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._pull()
            self._graph = None

    def _build(self, frame: Any) -> Any:
        filters: list[tuple[str, str | None]] = [("buffer", _source_arguments(self._source, frame))]
        if not frame.interlaced_frame and self._source.codec_context.name not in TELLING_CODECS:
            top = self._source.codec_context.field_order in {2, 4}
            filters.append(("setfield", "tff" if top else "bff"))
        filters.append(("bwdif", "mode=send_frame:deint=interlaced"))
        return _build_graph(self._threads, filters)

    def _pull(self) -> Iterator[Any]:
        base = self._source.time_base
        while True:
            try:
                frame = self._graph.vpull()
            except (BlockingIOError, av.error.EOFError):
                return
            frame.pts = round(frame.pts * frame.time_base / base)  # bwdif counts in half ticks
            frame.duration = round(frame.duration * frame.time_base / base)
            yield frame


class _Painter:
    """Turns, scales and converts pictures of one shape."""

    def __init__(self, source: Any, frame: Any, encoding: Encoding, before: Target | None) -> None:
        """Args:
        source: the film's stream.
        frame: the first picture of this shape.
        encoding: how to encode.
        before: what pictures of another shape became: these must become the same.
        """
        self._shape = (frame.width, frame.height, frame.format.name)
        matrix = _matrix_of(frame)
        aspect = Fraction(source.sample_aspect_ratio or 1)
        own = compute_target(frame.width, frame.height, aspect, matrix, encoding.wanted)
        self.target = before or own
        self.colours = build_colours(frame, self.target.height)
        self.notes = [*own.notes, *self.colours.notes]
        filters = _build_filters(frame, matrix, own, self.target, self.colours)
        self._graph = None
        if filters:
            head = ("buffer", _source_arguments(source, frame, self.colours.source_arguments))
            self._graph = _build_graph(encoding.threads, [head, *filters])

    def fits(self, frame: Any) -> bool:
        width, height, name = self._shape
        return bool(frame.width == width and frame.height == height and frame.format.name == name)

    def paint(self, frame: Any) -> Any:
        if self._graph is None:
            return frame
        self._graph.vpush(frame)
        return self._graph.vpull()


def _matrix_of(frame: Any) -> Matrix | None:
    try:
        return parse_matrix(bytes(frame.side_data[Type.DISPLAYMATRIX]))
    except KeyError:
        return None


def _build_filters(
    frame: Any, matrix: Matrix | None, own: Target, target: Target, colours: Colours
) -> list[tuple[str, str | None]]:
    """What is between decoder and encoder; nothing for a picture that is right as it is."""
    filters = build_turns(matrix)
    same = (own.width, own.height) == (target.width, target.height)
    if own.scaled or not same:
        filters.append(("scale", f"{target.width}:{target.height}{colours.scale_arguments}"))
    else:
        shown = (frame.height, frame.width) if swaps_sides(matrix) else (frame.width, frame.height)
        if shown != (target.width, target.height):
            filters.append(("crop", f"{target.width}:{target.height}:0:0:exact=1"))
        if colours.scale_arguments or frame.format.name != "yuv420p":
            filters.append(("scale", colours.scale_arguments.removeprefix(":") or None))
    if filters:
        filters.append(("format", "yuv420p"))
    return filters
