"""Turns, scales and converts pictures for the encoder, with libavfilter."""

from fractions import Fraction
from typing import Any

import av
import av.filter
from av.sidedata.sidedata import Type

from m0_chunker.media.colour import Colours, build_colours
from m0_chunker.media.display import (
    Matrix,
    Target,
    build_turns,
    compute_target,
    parse_matrix,
    swaps_sides,
)
from m0_chunker.media.encoder import Encoding

Filters = list[tuple[str, str | None]]

Shape = tuple[int, int, str, int]
"""What a filter graph is made for: width, height, pixel format, transfer of the light."""


def shape_of(frame: Any) -> Shape:
    """See `Shape`."""
    return frame.width, frame.height, frame.format.name, frame.color_trc


def describe_source(time_base: Fraction, frame: Any) -> str:
    """Arguments of the `buffer` filter for pictures like `frame`."""
    return (
        f"width={frame.width}:height={frame.height}:pix_fmt={frame.format.name}:"
        f"time_base={time_base}:pixel_aspect=1/1"
    )


def build_graph(threads: int, filters: Filters) -> Any:
    """A chain that begins with a `buffer`."""
    graph = av.filter.Graph()
    graph.threads = threads
    nodes = [graph.add(name, arguments) for name, arguments in filters]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


class Painter:
    """For pictures of one shape.

    Attributes:
        target: what they become.
        colours: likewise.
        notes: plain sentences about what is done otherwise than asked.
    """

    def __init__(self, source: Any, frame: Any, encoding: Encoding, before: Target | None) -> None:
        """Args:
        source: the film's stream.
        frame: the first picture of this shape.
        encoding: how to encode.
        before: what pictures of other shapes became: these must become the same.
        """
        matrix = _matrix_of(frame)
        aspect = Fraction(source.sample_aspect_ratio or 1)
        own = compute_target(frame.width, frame.height, aspect, matrix, encoding.wanted)
        self.target = before or own
        self.colours = build_colours(frame, self.target.height)
        self.notes = [*own.notes, *self.colours.notes]
        filters = _build_filters(frame, matrix, own, self.target, self.colours)
        self._graph = None
        if filters:
            arguments = describe_source(source.time_base, frame) + self.colours.source_arguments
            self._graph = build_graph(encoding.threads, [("buffer", arguments), *filters])

    def paint(self, frame: Any) -> Any:
        """The picture as the encoder takes it."""
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
) -> Filters:
    """What is between decoder and encoder; nothing for a picture that is right as it is."""
    filters: Filters = [*build_turns(matrix)]
    size = f"{target.width}:{target.height}"
    if own.scaled or (own.width, own.height) != (target.width, target.height):
        filters.append(("scale", size + colours.scale_arguments))
        if colours.is_dear:
            # Tone mapping costs by the pixel: scale first, in the film's own format.
            filters[-1:] = [("scale", size), ("format", frame.format.name)]
            filters.append(("scale", colours.scale_arguments.removeprefix(":")))
    else:
        shown = (frame.height, frame.width) if swaps_sides(matrix) else (frame.width, frame.height)
        if shown != (target.width, target.height):
            filters.append(("crop", f"{size}:0:0:exact=1"))
        if colours.scale_arguments or frame.format.name != "yuv420p":
            filters.append(("scale", colours.scale_arguments.removeprefix(":") or None))
    if filters:
        filters.append(("format", "yuv420p"))
    return filters
