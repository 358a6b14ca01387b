"""A run taken up at a boundary gives what the uninterrupted one gave from there on."""

from fractions import Fraction

import pytest
from transcodes import Odd, Transcoded, make_odd, read_number, transcode

F = Fraction
SOUND = [(F(0), F(6))]
OPEN_GOP = {"x264-params": "open-gop=1:keyint=20:min-keyint=20:scenecut=0", "bf": "2", "g": "20"}
CLOSED = {"g": "20", "keyint_min": "20"}
JUMPY = [n * 33 + (7 * n % 5) * 3 + (400 if n > 80 else 0) for n in range(160)]

FILMS = {
    "B-frames, mp4": ("mp4", Odd(range(180), options=CLOSED, sound=SOUND)),
    "open GOP, mkv": ("mkv", Odd(range(180), options=OPEN_GOP, sound=SOUND)),
    "open GOP, ts": (
        "ts",
        Odd(range(180), options=OPEN_GOP, sound=SOUND, sound_codec="aac"),
    ),
    "variable rate, mp4": ("mp4", Odd(JUMPY, F(1, 1000), options=CLOSED, sound=SOUND)),
    "variable rate, mkv": ("mkv", Odd(JUMPY, F(1, 1000), options=OPEN_GOP, sound=SOUND)),
    "one key frame": ("mp4", Odd(range(180), sound=SOUND)),
    "fragmented": ("mp4", Odd(range(180), options=CLOSED, sound=SOUND)),
    "avi": ("avi", Odd(range(180), codec="mpeg4", options={"g": "20", "bf": "1"}, sound=SOUND)),
    "gradual refresh": (
        "mkv",
        Odd(
            range(180), options={"x264-params": "intra-refresh=1:keyint=70", "g": "70"}, sound=SOUND
        ),
    ),
}


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize(
    "wanted", [{"fps": 10}, {"width": 80}, {"fps": 50}], ids=["slower", "own rate", "faster"]
)
def test_pictures_and_times_are_those_of_one_run(tmp_path, name, wanted):
    suffix, odd = FILMS[name]
    film = make_odd(tmp_path / f"film.{suffix}", odd)
    whole = transcode(film, every=1, **wanted)
    boundaries = [time for time in whole.keys if any(0 <= time - k < F(1, 2) for k in range(9))]
    for at in (boundaries[1], boundaries[-2], boundaries[-1]):
        rest = transcode(film, every=1, resume_at=at, **wanted)
        assert rest.keys[0] == at
        assert rest.times == [time for time in whole.times if time >= at]
        assert set(rest.keys) >= {key for key in boundaries if key >= at}
        shown = {frame.pts: read_number(frame) for frame in whole.pictures()}
        again = {frame.pts: read_number(frame) for frame in rest.pictures(at)}
        assert again.items() <= shown.items()
        assert [p.pts for p in rest.of(1)] == [
            p.pts for p in whole.of(1) if p.pts * p.time_base >= at
        ]


@pytest.mark.parametrize("at", [F(3), F(8, 5)], ids=["in a packet", "between packets"])
def test_sound_goes_on_across_the_boundary(tmp_path, at):
    film = make_odd(tmp_path / "film.mp4", Odd(range(180), options=CLOSED, sound=SOUND))
    whole = transcode(film, every=at, fps=10)
    rest = transcode(film, every=at, fps=10, resume_at=at)
    samples = whole.sound()
    before = [(n, p) for n, p in whole.packets if n and p.pts * p.time_base < at]
    joined = Transcoded(whole.feed, whole.streams, before + rest.packets).sound()
    assert joined.keys() == samples.keys()
    around = range(round(at * 48_000) - 1000, round(at * 48_000) + 4000)
    power = sum((joined[n] - samples[n]) ** 2 for n in around) / len(around)
    assert power < 0.01**2


def test_what_lies_before_is_not_decoded(tmp_path, monkeypatch):
    from m0_chunker.media import transcode as module  # noqa: PLC0415

    counts = []
    decode = module.TranscodeFeed._decode

    def count(self, number, packet):
        counts[-1] += 1
        return decode(self, number, packet)

    monkeypatch.setattr(module.TranscodeFeed, "_decode", count)
    for suffix in ("mp4", "mkv"):
        film = make_odd(tmp_path / f"film.{suffix}", Odd(range(180), options=CLOSED))
        counts.append(0)
        transcode(film, fps=10, resume_at=F(5))
        assert counts[-1] < 30 * 3 + 25
