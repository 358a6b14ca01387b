"""Transcoded sound: continuous across chunks, and where the source has it."""

from fractions import Fraction

import pytest
from transcodes import Odd, find_delay, make_odd, transcode

F = Fraction
MILLISECOND = 0.001


def test_chunks_together_are_the_uncut_transcode_sample_by_sample(tmp_path):
    film = make_odd(tmp_path / "film.mp4", Odd(sound=[(F(0), F(3))]))
    run = transcode(film, every=1, fps=10)
    whole = run.sound()
    times = [packet.pts for packet in run.of(1)]
    assert times == list(range(-1024, times[-1] + 1, 1024))
    cut = {}
    for start in range(3):
        # A decoder's first packet after a cut lacks what it overlaps with; then it is exact.
        piece = run.sound(start=F(start) if start else None, end=F(start + 1))
        first = min(piece)
        cut |= {n: v for n, v in piece.items() if not start or n >= first + 1024}
    assert len(cut) == len(whole) - 2 * 1024
    # Not to the bit: for what only sounds like noise a decoder makes up its own.
    power = sum((whole[n] - value) ** 2 for n, value in cut.items()) / len(cut)
    assert power < 0.003**2


@pytest.mark.parametrize(
    ("stretches", "container"),
    [
        pytest.param([(F(0), F(3))], "mp4", id="from the start"),
        pytest.param([(F(71, 100), F(3))], "mov", id="late"),
        pytest.param([(F(71, 100), F(3))], "mkv", id="late, coarse clock"),
        pytest.param([(F(0), F(1)), (F(13, 10), F(3))], "mkv", id="a gap"),
        pytest.param([(F(0), F(1)), (F(102, 100), F(3))], "mkv", id="a gap of a packet"),
        pytest.param([(F(0), F(1)), (F(1005, 1000), F(3))], "mkv", id="a gap of 5 ms"),
        pytest.param([(F(0), F(11, 10)), (F(105, 100), F(3))], "mkv", id="an overlap"),
    ],
)
def test_sound_is_where_the_source_has_it(tmp_path, stretches, container):
    film = make_odd(
        tmp_path / f"film.{container}",
        Odd(sound=stretches, sound_codec="pcm_s16le")
        if container != "mp4"
        else Odd(sound=stretches),
    )
    run = transcode(film, fps=10)
    samples = run.sound()
    for at in (0.3, 0.72, 0.9, 1.5, 2.2, 2.8):
        if any(start <= at and at + 0.04 <= end for start, end in stretches):
            assert abs(find_delay(samples, at)) <= MILLISECOND, at


def test_silence_is_where_the_source_has_none(tmp_path):
    film = make_odd(tmp_path / "film.mkv", Odd(sound=[(F(0), F(1)), (F(3, 2), F(3))]))
    samples = transcode(film, fps=10).sound()
    assert max(abs(samples[n]) for n in range(round(1.1 * 48_000), round(1.4 * 48_000))) < 0.01


def test_a_long_gap_is_left_out(tmp_path):
    film = make_odd(
        tmp_path / "film.mkv",
        Odd([0, 30 * 15, 30 * 20], sound=[(F(0), F(1)), (F(15), F(16))]),
    )
    run = transcode(film, every=10, fps=1)
    times = [packet.pts for packet in run.of(1)]
    assert all(time % 1024 == 0 for time in times)
    assert len(times) < 2.2 * 48_000 / 1024
    assert abs(find_delay(run.sound(), 15.5)) <= MILLISECOND


@pytest.mark.parametrize("first", [0, 45])
def test_a_start_that_is_not_zero_keeps_the_offset(tmp_path, first):
    """Pictures begin 1.5 s after the sound, or with it, all of it at 10 s."""
    film = make_odd(
        tmp_path / "film.ts",
        Odd(range(300 + first, 390), sound=[(F(10), F(13))], sound_codec="aac"),
    )
    run = transcode(film, fps=30)
    start = run.feed._film.start
    assert start > 9
    samples = {n + round(start * 48_000): value for n, value in run.sound().items()}
    assert max(abs(find_delay(samples, at)) for at in (10.5, 12, 12.5)) <= MILLISECOND
    first = run.times[0] + start if first == 0 else start
    assert abs(first - start) < F(1, 30)


@pytest.mark.parametrize(
    ("layout", "channels", "said"),
    [
        ("mono", 1, False),
        ("stereo", 2, False),
        ("5.1", 6, False),
        ("7.1", 8, False),
        ("3.0", 2, True),
    ],
)
def test_channels(tmp_path, layout, channels, said):
    film = make_odd(
        tmp_path / "film.mkv",
        Odd(range(30), sound=[(F(0), F(1))], layout=layout),
    )
    run = transcode(film, fps=10)
    assert run.streams[1].codec_context.layout.nb_channels == channels
    assert any("mixed down" in note for note in run.feed.notes) is said


def test_a_rate_that_aac_does_not_know(tmp_path):
    film = make_odd(tmp_path / "film.mkv", Odd(range(60), sound=[(F(0), F(2))], rate=20_000))
    run = transcode(film, fps=10)
    assert run.streams[1].codec_context.sample_rate == 48_000
    assert abs(find_delay(run.sound(), 1.5)) <= MILLISECOND
    assert any("resampled" in note for note in run.feed.notes)


def test_sound_that_changes_in_the_middle(tmp_path):
    plain = {"bf": "0"}  # or the muxer would move each part by its own delay
    first = Odd(range(30, 90), options=plain, sound=[(F(1), F(3))], sound_codec="mp2")
    second = Odd(
        range(90, 150),
        options=plain,
        sound=[(F(3), F(5))],
        sound_codec="mp2",
        rate=44_100,
        layout="stereo",
    )
    film = tmp_path / "film.ts"
    film.write_bytes(
        b"".join(
            make_odd(tmp_path / name, odd).read_bytes()
            for name, odd in [("a.ts", first), ("b.ts", second)]
        )
    )
    run = transcode(film, fps=10)
    rate = run.streams[1].codec_context.sample_rate
    samples = {n + round(run.feed._film.start * rate): v for n, v in run.sound().items()}
    for at in (1.5, 2.5, 3.5, 4.5):
        assert abs(find_delay(samples, at, rate)) <= MILLISECOND, at
