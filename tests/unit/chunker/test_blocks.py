"""Matroska by its blocks, held against libav's packets: the same chunks, to the last byte."""

import io
import random
from collections.abc import Callable
from dataclasses import replace

import hostile
import matroska
import pytest
from corpus import CODECS, CONTAINERS, FILM, TIMES, TRACKS, case
from cutting import check_both_ways, check_read_once, check_resumed
from hypothesis import given, settings
from hypothesis import strategies as st
from m0_chunker.media import source
from m0_chunker.media.direct import OddError
from m0_chunker.media.mkv import blocks as reading
from m0_chunker.media.mkv import feed as module
from m0_chunker.media.mkv.blocks import BlockReader
from m0_chunker.media.mkv.parts import Blocks
from matroska import (
    Element,
    at,
    each_block,
    grouped,
    laced,
    late,
    nth_cluster,
    rewrite,
    with_last,
)

MATROSKA = [
    param
    for param in [*CONTAINERS, *CODECS, *TIMES, *TRACKS]
    if param.values[0].endswith((".mkv", ".webm"))
] + [
    case("ac3.mkv", "AC-3 in MKV", audio_codec="ac3"),
    case("eac3.mkv", "E-AC-3 in MKV", audio_codec="eac3"),
    case("opus44.mkv", "Opus from 44.1 kHz in MKV", audio_codec="libopus", audio_rate=48_000),
    case("open.mkv", "open GOPs in MKV", open_gop=True),
    case("openhevc.mkv", "HEVC, open GOPs in MKV", video_codec="libx265", open_gop=True),
    case("nob.mkv", "no B-frames in MKV", bframes=0),
    case("silent.mkv", "pictures only in MKV", audio_codec=None),
    case("sound.mka", "sound only in MKV", video_codec=None),
    case("two.mkv", "two tracks of pictures in MKV", second_video="libx264"),
    case("live.mkv", "written live", options=(("live", "1"),)),
    case("small.mkv", "clusters of 100 ms", options=(("cluster_time_limit", "100"),)),
    case("early.mkv", "its index first", options=(("cues_to_front", "1"),)),
    case("large.mkv", "blocks of 100 kB", width=1920, height=1080, encoder=(("crf", "1"),)),
]
GENERAL = {
    "flac.mkv": "the last packet is shorter",
    "mp3.mkv": "libav joins what blocks hold",
    "pcm.mkv": "uncompressed sound",
}
"""Those that are left to libav, and why."""


@pytest.fixture(autouse=True, params=[3000, 256 * 1024], ids=["in small reads", "in large reads"])
def read_bytes(request, monkeypatch):
    monkeypatch.setattr(reading, "READ_BYTES", request.param)
    monkeypatch.setattr(source, "BUFFER_BYTES", request.param)
    return request.param


@pytest.mark.parametrize(("name", "features", "duration"), MATROSKA)
def test_by_blocks_as_by_packets(make_film, tmp_path, monkeypatch, name, features, duration):
    film = make_film(name, **(FILM | features))
    monkeypatch.setattr(module.BlockFeed, "_by_libav", None)  # nothing is given back
    for length in (duration / 4, duration, duration * 2):
        for overlap in (0.0, 0.3):
            way = check_both_ways(film, tmp_path, length, overlap=overlap)
            assert way == ("packets" if name in GENERAL else "blocks")


VOID = Element(matroska.VOID, bytes(300))
CHANGES = {
    "all in groups": (each_block(lambda _, block: [grouped(block)]), "blocks"),
    "in groups that say how long": (
        each_block(lambda _, block: [grouped(block, Element(matroska.DURATION, b"\x42"))]),
        "blocks",
    ),
    "some in groups": (
        each_block(lambda n, block: [grouped(block) if n % 7 == 3 else block]),
        "blocks",
    ),
    "with voids between": (each_block(lambda _, block: [VOID, block]), "blocks"),
    "a void in its first cluster": (at(0, VOID), "blocks"),
    "blocks of a track that is not there": (
        each_block(lambda _, block: [block, Element(0xA3, b"\x89\0\0\x80nothing")]),
        "packets",
    ),
    "a block of a track that is not there": (
        at(200, Element(0xA3, b"\x89\0\0\x80nothing")),
        "blocks",
    ),
    "a block before zero": (
        each_block(lambda n, block: [late(block, -20_000) if n == 200 else block]),
        "blocks",
    ),
    "a cluster that says it is shorter": (
        nth_cluster(2, lambda cluster: replace(cluster, lie=-100)),
        "blocks",
    ),
    "a cluster that says it is longer": (
        nth_cluster(2, lambda cluster: replace(cluster, lie=100)),
        "blocks",
    ),
    "a last block that says it is longer": (
        nth_cluster(2, lambda cluster: with_last(cluster, lambda block: replace(block, lie=5000))),
        "blocks",
    ),
    "a last group that says it is longer": (
        nth_cluster(
            2,
            lambda cluster: with_last(cluster, lambda block: replace(grouped(block), lie=5000)),
        ),
        "blocks",
    ),
    "a void that says it is longer": (at(200, replace(VOID, lie=10**6)), "blocks"),
    "an index in a cluster": (at(200, Element(matroska.CUES, bytes(99))), "blocks"),
    "all blocks said to be key frames": (
        each_block(
            lambda _, block: [replace(block, content=block.data[:3] + b"\x80" + block.data[4:])]
        ),
        "packets",
    ),
    "a block that holds two packets": (laced(200), "blocks"),
    "a first block that holds two packets": (laced(1), "packets"),
    "an encrypted block": (at(200, Element(0xAF, b"\x81\0\0\x80secret")), "blocks"),
    "an unknown element": (at(200, Element(0x5DD5, b"?")), "blocks"),
    "a block without a byte": (at(200, Element(0xA3, b"\x81\0\0\x80")), "blocks"),
    "a block without a header": (at(200, Element(0xA3, b"\x81\0")), "blocks"),
    "a track number of two bytes": (at(200, Element(0xA3, b"\x40\x01\0\0\x80?")), "blocks"),
    "a second time in a cluster": (at(200, Element(0xE7, b"\x10")), "blocks"),
    "a group with a state": (
        each_block(lambda n, block: [grouped(block, Element(0xA4, b"?")) if n == 200 else block]),
        "blocks",
    ),
    "a group with an addition": (
        each_block(lambda n, block: [grouped(block, Element(0x75A1, b"")) if n == 200 else block]),
        "blocks",
    ),
}


@pytest.mark.parametrize("live", [False, True], ids=["of known sizes", "live"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_other_muxers_write_and_what_none_should(
    make_film, tmp_path, change, live, read_bytes
):
    how, way = CHANGES[change]
    film = make_film("film.mkv", **FILM)
    changed = rewrite(film, tmp_path / "film.mkv", how, live=live)
    found = check_both_ways(changed, tmp_path, 1)
    assert found == way or (found == "packets" and read_bytes > changed.stat().st_size)


def test_packed_it_is_libavs(make_film, tmp_path):
    film = matroska.stripped(make_film("film.mkv", **FILM), tmp_path / "film.mkv")
    assert check_both_ways(film, tmp_path, 1) == "packets"


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_key_frame_that_is_none_is_libavs(make_film, tmp_path, codec):
    film = make_film("film.mkv", **FILM, video_codec=codec)

    def change(number: int, block: Element) -> list[Element]:
        is_wanted = block.data[0] == 0x81 and number > 200 and number % 10 == 0
        key = replace(block, content=block.data[:3] + b"\x80" + block.data[4:])
        return [key if is_wanted else block]

    film = rewrite(film, tmp_path / "film.mkv", each_block(change))
    for duration in (0.4, 0.5, 1):
        check_both_ways(film, tmp_path, duration)


def _with_payload(block: Element, change: Callable[[bytes], bytes]) -> Element:
    return replace(block, content=block.data[:4] + change(block.data[4:]))


SOUNDS = {
    "a packet of 10 ms among those of 20 ms": lambda block: _with_payload(
        block, lambda payload: bytes([payload[0] - 8]) + payload[1:]
    ),
    "a packet that is shortened without a word of how long it is": lambda block: grouped(
        block, Element(0x75A2, (7_000_000).to_bytes(4, "big"))
    ),
    "a packet that is shortened and says to how long": lambda block: grouped(
        block, Element(0x75A2, (7_000_000).to_bytes(4, "big")), Element(matroska.DURATION, b"\x0d")
    ),
}


@pytest.mark.parametrize("change", SOUNDS.values(), ids=SOUNDS)
def test_sound_of_another_length_is_libavs(make_film, tmp_path, change):
    film = make_film("film.webm", **FILM, video_codec="libvpx-vp9", audio_codec="libopus")

    def changed(number: int, block: Element) -> list[Element]:
        is_wanted = block.data[0] == 0x82 and number > 150
        return [change(block) if is_wanted else block]

    film = rewrite(film, tmp_path / "film.webm", each_block(changed))
    for duration in (0.4, 0.5, 1, 5):
        check_both_ways(film, tmp_path, duration)


@pytest.mark.parametrize("live", [False, True], ids=["of known sizes", "live"])
@pytest.mark.parametrize("part", [0.4, 0.7, 0.995])
def test_cut_off_it_ends_alike(make_film, tmp_path, part, live):
    whole = rewrite(make_film("film.mkv", **FILM), tmp_path / "a.mkv", list, live=live)
    data = whole.read_bytes()
    film = tmp_path / "film.mkv"
    film.write_bytes(data[: int(len(data) * part)])
    check_both_ways(film, tmp_path, 1)


@pytest.mark.parametrize("more", ["zeros", "a header", "half a void", "a cluster", "a film"])
def test_what_comes_after_its_end_is_libavs(make_film, tmp_path, more):
    data = make_film("film.mkv", **FILM).read_bytes()
    _, segment = matroska.parse(data)
    cluster = next(each for each in segment.children if each.kind == matroska.CLUSTER)
    what = {
        "zeros": bytes(100),
        "a header": b"\x1a\x45\xdf\xa3\x80",
        "half a void": b"\xec\x81",
        "a cluster": bytes(cluster),
        "a film": data,
    }
    film = tmp_path / "film.mkv"
    film.write_bytes(data + what[more])
    check_both_ways(film, tmp_path, 1)


@pytest.mark.parametrize("seed", range(24))
def test_scratched_it_ends_alike(make_film, tmp_path, seed):
    name = ("film.mkv", "small.mkv")[seed % 2]
    options = (("cluster_time_limit", "100"),) if seed % 2 else ()
    whole = make_film(name, **FILM, options=options)
    film = hostile.scratch(whole, tmp_path / "film.mkv", random.Random(seed))
    check_both_ways(film, tmp_path, 1)


@pytest.mark.parametrize("then", [False, True], ids=["by what is quickest", "by packets"])
def test_resumed_it_gives_the_same_bytes_whatever_way_was_gone_before(make_film, tmp_path, then):
    film = make_film("film.mkv", **FILM)
    odd = rewrite(film, tmp_path / "odd.mkv", laced(200))
    for path in (film, odd):
        assert check_resumed(path, tmp_path, 1, then=then) > 2


def test_each_byte_is_read_once(make_film):
    film = make_film("long.mkv", seconds=20.0, fps=15, encoder=(("crf", "1"),))
    check_read_once(module.BlockFeed, film)


class Slow(io.BytesIO):
    """Gives what it likes, as a store does."""

    def __init__(self, data: bytes, pieces: list[int]) -> None:
        super().__init__(data)
        self.pieces = pieces

    def read(self, size: int | None = -1, /) -> bytes:
        self.pieces.append(self.pieces.pop(0))
        return super().read(min(size, self.pieces[0]) if size and size > 0 else size)


def track_entry(number: int) -> Element:
    """As much of one as the reader knows."""
    said = (Element(0xD7, bytes([number])), Element(0x83, b"\1"))
    return Element(0xAE, b"".join(map(bytes, said)))


payloads = st.binary(min_size=1, max_size=40) | st.integers(100, 70_000).map(bytes)
blocks = st.tuples(
    st.integers(1, 9), st.integers(0, 30_000), st.booleans(), payloads, st.booleans()
)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.lists(blocks, max_size=8), min_size=1, max_size=4),
    st.lists(st.integers(1, 50_000), min_size=1, max_size=5),
    st.booleans(),
)
def test_all_blocks_are_found_however_their_bytes_come(clusters, pieces, live):
    wanted, elements, time = [], [], 0
    for cluster in clusters:
        time += 1000
        children = [Element(matroska.TIMESTAMP, time.to_bytes(3, "big"))]
        for track, ticks, key, payload, in_group in cluster:
            head = bytes([0x80 | track]) + ticks.to_bytes(2, "big") + bytes([0x80 * key])
            block = Element(matroska.SIMPLE_BLOCK, head + payload)
            children.append(grouped(block) if in_group else block)
            wanted.append((0x80 | track, time + ticks, key, payload))
        elements.append(Element(matroska.CLUSTER, tuple(children), unknown_size=live))
    tracks = Element(matroska.TRACKS, b"".join(map(bytes, map(track_entry, range(1, 10)))))
    segment = Element(matroska.SEGMENT, (tracks, *elements), unknown_size=live)
    data = bytes(Element(matroska.EBML, b"")) + bytes(segment)
    found = Blocks()
    for batch in BlockReader(Slow(data, pieces), len(data)).batches():
        found.extend(batch)
    keys = [bool(flag & 0x80) for flag in found.flags]
    assert list(zip(found.tracks, found.times, keys, found.payloads, strict=True)) == wanted
    places = zip(found.begins, found.payloads, strict=True)
    assert all(data.startswith(payload, begin + 4) for begin, payload in places)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60), st.booleans())
def test_nothing_but_an_odd_film_comes_of_any_bytes(data, in_cluster):
    if in_cluster:
        data = bytes.fromhex("1a45dfa380 18538067 01ffffffffffffff 1f43b675ff e78101") + data
    reader = BlockReader(io.BytesIO(data), len(data))
    try:
        for batch in reader.batches():
            assert batch.payloads
    except OddError:
        pass


def segment(*elements: Element) -> bytes:
    tracks = Element(matroska.TRACKS, bytes(track_entry(1)))
    return bytes(Element(matroska.EBML, b"")) + bytes(
        Element(matroska.SEGMENT, (tracks, *elements))
    )


TIME = Element(matroska.TIMESTAMP, b"\1")
GOOD = Element(matroska.SIMPLE_BLOCK, b"\x81\0\0\x80a good one, long enough")


def blocks_before_something_odd(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    try:
        for batch in BlockReader(io.BytesIO(data), len(data)).batches():
            found += batch.payloads
    except OddError:
        return found
    raise AssertionError("it is not odd")


def test_no_block_reaches_over_its_cluster(monkeypatch):
    bad = Element(matroska.CLUSTER, (TIME, GOOD, replace(GOOD, lie=20)))
    data = segment(bad, Element(matroska.CLUSTER, (TIME, GOOD, GOOD)))
    for size in range(1, 100):
        monkeypatch.setattr(reading, "READ_BYTES", size)
        assert blocks_before_something_odd(data) in ([], [GOOD.data[4:]])


def test_an_empty_block_is_not_taken_for_a_long_one(monkeypatch):
    """Its size has two bytes; taken for one of three, it would end where GOOD begins again."""
    monkeypatch.setattr(reading, "READ_BYTES", 16 * 2**20)
    empty = bytes.fromhex("a3 4004 81 8100 80")
    missing = 4 + 0x200481 - len(empty)
    filler = b"\xa0\x01" + (missing - 9).to_bytes(7, "big") + bytes(missing - 9)
    inside = (bytes(TIME), bytes(GOOD), empty, filler, bytes(GOOD))
    data = segment(Element(matroska.CLUSTER, b"".join(inside)))
    assert blocks_before_something_odd(data) == []


def test_a_film_of_voids_is_left_to_libav():
    """A loop of ours takes much longer for each than libav's."""
    voids = [Element(matroska.VOID, b"")] * 5000
    data = segment(Element(matroska.CLUSTER, (TIME, *voids, GOOD)))
    with pytest.raises(OddError, match="around"):
        list(BlockReader(io.BytesIO(data), len(data)).batches())
