"""Makes whole pictures of interlaced ones."""

from collections.abc import Iterator
from typing import Any

import av

from m0_chunker.media.painter import Filters, Shape, build_graph, describe_source, shape_of

INTERLACED_ORDERS = frozenset({2, 3, 4, 5})
"""AVFieldOrder: top or bottom field coded or shown first."""

TOP_FIRST = frozenset({2, 4})

TELLING_CODECS = frozenset(
    {"h264", "hevc", "mpeg2video", "mpeg4", "vc1", "vp9", "prores", "dvvideo"}
)
"""Decoders that mark each interlaced picture; of others only the header knows."""


def is_interlaced(source: Any, frame: Any) -> bool:
    """Whether this picture of the stream `source` is made of two fields."""
    return bool(frame.interlaced_frame) or _header_says_so(source)


def _header_says_so(source: Any) -> bool:
    context = source.codec_context
    return context.name not in TELLING_CODECS and context.field_order in INTERLACED_ORDERS


class Deinterlacer:
    """libavfilter's bwdif: one picture for one, only those that are interlaced."""

    def __init__(self, source: Any, threads: int) -> None:
        """Args:
        source: the film's stream.
        threads: for the filter.
        """
        self._source, self._threads = source, threads
        self._graph: Any = None
        self._shape: Shape | None = None

    def take(self, frame: Any) -> Iterator[Any]:
        """One more picture; those that now know both their neighbours."""
        shape = shape_of(frame)
        if shape != self._shape:
            yield from self.finish()
            self._shape, self._graph = shape, self._build(frame)
        self._graph.vpush(frame)
        yield from self._pull()

    def finish(self) -> Iterator[Any]:
        """No more come."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._pull()
            self._graph = None

    def _build(self, frame: Any) -> Any:
        filters: Filters = [("buffer", describe_source(self._source.time_base, frame))]
        if _header_says_so(self._source):
            top = self._source.codec_context.field_order in TOP_FIRST
            filters.append(("setfield", "tff" if top else "bff"))
        filters.append(("bwdif", "mode=send_frame:deint=interlaced"))
        return build_graph(self._threads, filters)

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
