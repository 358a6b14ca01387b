"""Transcoded pictures: the right ones, at the right times, as viewers expect them."""

import struct
from fractions import Fraction
from itertools import pairwise

import pytest
from av.video.frame import VideoFrame
from m0_chunker.errors import ChunkerError
from m0_chunker.media import colour
from m0_chunker.media.source import Limits
from m0_chunker.media.wanted import describe_pictures
from transcodes import Odd, make_odd, read_number, transcode

SECOND = Fraction(1)
UNEVEN = [0, 33, 66, 120, 300, 333, 700, 733, 999, 1033, 1066, 1400, 1950, 2001, 2033, 2900, 2933]
"""Time stamps of a variable frame rate, milliseconds."""


def numbers(frames: list) -> list[int]:
    return [read_number(frame) for frame in frames]


def test_boundaries_are_exact_and_frames_constant(tmp_path):
    film = make_odd(tmp_path / "film.mp4", Odd(keys=frozenset({17, 31, 64})))
    run = transcode(film, every=1, fps=10, width=80, height=60)
    assert [time for time in run.keys if time.denominator == 1] == [0, 1, 2]
    assert run.times == [Fraction(n, 10) for n in range(30)]
    shown = [numbers(run.pictures(*cut)) for cut in pairwise([0 * SECOND, SECOND, 2 * SECOND])]
    assert shown == [list(range(1, 30, 3)), list(range(31, 60, 3))]
    assert {(frame.width, frame.height) for frame in run.pictures()} == {(80, 60)}
    assert {packet.duration * packet.time_base for packet in run.of()} == {Fraction(1, 10)}


def test_pictures_without_time_stamps_are_at_their_places(tmp_path):
    odd = Odd(range(60), codec="mpeg4", options={"bf": "2", "g": "20"})
    run = transcode(make_odd(tmp_path / "film.avi", odd), fps=30)
    # AVI counts packets: with B-frames its first picture is shown a picture late, as anywhere.
    assert numbers(run.pictures()) == [0, *range(60)]


def test_boundaries_between_pictures_are_the_next_picture(tmp_path):
    film = make_odd(tmp_path / "film.mp4", Odd())
    run = transcode(film, every=Fraction(7, 10), fps=12.5)
    grid = [Fraction(0), Fraction(72, 100), Fraction(144, 100), Fraction(216, 100)]
    assert set(grid) <= set(run.keys)
    assert len(run.times) == 37 or run.times[-1] < 3


def test_a_variable_rate_stays_when_only_a_size_is_asked(tmp_path):
    keys = frozenset({5})
    film = make_odd(tmp_path / "film.mp4", Odd(UNEVEN, Fraction(1, 1000), keys=keys))
    run = transcode(film, width=80)
    assert [round(time * 1000) for time in run.times] == UNEVEN
    assert [round(time * 1000) for time in run.keys] == [0, 1033, 2001]
    assert numbers(run.pictures()) == list(range(len(UNEVEN)))
    assert numbers(run.pictures(run.keys[1], run.keys[2])) == [9, 10, 11, 12]


def test_a_variable_rate_made_constant_shows_the_newest_picture(tmp_path):
    film = make_odd(tmp_path / "film.mkv", Odd(UNEVEN, Fraction(1, 1000)))
    run = transcode(film, fps=10)
    newest = [
        max(n for n, pts in enumerate(UNEVEN) if (pts + 50) // 100 <= tick) for tick in range(30)
    ]
    assert numbers(run.pictures()) == newest


@pytest.mark.parametrize(
    ("degrees", "flip", "size", "place"),
    [
        pytest.param(90, False, (120, 160), lambda x, y: (y, 1 - x), id="a quarter back"),
        pytest.param(-90, False, (120, 160), lambda x, y: (1 - y, x), id="a quarter"),
        pytest.param(180, False, (160, 120), lambda x, y: (1 - x, 1 - y), id="half"),
        pytest.param(0, True, (160, 120), lambda x, y: (1 - x, y), id="mirrored"),
    ],
)
def test_turned_films_are_shown_upright(tmp_path, degrees, flip, size, place):
    film = make_odd(
        tmp_path / "film.mp4",
        Odd(range(20), setup=lambda s: s.set_display_rotation(degrees, hflip=flip)),
    )
    run = transcode(film, fps=30)
    frames = run.pictures()
    assert {(frame.width, frame.height) for frame in frames} == {size}
    assert [read_number(frame, place) for frame in frames] == list(range(20))


def test_a_turned_film_is_known_before_decoding(tmp_path):
    import av  # noqa: PLC0415

    film = make_odd(
        tmp_path / "film.mp4", Odd(range(2), setup=lambda s: s.set_display_rotation(90))
    )
    plain = make_odd(tmp_path / "plain.mp4", Odd(range(2)))
    with av.open(str(film)) as turned, av.open(str(plain)) as straight:
        assert describe_pictures(turned.streams.video[0]).turned
        assert not describe_pictures(straight.streams.video[0]).turned


def test_pixels_that_are_not_square_keep_the_aspect(tmp_path):
    def setup(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    film = make_odd(tmp_path / "film.mp4", Odd(range(10), setup=setup))
    kept = transcode(film, fps=10).streams[0].codec_context
    assert kept.sample_aspect_ratio == Fraction(4, 3)
    both = transcode(film, width=80, height=80).streams[0].codec_context
    assert (both.width, both.height) == (80, 80)
    assert both.sample_aspect_ratio == Fraction(16, 9)
    one = transcode(film, height=90).streams[0].codec_context
    assert (one.width, one.height, one.sample_aspect_ratio) == (160, 90, 1)


def _draw_comb(frame: VideoFrame) -> None:
    """Lines that alternate, as a moving edge does in a picture of two fields."""
    luma = frame.planes[0]
    stride = luma.line_size
    data = bytearray(bytes(luma))
    for row in range(40, 120):
        value = 0xD0 if (row + frame.pts) % 2 else 0x30  # moves, or it were a picture's texture
        data[row * stride + 40 : row * stride + 120] = bytes([value]) * 80
    luma.update(bytes(data))


@pytest.mark.parametrize("interlaced", [True, False])
def test_only_interlaced_films_are_deinterlaced(tmp_path, interlaced):
    options = {"x264-params": "tff=1"} if interlaced else {}
    flags = {"flags": "+ildct+ilme"} if interlaced else {}
    film = make_odd(tmp_path / "film.mp4", Odd(range(30), look=_draw_comb, options=options | flags))
    run = transcode(film, width=160, height=120, fps=30)
    frames = run.pictures()
    assert numbers(frames) == list(range(30))
    luma = frames[15].planes[0]
    column = bytes(luma)[80 + 60 * luma.line_size : 80 + 100 * luma.line_size : luma.line_size]
    comb = sum(abs(a - b) for a, b in pairwise(column)) / len(column)
    assert (comb < 40) is interlaced
    assert bool([note for note in run.feed.notes if "deinterlaced" in note]) is interlaced


def test_hdr_becomes_sdr(tmp_path, monkeypatch):
    assert colour.INTENT == "perceptual"
    monkeypatch.setattr(colour, "INTENT", "saturation")  # its table takes 0.1 s, not 5
    transfer, peak = 16, 218

    def setup(stream):
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9
        context.color_range = 1

    def look(frame):
        """A ramp from black to white in the lower half."""
        luma = frame.planes[0]
        row = b"".join(struct.pack("<H", 64 + 876 * x // 159) for x in range(160))
        data = bytearray(bytes(luma))
        for y in range(60, 120):
            data[y * luma.line_size : y * luma.line_size + 320] = row
        luma.update(bytes(data))
        frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
        frame.color_range = 1

    film = make_odd(
        tmp_path / "film.mp4",
        Odd(range(6), pixels="yuv420p10le", codec="libx264", setup=setup, look=look),
    )
    run = transcode(film, fps=30)
    frame = run.pictures()[3]
    assert (frame.format.name, frame.color_trc, frame.color_primaries, frame.colorspace) == (
        "yuv420p",
        1,
        1,
        1,
    )
    luma = frame.planes[0]
    row = bytes(luma)[90 * luma.line_size :][:160]
    assert abs(row[157] - peak) < 12
    assert row[20] < row[60] < row[90] < row[120] < row[150]  # nothing is clipped
    assert any("HDR" in note for note in run.feed.notes)


def test_full_range_becomes_limited(tmp_path):
    def setup(stream):
        stream.codec_context.color_range = 2

    def look(frame):
        frame.color_range = 2
        luma = frame.planes[0]
        luma.update(bytes(luma)[: luma.line_size * 60] + b"\xff" * (luma.line_size * 60))

    film = make_odd(tmp_path / "film.mp4", Odd(range(6), pixels="yuvj420p", setup=setup, look=look))
    run = transcode(film, fps=30)
    frame = run.pictures()[3]
    assert frame.format.name == "yuv420p"
    assert frame.color_range in {0, 1}  # unmarked means limited, too
    assert abs(bytes(frame.planes[0])[frame.planes[0].line_size * 90 + 50] - 235) < 3


def test_colour_tags_are_carried(tmp_path):
    def setup(stream):
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = 6, 5, 5
        context.color_range = 1

    film = make_odd(tmp_path / "film.mp4", Odd(range(6), setup=setup))
    frame = transcode(film, width=80).pictures()[0]
    assert (frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range) == (
        6,
        5,
        5,
        1,
    )


def test_an_odd_size_is_cut_and_said(tmp_path):
    film = make_odd(tmp_path / "film.mkv", Odd(range(10), width=161, height=121, codec="ffv1"))
    run = transcode(film, fps=30)
    frames = run.pictures()
    assert {(frame.width, frame.height) for frame in frames} == {(160, 120)}
    assert numbers(frames) == list(range(10))
    assert any("161 x 121 was cut to 160 x 120" in note for note in run.feed.notes)


def test_an_odd_size_asked_becomes_even_and_is_said(tmp_path):
    run = transcode(make_odd(tmp_path / "film.mp4", Odd(range(3))), width=81, height=61)
    assert {(frame.width, frame.height) for frame in run.pictures()} == {(80, 60)}
    assert any("80 x 60 instead of 81 x 61" in note for note in run.feed.notes)


def test_a_size_that_changes_in_the_middle_keeps_time(tmp_path):
    parts = [
        make_odd(tmp_path / "a.ts", Odd(range(30), options={"bf": "0"})),
        make_odd(tmp_path / "b.ts", Odd(range(30, 60), width=320, height=240, options={"bf": "0"})),
    ]
    film = tmp_path / "film.ts"
    film.write_bytes(b"".join(part.read_bytes() for part in parts))
    run = transcode(film, fps=30)
    frames = run.pictures()
    assert {(frame.width, frame.height) for frame in frames} == {(160, 120)}
    assert run.times == [Fraction(n, 30) for n in range(60)]
    assert numbers(frames[:30]) == list(range(30))


def test_same_bytes_every_time(tmp_path):
    film = make_odd(tmp_path / "film.mp4", Odd(sound=[(Fraction(0), Fraction(3))]))
    runs = [
        [bytes(packet) for _, packet in transcode(film, threads=2, fps=10, width=80).packets]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_a_picture_bomb_in_the_middle_is_refused(tmp_path):
    parts = [
        make_odd(tmp_path / "a.ts", Odd(range(30))),
        make_odd(tmp_path / "b.ts", Odd(range(30, 60), width=320, height=240)),
    ]
    film = tmp_path / "film.ts"
    film.write_bytes(b"".join(part.read_bytes() for part in parts))
    run = transcode(film, limits=Limits(pixels=200 * 200), fps=30)
    assert run.feed.bad_packets > 20
    assert numbers(run.pictures())[:30] == list(range(30))


def _damage(film, share: float):
    """Zero the payload of that share of pictures, the first one excepted."""
    import av  # noqa: PLC0415

    data = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    for number, packet in enumerate(packets):
        if number and number % round(1 / share) == 0:
            data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    film.write_bytes(bytes(data))


def test_damaged_pictures_are_skipped_and_counted(tmp_path):
    film = make_odd(tmp_path / "film.mp4", Odd(range(90)))
    _damage(film, 1 / 10)
    run = transcode(film, fps=30)
    assert run.feed.bad_packets == 8
    assert len(run.times) == 90


def test_too_much_damage_is_an_error(tmp_path):
    film = make_odd(tmp_path / "film.mp4", Odd(range(300)))
    _damage(film, 1)
    with pytest.raises(ChunkerError, match="could not be decoded"):
        transcode(film, fps=30)
