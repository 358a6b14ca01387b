"""`overlap`: each chunk goes on to the first key frame so long after the next one's start."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
import splices
from cutting import Cut, cut_film
from demuxed import Track, film_start, read_film, reference_of

FILM = {"seconds": 9.4, "fps": 15, "gop_seconds": 0.4}
TINY = Fraction(1, 2000)


def case(name: str, sentence: str, duration: float, overlap: float, **features):
    return pytest.param(name, features, duration, overlap, id=sentence)


CASES = [
    case("short.mp4", "a key frame soon after", 2, 0.3),
    case("short.mp4", "on a key frame", 2, 0.4),
    case("short.mp4", "half of a chunk", 2, 1.0),
    case("short.mp4", "nearly the whole next chunk", 2, 1.9),
    case("long.mp4", "ends where another chunk begins", 1, 0.5, gop_seconds=1),
    case(
        "longer.mp4", "reaches over the next chunk", 4, 3.0, key_frames=(0, 88, 120, 125, 134, 137)
    ),
    case("tail.mp4", "a tail that joins", 2, 0.5, seconds=8.8),
    case("tail.mp4", "a tail that joins and goes on after the overlap", 2, 0.3, seconds=8.8),
    case("one.mp4", "one chunk only", 30, 5.0),
    case("vfr.mp4", "a varying rate", 2, 0.7, vfr=True),
    case("open.mp4", "open GOPs", 2, 0.7, open_gop=True),
    case("late.mp4", "late sound", 2, 0.7, audio_delay_s=2.5),
    case("silent.mp4", "pictures only", 2, 0.7, audio_codec=None),
    case("sound.m4a", "sound only", 2, 0.7, video_codec=None),
    case("film.mkv", "MKV", 2, 0.7, audio_tracks=2),
    case("film.ts", "MPEG-TS", 2, 0.7),
]


def boundaries(tracks: list[Track], duration: float, overlap: float) -> list[tuple[Fraction, ...]]:
    """(start, end) of each chunk, from the rules alone."""
    zero, reference = film_start(tracks), reference_of(tracks)
    keys = sorted(packet.pts - zero for packet in reference.packets if packet.key)
    length, end = Fraction(str(duration)), reference.end - zero
    longest = max(track.end for track in tracks) - zero
    end = longest if longest > end + 1 else end
    starts = [Fraction(0)]
    for key in keys:
        step = max(
            -(-(starts[-1] - TINY + length / 2) // length), (starts[-1] + TINY) // length + 1
        )
        if key + TINY >= step * length and end - key >= length / 2 - TINY:
            starts.append(key)
    ends = [
        next((key for key in keys if key >= start + Fraction(str(overlap)) - TINY), end)
        for start in starts[1:]
    ]
    return list(zip(starts, [*ends, end], strict=True))


def check(cut: Cut, tracks: list[Track], wanted: list[tuple[Fraction, ...]]) -> None:
    zero, reference = film_start(tracks), tracks.index(reference_of(tracks))
    told = [(message["start_time"], message["end_time"]) for message in cut.messages]
    assert told == [pytest.approx(tuple(map(float, pair)), abs=0.002) for pair in wanted]
    total = 0
    for message, (start, end) in zip(cut.messages, wanted, strict=True):
        path = Path(message["cloud_stream_path"].removeprefix("file://"))
        chunk = read_film(path)
        total += sum(len(track.packets) for track in chunk)
        is_first, is_last = start == 0, end == wanted[-1][1]
        spans = []
        for number, track in enumerate(tracks):
            times = [packet.pts - zero for packet in track.packets]
            if number == reference and track.kind == "video":  # in decoding order
                first = 0 if is_first else times.index(start)
                after = len(times) if is_last else times.index(end)
                inside = track.packets[first:after]
            else:
                inside = [
                    packet
                    for packet, time in zip(track.packets, times, strict=True)
                    if (is_first or time >= start - TINY / 50)
                    and (is_last or time < end - TINY / 50)
                ]
            if inside:
                spans.append([(packet.digest, packet.key) for packet in inside])
        got = [[(packet.digest, packet.key) for packet in track.packets] for track in chunk]
        assert got == spans
    assert cut.facts["packets_out"] == sum(len(track.packets) for track in tracks)
    assert cut.facts.get("repeated", 0) == total - cut.facts["packets_out"]


@pytest.mark.parametrize(("name", "features", "duration", "overlap"), CASES)
def test_each_chunk_goes_on_to_a_key_frame(make_film, tmp_path, name, features, duration, overlap):
    film = make_film(f"overlap-{name}", **(FILM | features))
    tracks = read_film(film)
    wanted = boundaries(tracks, duration, overlap)
    tables = []
    ways = [True, False] if film.suffix in {".mp4", ".m4a"} else [True]
    for by_packets in ways:
        cut = cut_film(
            film, tmp_path / f"{by_packets}", duration, by_packets=by_packets, overlap=overlap
        )
        assert cut.method == ("packets" if by_packets else "index")
        check(cut, tracks, wanted)
        heads = [body[: body.index(b"mdat")] for body in cut.bodies]
        found = [head[head.index(b"stss") :] for head in heads if b"stss" in head]
        keys = [table[: 12 + 4 * int.from_bytes(table[8:12], "big")] for table in found]
        tables.append(keys)
    assert tables[0] == tables[-1], "key frames by index and by packets"


def test_chunks_do_not_wait_for_the_films_end(make_film, tmp_path):
    """One whose overlap ends where another begins is as soon done as any."""
    film = make_film("overlap-long.mp4", **(FILM | {"gop_seconds": 1}))
    cut = cut_film(film, tmp_path / "out", 1, by_packets=True, overlap=0.5, stop_after=2)
    assert [message["end_time"] for message in cut.messages] == [2, 3]


@pytest.mark.parametrize("fps", [10, 29.97], ids=["on the grid", "beside the grid"])
@pytest.mark.parametrize("overlap", [0.3, 0.9])
def test_transcoded_chunks_overlap(make_film, tmp_path, fps, overlap):
    film = make_film("overlap-short.mp4", **FILM)
    cut = cut_film(film, tmp_path / "out", 2, fps=fps, overlap=overlap)
    assert cut.mode == "transcode"
    assert len(cut.messages) == 5
    shown = [
        splices.show(Path(message["cloud_stream_path"].removeprefix("file://")))
        for message in cut.messages
    ]
    for number, (message, after) in enumerate(pairwise(cut.messages)):
        assert 0 <= after["start_time"] - 2 * (number + 1) < 1 / fps
        assert -1e-6 < message["end_time"] - after["start_time"] - overlap < 1 / fps
        assert len(shown[number].times) == round(
            (message["end_time"] - message["start_time"]) * fps
        )
        assert shown[number].errors == 0
    total = sum(len(read) for each in shown for read in [each.times])
    pictures = cut.facts["streams"][0]["out"]
    assert total - pictures > 4 * overlap * fps - 4
    assert cut.facts["repeated"] >= total - pictures
