"""Where to cut, for any film."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from m0_chunker.plan import CutPlan, plan_cuts

lengths = st.fractions(min_value=Fraction(1, 10), max_value=100, max_denominator=1000)
gaps = st.lists(
    st.fractions(min_value=Fraction(1, 60), max_value=60, max_denominator=600), max_size=80
)
tails = st.sampled_from([Fraction(1, 10), Fraction(1, 2), Fraction(9, 10)])


def film(gaps: list[Fraction], rest: Fraction) -> tuple[list[Fraction], Fraction]:
    times = [Fraction(0)]
    for gap in gaps:
        times.append(times[-1] + gap)
    return times, times[-1] + rest


@settings(deadline=None)
@given(duration=lengths, gaps=gaps, rest=lengths, tail=tails)
def test_chunks_tile_the_film_without_runts(duration, gaps, rest, tail):
    key_frames, end = film(gaps, rest)
    cuts = plan_cuts(CutPlan(duration, tail), key_frames, end)
    assert cuts[0] == 0
    assert cuts[-1] == end
    assert cuts == sorted(set(cuts))
    assert set(cuts[:-1]) <= set(key_frames)
    if len(cuts) > 2:
        assert min(b - a for a, b in pairwise(cuts)) >= duration * tail


@settings(deadline=None)
@given(duration=lengths, gaps=gaps, rest=lengths)
def test_each_boundary_is_the_first_key_frame_at_or_after_a_nominal_time(duration, gaps, rest):
    key_frames, end = film(gaps, rest)
    for cut in plan_cuts(CutPlan(duration), key_frames, end)[1:-1]:
        nominal = cut // duration * duration
        assert next(time for time in key_frames if time >= nominal) == cut


@settings(deadline=None)
@given(duration=lengths, gaps=gaps, rest=lengths, data=st.data())
def test_boundaries_are_the_same_when_reading_begins_at_any_of_them(duration, gaps, rest, data):
    key_frames, end = film(gaps, rest)
    plan = CutPlan(duration)
    cuts = plan_cuts(plan, key_frames, end)
    begin = data.draw(st.sampled_from(cuts[:-1]))
    again = [begin]
    for time in key_frames:
        if time > begin and plan.is_boundary(time, again[-1]) and plan.is_enough(time, end):
            again.append(time)
    assert [*again, end] == cuts[cuts.index(begin) :]


@settings(deadline=None, max_examples=40)
@given(duration=st.integers(1, 120), count=st.integers(1, 50), gop=st.sampled_from([1, 2, 3, 4, 5]))
def test_errors_never_add_up(duration, count, gop):
    key_frames = [Fraction(n * gop) for n in range(duration * count // gop + 1)]
    cuts = plan_cuts(CutPlan(Fraction(duration)), key_frames, Fraction(duration * count))
    if gop <= Fraction(duration, 2):
        assert all(0 <= cut - n * duration < gop for n, cut in enumerate(cuts[:-1]))


@pytest.mark.parametrize(
    ("key_frames", "end", "wanted"),
    [
        pytest.param([0, 2, 4, 6, 8], 10, [0, 4, 8, 10], id="tail of exactly half is kept"),
        pytest.param([0, 2, 4, 6, 8], 9.9, [0, 4, 9.9], id="shorter tail joins"),
        pytest.param([0], 100, [0, 100], id="one key frame only"),
        pytest.param([0, 7.9, 8.1, 12], 16, [0, 7.9, 12, 16], id="no runt after a long gop"),
        pytest.param([0], 1, [0, 1], id="shorter than a chunk"),
    ],
)
def test_by_example(key_frames, end, wanted):
    cuts = plan_cuts(
        CutPlan(Fraction(4)), [Fraction(str(k)) for k in key_frames], Fraction(str(end))
    )
    assert [float(cut) for cut in cuts] == wanted


def test_a_key_frame_half_a_tick_early_counts():
    early = Fraction(4) - Fraction(1, 180_000)
    plan = CutPlan(Fraction(4), tolerance=Fraction(1, 180_000))
    assert plan_cuts(plan, [Fraction(0), early], Fraction(8)) == [0, early, 8]


@settings(deadline=None, max_examples=60)
@given(duration=lengths, part=st.fractions(0, Fraction(99, 100), max_denominator=100))
def test_key_frames_are_wanted_at_boundaries_and_where_overlaps_end(duration, part):
    plan = CutPlan(duration, overlap=duration * part)
    wanted = [plan.wanted_key(number) for number in range(1, 41)]
    assert wanted == sorted(set(wanted))
    nominal = {step * duration for step in range(1, 41)}
    assert set(wanted) <= nominal | {time + plan.overlap for time in nominal}
    assert {step * duration for step in range(1, 21)} <= set(wanted)
    if part:
        assert {step * duration + plan.overlap for step in range(1, 20)} <= set(wanted)


@settings(deadline=None, max_examples=30)
@given(
    frames=st.fractions(8, 40, max_denominator=20),
    part=st.fractions(Fraction(1, 20), Fraction(17, 20), max_denominator=20),
    frame=st.sampled_from([Fraction(1, 25), Fraction(1001, 30_000)]),
    resume=st.integers(1, 8),
)
def test_an_encoders_key_frames_are_where_a_cutter_looks_for_them(frames, part, frame, resume):
    """Pictures come every `frame`, so a wanted time may lie between two; begun anywhere or not."""
    duration = frames * frame
    plan = CutPlan(duration, overlap=duration * part)
    pictures = [n * frame for n in range(int(duration * 9 / frame))]

    def keys(since: Fraction) -> list[Fraction]:
        number, following, found = 0, Fraction(-1), []
        for time in pictures:
            if time >= since and time >= following:
                found.append(time)
                while following <= time:
                    number += 1
                    following = plan.wanted_key(number, time)
        return found

    whole = keys(Fraction(0))
    starts = plan_cuts(plan, whole, pictures[-1] + frame)[1:-1]
    for step, start in enumerate(starts, 1):
        assert 0 <= start - step * duration < frame
        end = next((time for time in whole if time >= start + plan.overlap), None)
        assert end is None or end - start - plan.overlap < frame
    if resume <= len(starts):
        again = starts[resume - 1]
        assert keys(again) == [time for time in whole if time >= again]
