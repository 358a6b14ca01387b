"""Hostile and broken files: a word from the table of errors, soon, and nobody else's bytes.

Each case runs `m0-chunker --request` and must end within 20 s and 400 MiB. A `refused` file
fails before anything is announced; a `noticed` one may have given whole chunks before its
damage is met; of a `tolerated` one anything may come but a crash.
"""

import gzip
import os
from pathlib import Path

import hostile
import pytest
from boxes import rewrite
from hostile import GIB, MANY, header, put, table, words
from m0_contract.errors import ErrorCode

SECONDS = 20.0
RSS_BYTES = 400 * 2**20
CODES = {"NOT_MEDIA", "UNSUPPORTED_MEDIA", "LIMIT_EXCEEDED", "SOURCE_CORRUPT", "CHUNK_FAILED"}
assert set(ErrorCode) >= CODES

SECRET = b"correct horse battery staple 7f3a9c"
SHORT = {"seconds": 4.0, "fps": 15}


@pytest.fixture
def canary(tmp_path, make_film) -> Path:
    """A film that nobody asked for; it was last read long ago."""
    path = tmp_path / "canary.mp4"
    film = make_film("canary.mp4", seconds=1.0, video_codec="mpeg4", audio_codec=None)
    path.write_bytes(film.read_bytes() + SECRET)
    os.utime(path, (1, path.stat().st_mtime))
    return path


@pytest.fixture
def attack(measure_chunker, canary, tmp_path):
    """`attack(path)` → how it ended; what holds for every hostile file is checked here."""

    def run(source: Path | str):
        done = measure_chunker(source, 1, SECONDS)
        assert done.seconds < SECONDS, f"took {done.seconds:.0f} s"
        assert done.rss_bytes < RSS_BYTES, f"took {done.rss_bytes >> 20} MiB"
        assert "Traceback" not in done.stderr, done.stderr
        assert done.code in {0, 65}, done.stderr
        failure = done.outcome.get("failure")
        assert (failure is None) == (done.code == 0)
        assert failure is None or failure["code"] in CODES, failure
        assert done.scratch == []
        assert canary.stat().st_atime == 1, "another file was read"
        content = canary.read_bytes()
        media = content[content.index(b"mdat") + 900 :][:32]
        for path in tmp_path.rglob("*"):
            if path.is_file() and path.parent.name in {"out", "101"}:
                assert media not in path.read_bytes()
        said = done.stdout + done.stderr + str(done.outcome)
        assert SECRET.decode() not in said
        return done

    return run


def refuse(done) -> None:
    assert done.code == 65, done.stderr
    assert done.messages == []


# Broken

BROKEN = {
    "empty": lambda _film, path: put(path, b""),
    "one byte": lambda _film, path: put(path, b"\0"),
    "text": lambda _film, path: put(path, b"It was a dark and stormy night.\n" * 999),
    "a page of HTML": lambda _film, path: put(path, b"<!DOCTYPE html><html>403</html>" * 99),
    "random bytes": lambda _film, path: put(path, hostile.random.Random(5).randbytes(300_000)),
    "20 GB of zeros": lambda _film, path: hostile.sparse(path, b"", 20 * GIB),
    "20 GB of zeros after a good start": lambda _film, path: hostile.sparse(
        path, hostile.FTYP + b"\0\0\0\1mdat" + (20 * GIB - 20).to_bytes(8, "big"), 20 * GIB
    ),
    "an MP4 without its index": hostile.without_index,
    "an MP4 cut off before its index": lambda film, path: hostile.cut(film, path, 0.5),
    "an MP4 cut off in its index": lambda film, path: hostile.cut(film, path, 0.95),
    "a PNG": lambda _film, path: hostile.picture(path, "png"),
    "a JPEG": lambda _film, path: hostile.picture(path, "mjpeg"),
    "a GIF": lambda _film, path: hostile.picture(path, "gif"),
    "a ZIP with a film": lambda film, path: hostile.archive(path, film),
    "a film, gzipped": lambda film, path: put(path, gzip.compress(film.read_bytes())),
    "a disk image": lambda _film, path: put(path, bytes(32_769), b"CD001", bytes(99_999)),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_broken_is_refused(attack, make_film, tmp_path, make):
    refuse(attack(make(make_film("plain.mp4", **SHORT), tmp_path / "film.mp4")))


FAST = {"options": (("movflags", "faststart"),)}
FRAGMENTED = {"options": (("movflags", "frag_keyframe+empty_moov"),)}
OLD = {"video_codec": "mpeg4", "audio_codec": "libmp3lame", "bframes": 0}


@pytest.mark.parametrize("part", [0.3, 0.99])
def test_cut_off_with_its_index_in_front_is_refused(attack, make_film, tmp_path, part):
    film = make_film("front.mp4", **(SHORT | FAST))
    refuse(attack(hostile.cut(film, tmp_path / "cut.mp4", part)))


@pytest.mark.parametrize(
    ("name", "features", "part"),
    [
        pytest.param("fragments.mp4", FRAGMENTED, 0.97, id="fragmented MP4, last fragment"),
        pytest.param("film.mkv", {}, 0.5, id="MKV"),
        pytest.param("film.mkv", {}, 0.8, id="MKV, near its end"),
        pytest.param("film.avi", OLD, 0.5, id="AVI"),
        pytest.param("film.wav", {"video_codec": None, "audio_codec": "pcm_s16le"}, 0.5, id="WAV"),
    ],
)
def test_cut_off_is_noticed(attack, make_film, tmp_path, name, features, part):
    film = make_film(name, **(SHORT | features))
    done = attack(hostile.cut(film, tmp_path / f"cut{film.suffix}", part))
    assert done.code == 65, "not noticed"
    assert done.outcome["failure"]["code"] == "SOURCE_CORRUPT"


@pytest.mark.parametrize("part", [0.5])
def test_cut_off_transport_stream_has_no_end_to_miss(attack, make_film, tmp_path, part):
    attack(hostile.cut(make_film("film.ts", **SHORT), tmp_path / "cut.ts", part))


# Other people's files

NAMING = {
    "a playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nPATH\n#EXT-X-ENDLIST\n",
    "a master playlist": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nPATH\n",
    "a concat script": b"ffconcat version 1.0\nfile PATH\n",
    "a concat script of /etc/passwd": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "an SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    b"m=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "a DASH manifest": b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period>"
    b"<AdaptationSet mimeType='video/mp4'><Representation id='1' bandwidth='1'><BaseURL>PATH"
    b"</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "an image sequence": b"PATH",
    "an SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='PATH'/></svg>",
    "a Smooth Streaming reference": b"[Reference]\nRef1=PATH\n",
    "an RTSP redirect": b"RTSPtext\r\nPATH\r\n",
}


@pytest.mark.parametrize("suffix", ["ts", "avi"])
@pytest.mark.parametrize("kind", ["a playlist", "a concat script"])
def test_a_list_by_any_name_is_refused(attack, canary, tmp_path, kind, suffix):
    body = NAMING[kind].replace(b"PATH", bytes(canary))
    refuse(attack(put(tmp_path / f"film.{suffix}", body)))


@pytest.mark.parametrize("kind", NAMING)
def test_what_names_other_files_is_refused(attack, canary, tmp_path, kind):
    refuse(attack(put(tmp_path / "film.mp4", NAMING[kind].replace(b"PATH", bytes(canary)))))


@pytest.mark.parametrize("kind", [b"url ", b"alis"], ids=["URL", "alias"])
def test_media_in_another_file_is_refused(attack, make_film, canary, tmp_path, kind):
    film = make_film("plain.mov", **SHORT)
    refuse(attack(rewrite(film, tmp_path / "film.mov", hostile.external(kind, canary))))


def test_a_reference_movie_is_refused(attack, canary, tmp_path):
    refuse(attack(hostile.reference_movie(tmp_path / "film.mov", canary)))


@pytest.mark.parametrize("place", ["directory", "fifo", "device", "link to a secret"])
def test_what_is_no_file_is_refused(attack, tmp_path, place):
    path = tmp_path / "film.mp4"
    if place == "directory":
        path.mkdir()
    elif place == "fifo":
        os.mkfifo(path)
    elif place == "device":
        path = Path("/dev/zero")
    else:
        put(tmp_path / "secret", SECRET * 999)
        path.symlink_to(tmp_path / "secret")
    refuse(attack(path))


# Bombs

BOMBS = {
    "a compressed index of 1 GiB": lambda _film, path: hostile.compressed_index(path, GIB),
    "100,000 tracks": lambda film, path: hostile.many_tracks(film, path, 100_000),
    "100,000 boxes in each other": lambda _film, path: hostile.nested(path, b"moov", 100_000),
    "100,000 udta in each other": lambda _film, path: hostile.nested(path, b"udta", 100_000),
    "a box of no size": lambda _film, path: put(path, hostile.FTYP, b"\0\0\0\4moov" * 9999),
    "a box of 2^64-1 bytes": lambda _film, path: put(
        path, hostile.FTYP, b"\0\0\0\1moov" + b"\xff" * 8 + bytes(999)
    ),
    "a million empty boxes": lambda _film, path: put(path, hostile.FTYP, b"\0\0\0\x08free" * 10**6),
    "a million Matroska voids": lambda _film, path: hostile.matroska(path, b"\xec\x80" * 10**6),
    "a Matroska element of 2^56-2 bytes": lambda _film, path: hostile.matroska(
        path, b"\x16\x54\xae\x6b\x01" + b"\xff" * 6 + b"\xfe", bytes(999)
    ),
    "Matroska masters in each other": lambda _film, path: hostile.matroska(
        path, bytes.fromhex("1654ae6b01ffffffffffffff") * 9999
    ),
    "100,000 x 100,000 pixels": lambda film, path: rewrite(
        film, path, hostile.giant_entry, hostile.giant_sps(100_000, 100_000)
    ),
    "30,000 x 30,000 pixels": lambda film, path: rewrite(
        film, path, hostile.giant_entry, hostile.giant_sps(29_984, 29_984)
    ),
    "samples beyond the end": lambda film, path: rewrite(film, path, hostile.offsets(2**32 - 9)),
    "2^31 samples in a short table": lambda film, path: rewrite(
        film, path, table("stsz", words(0, 0, MANY, 9, 9))
    ),
    "2^31 samples in one run": lambda film, path: rewrite(
        film,
        path,
        table("stsz", words(0, 1, MANY)),
        table("stts", words(0, 1, MANY, 1)),
        table("stsc", words(0, 1, 1, MANY, 1)),
        table("stco", words(0, 1, 48)),
    ),
    "40 million samples in one run": lambda film, path: rewrite(
        film,
        path,
        table("stsz", words(0, 1, 40_000_000)),
        table("stts", words(0, 1, 40_000_000, 1)),
        table("stsc", words(0, 1, 1, 40_000_000, 1)),
        table("stco", words(0, 1, 48)),
    ),
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused(attack, make_film, tmp_path, make):
    refuse(attack(make(make_film("plain.mp4", **SHORT), tmp_path / "film.mp4")))


@pytest.mark.parametrize("samples", [40_000_000, MANY])
def test_a_fragment_of_many_samples_is_refused(attack, make_film, tmp_path, samples):
    film = make_film("fragments.mp4", **(SHORT | FRAGMENTED))
    refuse(attack(hostile.with_fragment(film, tmp_path / "film.mp4", samples)))


def test_pictures_without_a_byte_are_no_film_of_sound(attack, make_film, tmp_path):
    def empty(moov) -> None:
        table("stsz", words(0, 0, 60, *[0] * 60))(moov)

    done = attack(rewrite(make_film("plain.mp4", **SHORT), tmp_path / "film.mp4", empty))
    refuse(done)
    assert done.outcome["failure"]["code"] == "SOURCE_CORRUPT"


def test_pictures_that_cannot_be_made_out_are_named(attack, make_film, tmp_path):
    changes = [hostile.no_sides, hostile.giant_sps(29_984, 29_984)]
    done = attack(rewrite(make_film("plain.mp4", **SHORT), tmp_path / "film.mp4", *changes))
    assert done.outcome["failure"]["code"] == "UNSUPPORTED_MEDIA"
    assert "stream 0 (video, codec h264)" in done.outcome["failure"]["message"]


# Lies that a film may survive

LIES = {
    "all samples at the same place": [hostile.offsets(48)],
    "samples without a byte": [hostile.empty_samples],
    "2^31 samples of one byte": [table("stsz", words(0, 1, MANY))],
    "2^31 durations in one entry": [table("stts", words(0, 1, MANY, 512))],
    "durations of 2^31": [table("stts", words(0, 1, 60, MANY))],
    "durations below zero": [table("stts", words(0, 1, 60, 2**32 - 1024))],
    "a table of 2^31 durations": [table("stts", words(0, MANY, 1, 512))],
    "2^31 composition offsets in one entry": [table("ctts", words(0, 1, MANY, 1024))],
    "composition offsets of 2^31": [table("ctts", words(1 << 24, 1, 60, MANY))],
    "composition offsets of -2^31": [table("ctts", words(1 << 24, 1, 60, 2**31))],
    "every picture a key frame": [table("stss", words(0, 60, *range(1, 61)))],
    "no key frame at all": [table("stss", words(0, 0))],
    "key frames beyond the end": [table("stss", words(0, 3, 1, MANY, 2**32 - 1))],
    "2^31 key frames": [table("stss", words(0, MANY, 1))],
    "runs that go backwards": [table("stsc", words(0, 2, 5, 1, 1, 1, 9, 1))],
    "runs of 2^31": [table("stsc", words(0, 1, 1, MANY, 1))],
    "a time scale of zero": [header("mdhd", 12, bytes(4)), header("mvhd", 12, bytes(4))],
    "a time scale of 2^32-1": [header("mdhd", 12, b"\xff" * 4)],
    "a length of 2^32-1": [header("mdhd", 16, b"\xff" * 4), header("mvhd", 16, b"\xff" * 4)],
    "an edit that starts at 2^62": [hostile.edit(2**62, 1000)],
    "an edit that starts at -2^62": [hostile.edit(-(2**62), 1000)],
    "an edit of 2^63": [hostile.edit(0, 2**63)],
    "100,000 edits": [hostile.edit(0, 4000, 100_000)],
}


@pytest.mark.parametrize("changes", LIES.values(), ids=LIES)
def test_a_lie_ends_in_a_film_or_in_a_word(attack, make_film, tmp_path, changes):
    attack(rewrite(make_film("plain.mp4", **SHORT), tmp_path / "film.mp4", *changes))


@pytest.mark.parametrize("seed", range(4))
def test_a_scratched_index_ends_in_a_film_or_in_a_word(attack, make_film, tmp_path, seed):
    attack(hostile.flip(make_film("plain.mp4", **SHORT), tmp_path / "film.mp4", seed))
