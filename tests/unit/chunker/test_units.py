"""Transport streams read by us, held against libav's packets: the same chunks."""

import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import hostile
import pytest
import transport
from corpus import CODECS, CONTAINERS, FILM, TIMES, TRACKS, case
from cutting import check_both_ways, check_read_once, check_resumed, cut_film
from m0_chunker.media import source
from m0_chunker.media.direct import OddError
from m0_chunker.media.ts import feed as module
from m0_chunker.media.ts import native
from m0_chunker.media.ts import reader as reading
from transport import NULL_PID, Pes, rewrite

TRANSPORTS = [
    param
    for param in [*CONTAINERS, *CODECS, *TIMES, *TRACKS]
    if param.values[0].endswith(".ts") and param.values[0] != "wrap.ts"
] + [
    case("openhevc.ts", "HEVC, open GOPs", video_codec="libx265", open_gop=True),
    case("nob.ts", "no B-frames", bframes=0),
    case("sound.ts", "sound only", video_codec=None),
    case(
        "cd.ts",
        "sound of 44.1 kHz, 29.97 pictures a second",
        audio_rate=44_100,
        fps=Fraction(30_000, 1001),
    ),
    case("voice.ts", "sound of 11.025 kHz", audio_rate=11_025),
    case("large.ts", "pictures of 300 kB", width=1920, height=1080, encoder=(("crf", "1"),)),
    case("slices.ts", "eight slices a picture", encoder=(("slices", "8"),)),
    case("refresh.ts", "recovery points, no IDR", encoder=(("x264-params", "intra-refresh=1"),)),
    case("each.ts", "a frame of sound a packet", options=(("pes_payload_size", "0"),)),
]
GENERAL = {
    "mpeg2.ts": "other pictures",
    "mp3.ts": "other sound",
    "ac3.ts": "other sound",
    "one.ts": "no second key frame is seen",
    "gap.ts": "none before the gap",
}
"""Those that are left to libav, and why."""


@pytest.fixture(autouse=True, params=[1000, reading.READ_BYTES], ids=["in small reads", "in large"])
def read_bytes(request, monkeypatch):
    monkeypatch.setattr(reading, "READ_BYTES", request.param)
    monkeypatch.setattr(source, "BUFFER_BYTES", request.param)
    return request.param


@pytest.fixture
def fallen(monkeypatch):
    """What libav took over from the reader, by the reasons."""
    reasons: list[str] = []
    take_over = module.UnitFeed._by_libav

    def noted(self: Any, *given: Any) -> Any:
        reasons.append("")
        return take_over(self, *given)

    monkeypatch.setattr(module.UnitFeed, "_by_libav", noted)
    return reasons


@pytest.mark.parametrize(("name", "features", "duration"), TRANSPORTS)
def test_by_units_as_by_packets(make_film, tmp_path, fallen, name, features, duration):
    film = make_film(name, **(FILM | features))
    for length in (duration / 4, duration, duration * 2):
        for overlap in (0.0, 0.3):
            way = check_both_ways(film, tmp_path, length, overlap=overlap)
            assert way == ("packets" if name in GENERAL else "units")
            assert not fallen


@pytest.mark.parametrize("before_s", [3, 65])
def test_a_clock_that_wraps_is_libavs(make_film, tmp_path, fallen, before_s):
    """Up to a minute before it wraps, libav says times before zero; earlier, it adds to later."""
    options = (("output_ts_offset", f"{2**33 / 90_000 - before_s:.3f}"),)
    film = make_film("wrap.ts", seconds=70.0, fps=2, options=options)
    assert check_both_ways(film, tmp_path, 10) == ("units" if before_s > 60 else "packets")
    assert bool(fallen) == (before_s > 60)


def each_video(change: Callable[[int, Pes], list[Pes]]):
    """Change the PES packets with pictures."""
    return lambda number, pes: change(number, pes) if pes.is_video else [pes]


def one_video(number: int, change: Callable[[Pes], Pes]):
    """Change one of them."""
    return each_video(lambda at, pes: [change(pes) if at == number else pes])


def units(payload: bytes) -> list[bytes]:
    return [unit.rstrip(b"\0") for unit in payload.split(b"\0\0\1") if unit.rstrip(b"\0")]


def from_units(all_units: list[bytes]) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in all_units)


def each_unit(change: Callable[[list[bytes]], list[bytes]], first: int = 0):
    """Change the NAL units of pictures from the one numbered `first` on."""
    return each_video(
        lambda at, pes: [
            replace(pes, payload=from_units(change(units(pes.payload)))) if at >= first else pes
        ]
    )


def before_slices(unit: bytes) -> Callable[[list[bytes]], list[bytes]]:
    def put(found: list[bytes]) -> list[bytes]:
        at = next(at for at, each in enumerate(found) if each[0] & 31 in (1, 5))
        return [*found[:at], unit, *found[at:]]

    return put


def slices(found: list[bytes]) -> list[bytes]:
    return [unit for unit in found if unit[0] & 31 in (1, 5)]


def without_beginning(pes: Pes) -> Pes:
    """A picture whose slice says that it is not the first."""
    first, *rest = slices(units(pes.payload))
    return replace(
        pes, payload=from_units([first[:1] + bytes([first[1] & 0x7F]) + first[2:], *rest])
    )


def merged(first: int, *, bare: bool = False):
    """Two pictures in a PES packet; `bare`: of the second, only its slices."""
    held: dict[int, Pes] = {}

    def change(at: int, pes: Pes) -> list[Pes]:
        held[at] = pes
        if at == first + 1:
            more = from_units(slices(units(pes.payload))) if bare else pes.payload
            return [replace(held[first], payload=held[first].payload + more)]
        return [pes] if at != first else []

    return each_video(change)


def halved(first: int):
    """A picture in two PES packets, of which the second has no time."""

    def change(at: int, pes: Pes) -> list[Pes]:
        if at != first:
            return [pes]
        half = len(pes.payload) // 2
        plain = pes.header[:6] + b"\x80\0\0"
        return [
            replace(pes, payload=pes.payload[:half]),
            Pes(pes.pid, plain, pes.payload[half:]),
        ]

    return each_video(change)


def bounded(_: int, pes: Pes) -> list[Pes]:
    """All PES packets say how long they are."""
    header = pes.header[:4] + b"\0\1" + pes.header[6:]
    return [replace(pes, header=header) if len(pes.payload) < 60_000 else pes]


def sounds_across():
    """Frames of sound that go over from a PES packet into the next."""
    rests: dict[int, bytes] = {-1: b""}

    def change(at: int, pes: Pes) -> list[Pes]:
        if pes.is_video:
            return [pes]
        whole = rests[at - 1] + pes.payload
        rests[at] = whole[-50:]
        return [replace(pes, payload=whole[:-50])]

    return change


def message(kind: int, content: bytes, unit: int = 6) -> bytes:
    return bytes([unit, kind, len(content)]) + content + b"\x80"


PES_CHANGES: dict[str, tuple[Any, bool]] = {
    "nothing": (lambda _, pes: [pes], True),
    "all of known length": (bounded, True),
    "later by a day": (lambda _, pes: [pes.later(90_000 * 3600 * 24)], True),
    "units of three bytes of start code": (
        each_video(
            lambda _, pes: [
                replace(pes, payload=b"".join(b"\0\0\1" + each for each in units(pes.payload)))
            ]
        ),
        True,
    ),
    "zeros after units": (each_unit(lambda found: [unit + bytes(5) for unit in found]), True),
    "filler": (each_unit(lambda found: [*found, b"\x0c\xff\xff\x80"]), True),
    "captions": (each_unit(before_slices(message(4, b"\xb5\0\x31GA94captions"))), True),
    "a message with bytes that keep start codes out": (
        each_unit(before_slices(b"\x06\x06\x07\x84\0\0\3\0\0\3\0\0\x04\2\1\xff\x80"), 40),
        True,
    ),
    "recovery points": (each_unit(before_slices(message(6, b"\x84")), 40), True),
    "a recovery point behind another message": (
        each_unit(before_slices(b"\x06\x04\x02ab" + message(6, b"\x84")[1:]), 40),
        False,
    ),
    "a recovery point that is far": (
        each_unit(before_slices(message(6, b"\0\0\3\1\x80")), 40),
        False,
    ),
    "pictures that say how long": (each_unit(before_slices(message(1, b"\x10")), 40), False),
    "a message that is not whole": (each_unit(before_slices(b"\x06\x05\xf0abc\x80"), 40), False),
    "no delimiters": (
        each_unit(lambda found: [each for each in found if each[0] & 31 != 9]),
        True,
    ),
    "units of an unknown kind": (each_unit(before_slices(b"\x18what"), 40), False),
    "a damaged unit": (each_unit(lambda found: [*found[:-1], b"\x81" + found[-1][1:]], 40), False),
    "a delimiter after a picture": (each_unit(lambda found: [*found, b"\x09\xf0"], 40), False),
    "two pictures in a packet": (merged(40), False),
    "two pictures in a packet, nothing between": (merged(40, bare=True), False),
    "a slice that is not the first": (one_video(40, without_beginning), False),
    "a picture in two packets": (halved(40), False),
    "a packet without a picture": (
        one_video(40, lambda pes: replace(pes, payload=b"\0\0\1\x09\xf0")),
        False,
    ),
    "a packet without a payload": (one_video(40, lambda pes: replace(pes, payload=b"")), False),
    "garbage before a picture": (
        one_video(40, lambda pes: replace(pes, payload=b"garbage" + pes.payload)),
        False,
    ),
    "a jump forwards": (each_video(lambda at, pes: [pes.later(90_000 * 20 * (at > 40))]), False),
    "a jump backwards": (each_video(lambda at, pes: [pes.later(-90_000 * (at > 40))]), False),
    "a picture twice": (each_video(lambda at, pes: [pes] * (1 + (at == 40))), False),
    "a length that is too short": (one_video(40, lambda pes: replace(pes, length=100)), False),
    "a length that is too long": (one_video(40, lambda pes: replace(pes, length=60_000)), False),
    "frames of sound across packets": (sounds_across(), False),
}


@pytest.mark.parametrize("woven", [False, True], ids=["one after the other", "woven"])
@pytest.mark.parametrize("change", PES_CHANGES)
def test_what_other_muxers_write_and_what_none_should(make_film, tmp_path, fallen, change, woven):
    how, is_usual = PES_CHANGES[change]
    film = rewrite(make_film("film.ts", **FILM), tmp_path / "film.ts", how, woven=woven)
    way = check_both_ways(film, tmp_path, 1)
    assert (way == "units" and not fallen) == is_usual


def flags(number: int, at: int, bits: int):
    """Set bits in a byte of one packet."""

    def spoil(place: int, packet: bytes) -> list[bytes]:
        if place != number:
            return [packet]
        return [packet[:at] + bytes([packet[at] | bits]) + packet[at + 1 :]]

    return spoil


NULL = bytes((0x47, NULL_PID >> 8, NULL_PID & 255, 0x10)) + b"\xff" * 184
SPOILS: dict[str, tuple[Any, bool]] = {
    "packets of nothing between": (lambda _, packet: [NULL, packet], True),
    "one says that it is damaged": (flags(300, 1, 0x80), False),
    "one is scrambled": (flags(300, 3, 0x80), False),
    "one is missing": (lambda at, packet: [packet] if at != 300 else [], False),
    "one comes twice": (lambda at, packet: [packet] * (1 + (at == 300)), False),
    "one is not in step": (lambda at, packet: [b"?" * (at == 300), packet], False),
    "one does not begin as it should": (
        lambda at, packet: [b"?" + packet[1:] if at == 300 else packet],
        False,
    ),
    "one has neither field nor payload": (
        lambda at, packet: (
            [packet[:3] + bytes([packet[3] & 0x0F]) + packet[4:]] if at == 300 else [packet]
        ),
        False,
    ),
    "its field is longer than it": (
        lambda at, packet: (
            [packet[:3] + bytes([packet[3] | 0x30, 200]) + packet[5:]] if at == 300 else [packet]
        ),
        False,
    ),
    "with four bytes of time before each": (lambda _, packet: [b"time", packet], False),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_packets_of_all_kinds(make_film, tmp_path, fallen, spoil):
    how, is_usual = SPOILS[spoil]
    film = rewrite(make_film("film.ts", **FILM), tmp_path / "film.ts", spoil=how)
    way = check_both_ways(film, tmp_path, 1)
    assert (way == "units" and not fallen) == is_usual


def test_sound_that_turns_up_later_is_not_in_it(make_film, tmp_path, fallen):
    """What a film is like is known from its beginning; PyAV stumbles over such a track."""
    film = make_film("two.ts", seconds=40.0, fps=5, audio_tracks=2)
    (_, one), _ = transport.parse(make_film("film.ts", **FILM).read_bytes())
    (_, two), all_pes = transport.parse(film.read_bytes())
    assert {pes.pid for pes in all_pes} == {256, 257, 258}

    def spoil(at: int, packet: bytes) -> list[bytes]:
        if transport.pid_of(packet) == transport.PMT_PID:
            return [one]
        if transport.pid_of(packet) == 258 and at < 3000:
            return []
        return [two, packet] if at == 3000 else [packet]

    changed = rewrite(film, tmp_path / "film.ts", spoil=spoil)
    for _ in range(5):
        assert check_both_ways(changed, tmp_path, 10) == "units"
    assert not fallen
    assert len(cut_film(changed, tmp_path, 1).facts["streams"]) == 2


@pytest.mark.parametrize("part", [0.4, 0.7, 0.995])
def test_cut_off_it_ends_alike(make_film, tmp_path, fallen, part):
    """Only where a PES packet says that it is longer has libav anything to say."""
    data = make_film("film.ts", **FILM).read_bytes()
    film = tmp_path / "film.ts"
    for end in (0, 60, 188):
        film.write_bytes(data[: int(len(data) * part) // 188 * 188 + end])
        check_both_ways(film, tmp_path, 1)
        assert len(fallen) <= 1
        fallen.clear()


def test_a_film_after_a_film(make_film, tmp_path):
    film = tmp_path / "film.ts"
    for second in ("film.ts", "later.ts"):
        options = (("output_ts_offset", "10"),) if second == "later.ts" else ()
        data = make_film("film.ts", **FILM).read_bytes()
        film.write_bytes(data + make_film(second, **FILM, options=options).read_bytes())
        check_both_ways(film, tmp_path, 1)


@pytest.mark.parametrize("seed", range(40))
def test_scratched_it_ends_alike(make_film, tmp_path, seed):
    chance = random.Random(seed)
    codec = chance.choice(("libx264", "libx265"))
    whole = make_film("film.ts", **FILM, video_codec=codec)
    check_both_ways(hostile.scratch(whole, tmp_path / "film.ts", chance), tmp_path, 1)


@pytest.mark.parametrize("then", [False, True], ids=["by what is quickest", "by packets"])
def test_resumed_it_gives_the_same_bytes_whatever_way_was_gone_before(make_film, tmp_path, then):
    film = make_film("film.ts", **FILM)
    odd = rewrite(film, tmp_path / "odd.ts", merged(40))
    for path in (film, odd):
        assert check_resumed(path, tmp_path, 1, then=then) > 2


def test_each_byte_is_read_once(make_film):
    film = make_film("long.ts", seconds=20.0, fps=15, encoder=(("crf", "1"),))
    check_read_once(module.UnitFeed, film)


def test_where_nothing_was_compiled_libav_reads_it(make_film, tmp_path, monkeypatch):
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "transport.so")
    native.library.cache_clear()
    try:
        assert cut_film(make_film("film.ts", **FILM), tmp_path, 1).method == "packets"
        with pytest.raises(OddError, match="compiled"):
            list(reading.read_transport(io.BytesIO(), [], []))
    finally:
        native.library.cache_clear()


def test_more_streams_than_it_has_places_for_are_libavs():
    for count, reason in ((100, None), (101, "too many")):
        streams = [(pid, "aac") for pid in range(count)]
        batches = reading.read_transport(io.BytesIO(), streams, [0] * count)
        if reason is None:
            assert [len(batch) for batch in batches] == [0]
        else:
            with pytest.raises(OddError, match=reason):
                next(batches)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_whatever_comes_no_byte_outside_is_touched(make_film, tmp_path, codec):
    """Under sanitizers; a third of the streams is damaged where lengths and times are."""
    program = tmp_path / "transport"
    compiler = [os.environ.get("CC", "cc"), "-g", "-O1", "-fsanitize=address,undefined"]
    flags = ["-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover"]
    flags += ["-I", str(Path(native.__file__).parent)]
    source_text = Path(__file__).with_name("transport_main.c")
    subprocess.run([*compiler, *flags, source_text, "-o", program], check=True)
    encoder = {"h264": "libx264", "hevc": "libx265"}[codec]
    film = make_film("little.ts", seconds=1.0, fps=15, width=64, height=48, video_codec=encoder)
    whole = film.read_bytes()
    chance = random.Random(codec)
    streams = [whole]
    for _ in range(1500):
        data = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.1 else whole)
        for _ in range(chance.choice((1, 2, 5, 40))):
            at = chance.randrange(len(data) or 1)
            if chance.random() < 0.3:
                at = at // 188 * 188 + chance.randrange(30)
            data[at : at + 1] = bytes([chance.choice((0, 1, 3, 255, chance.randrange(256)))])
        streams.append(bytes(data))
    given = b"".join(len(data).to_bytes(4, sys.byteorder) + data for data in streams)
    run = subprocess.run(
        [program, str(reading.CODECS[codec])], input=given, capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    count, odd, _ = map(int, run.stdout.split())
    assert count == len(streams)
    assert 200 < odd < count - 100  # neither all refused nor all taken
