"""The frame grid, against libavfilter's own."""

from fractions import Fraction

import av
import av.filter
import pytest
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from m0_chunker.errors import ChunkerError
from m0_chunker.media.grid import OwnGrid, SteadyGrid

ZERO = Fraction(0)


def _run(grid, stamps: list[int], duration: int) -> list[tuple[int, int]]:
    shown = []
    for number, pts in enumerate(stamps):
        shown += [(tick, picture) for tick, _, picture in grid.take(pts, duration, number)]
    return shown + [(tick, picture) for tick, _, picture in grid.finish()]


def _run_filter(stamps: list[int], base: Fraction, rate: Fraction, duration: int) -> list:
    """The same by `fps`; a picture's number is in its time stamp's metadata, its luma."""
    graph = av.filter.Graph()
    nodes = [
        graph.add("buffer", f"width=16:height=16:pix_fmt=gray:time_base={base}:pixel_aspect=1/1"),
        graph.add("fps", f"fps={rate}:start_time=0"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    shown = []
    for number, pts in [*enumerate(stamps), (None, None)]:
        frame = None
        if pts is not None:
            frame = VideoFrame(16, 16, "gray")
            frame.planes[0].update(bytes([number]) * frame.planes[0].buffer_size)
            frame.pts, frame.time_base, frame.duration = pts, base, duration
        graph.vpush(frame)
        while True:
            try:
                out = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            shown.append((out.pts, bytes(out.planes[0])[0]))
    return shown


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=40),
    st.integers(-100, 300),
    st.sampled_from(
        [Fraction(10), Fraction(30000, 1001), Fraction(25, 2), Fraction(60), Fraction(1)]
    ),
)
def test_is_that_of_the_fps_filter(steps, first, rate):
    base, duration = Fraction(1, 1000), 33
    stamps = [first]
    for step in steps:
        stamps.append(stamps[-1] + step)
    assert _run(SteadyGrid(rate, base, ZERO, ZERO), stamps, duration) == _run_filter(
        stamps, base, rate, duration
    )


@given(st.lists(st.integers(1, 400), min_size=5, max_size=40), st.integers(0, 40))
def test_begun_late_is_the_same_from_there(steps, tick):
    stamps = [sum(steps[:n]) for n in range(len(steps))]
    base, rate = Fraction(1, 1000), Fraction(12)
    whole = _run(SteadyGrid(rate, base, ZERO, ZERO), stamps, 33)
    late = _run(SteadyGrid(rate, base, ZERO, tick / rate), stamps, 33)
    assert late == [shown for shown in whole if shown[0] >= tick]


@pytest.mark.parametrize(
    ("time", "tick"),
    [
        pytest.param(Fraction(2), 20, id="on the grid"),
        pytest.param(Fraction(21, 10), 21, id="on the grid, no whole second"),
        pytest.param(Fraction(201, 100), 21, id="after it"),
    ],
)
def test_a_key_frame_is_the_first_at_or_after(time, tick):
    assert SteadyGrid(Fraction(10), Fraction(1, 1000), ZERO, ZERO).key_tick(time) == tick


def test_own_time_stamps_are_kept_and_begin_with_the_film():
    grid = OwnGrid(Fraction(1, 1000), Fraction(7, 1000), ZERO)
    shown = _run(grid, [7, 40, 73, 200], 33)
    assert [tick * grid.base for tick, _ in shown] == [Fraction(n, 1000) for n in (0, 33, 66, 193)]


def test_a_start_between_coarse_ticks_keeps_the_offset():
    grid = OwnGrid(Fraction(1, 25), Fraction(13, 1000), ZERO)
    ((tick, _),) = _run(grid, [1], 1)
    assert abs(tick * grid.base - Fraction(27, 1000)) < Fraction(1, 10_000)


def test_half_a_tick_before_a_boundary_is_at_it():
    grid = OwnGrid(Fraction(1, 1000), ZERO, ZERO)
    tick = grid.key_tick(Fraction(20_020, 1001) / 6)  # 3.33366…, which 1 ms can't say
    assert tick * grid.base <= Fraction(3333, 1000)


def test_pictures_in_the_past_are_kept_in_order():
    grid = OwnGrid(Fraction(1, 30), ZERO, ZERO)
    ticks = [tick for tick, _ in _run(grid, [0, 1, 1, 0, 5], 1)]
    assert ticks == sorted(set(ticks))
    assert len(ticks) == 5


@pytest.mark.parametrize("kind", ["steady", "own"])
def test_an_absurd_gap_is_refused(kind):
    base = Fraction(1, 1000)
    grid = OwnGrid(base, ZERO, ZERO)
    if kind == "steady":
        grid = SteadyGrid(Fraction(30), base, ZERO, ZERO)
    list(grid.take(0, 33, 0))
    with pytest.raises(ChunkerError, match="jump"):
        list(grid.take(10**12, 33, 1))
