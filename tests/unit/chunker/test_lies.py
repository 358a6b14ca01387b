"""What an MP4's index may not say, each number on its own; whole films are in `test_hostile`."""

import struct
import zlib

import pytest
from boxes import Box
from m0_chunker.errors import ChunkerError
from m0_chunker.media import bounds
from m0_chunker.media.bounds import refuse_bombs
from m0_chunker.media.kept import KeptIndex
from m0_chunker.media.mp4.lies import MAX_EDITS, MAX_SAMPLES

SIZE = 10_000_000
PIXELS = 8192 * 8192


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def dref(*entries: Box) -> Box:
    content = words(0, len(entries)) + b"".join(map(bytes, entries))
    return Box(b"dinf", boxes=[Box(b"dref", content)])


HERE = dref(Box(b"url ", words(1)))


def track(*tables: Box, kind: bytes = b"vide", where: Box = HERE, edits: Box | None = None) -> Box:
    handler = Box(b"hdlr", bytes(8) + kind + bytes(13))
    minf = Box(b"minf", boxes=[where, Box(b"stbl", boxes=list(tables))])
    edit = [] if edits is None else [Box(b"edts", boxes=[edits])]
    return Box(b"trak", boxes=[*edit, Box(b"mdia", boxes=[handler, minf])])


def sides(width: int, height: int) -> Box:
    entry = Box(b"avc1", bytes(24) + struct.pack(">HH", width, height) + bytes(50))
    return Box(b"stsd", words(0, 1) + bytes(entry))


def elst(count: int) -> Box:
    return Box(b"elst", words(0, count) + bytes(12 * count))


def stsz(each: int, count: int, *sizes: int) -> Box:
    return Box(b"stsz", words(0, each, count, *sizes))


def counted(kind: bytes, count: int, *entries: int) -> Box:
    return Box(kind, words(0, count, *entries))


class Film:
    """A `SourceFile` that is mostly not there."""

    def __init__(self, data: bytes, size_bytes: int = SIZE) -> None:
        self._data, self.size_bytes, self._at = data, size_bytes, 0
        self.identity = ""

    def seek(self, offset: int, whence: int = 0, /) -> int:  # noqa: ARG002
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        data = self._data[self._at : self._at + size]
        data += bytes(max(0, min(size, self.size_bytes - self._at) - len(data)))
        self._at += len(data)
        return data


def judge(*tracks: Box, before: bytes = b"", size_bytes: int = SIZE, salvage: bool = False) -> str:
    """The code that a film of these tracks ends with, or nothing."""
    moov = bytes(Box(b"moov", boxes=list(tracks)))
    film = KeptIndex(Film(before + moov, size_bytes))  # type: ignore[arg-type]
    try:
        refuse_bombs(film, "film.mp4", PIXELS, salvage=salvage)
    except ChunkerError as error:
        return error.code
    finally:
        assert film.tell() == 0
    return ""


GOOD = {
    "sizes of their own": [track(stsz(0, 3, 7, 8, 9))],
    "one size for all": [track(stsz(100, 99_999))],
    "hours of raw sound": [
        track(
            stsz(1, 9_000_000),
            counted(b"stts", 1, 9_000_000, 1),
            counted(b"stsc", 1, 1, 100, 1),
            counted(b"stco", 90_000, *range(90_000)),
            kind=b"soun",
        )
    ],
    "no samples": [track(stsz(0, 0))],
    "a thousand edits": [track(edits=elst(MAX_EDITS))],
    "8K": [track(sides(8192, 4320))],
    "text of an absurd size": [track(sides(65_535, 65_535), kind=b"text")],
    "a reference that names nothing": [track(where=dref(Box(b"url ", words(0) + b"\0")))],
    "a timecode elsewhere": [track(where=dref(Box(b"url ", words(0) + b"x")), kind=b"tmcd")],
}
BAD = {
    "more bytes than the file has": ("SOURCE_CORRUPT", [track(stsz(100, 100_001))]),
    "more sizes than there is room": ("SOURCE_CORRUPT", [track(stsz(0, 4, 7, 8, 9))]),
    "more durations than there is room": (
        "SOURCE_CORRUPT",
        [track(counted(b"stts", 2, 1, 1))],
    ),
    "more composition offsets than there is room": (
        "SOURCE_CORRUPT",
        [track(counted(b"ctts", 2**31, 1, 1))],
    ),
    "more key frames than there is room": ("SOURCE_CORRUPT", [track(counted(b"stss", 2, 1))]),
    "more places than there is room": ("SOURCE_CORRUPT", [track(counted(b"stco", 2, 1))]),
    "more wide places than there is room": ("SOURCE_CORRUPT", [track(counted(b"co64", 1, 1))]),
    "more runs than there is room": ("SOURCE_CORRUPT", [track(counted(b"stsc", 1, 1, 1))]),
    "small sizes without room": (
        "SOURCE_CORRUPT",
        [track(Box(b"stz2", words(0, 4, 9) + bytes(4)))],
    ),
    "too many samples": ("LIMIT_EXCEEDED", [track(stsz(1, MAX_SAMPLES + 1))]),
    "too many samples in all": (
        "LIMIT_EXCEEDED",
        [track(stsz(1, MAX_SAMPLES // 2 + 1)), track(stsz(1, MAX_SAMPLES // 2 + 1))],
    ),
    "too much raw sound": (
        "LIMIT_EXCEEDED",
        [
            track(
                stsz(1, 9),
                counted(b"stts", 1, 9, 1),
                counted(b"stsc", 1, 1, 2**32 - 1, 1),
                counted(b"stco", 9, *range(9)),
                kind=b"soun",
            )
        ],
    ),
    "too many edits": ("LIMIT_EXCEEDED", [track(edits=elst(MAX_EDITS + 1))]),
    "too many pixels": ("LIMIT_EXCEEDED", [track(sides(65_535, 65_535))]),
    "pictures in another file": (
        "UNSUPPORTED_MEDIA",
        [track(where=dref(Box(b"url ", words(0) + b"file:///etc/passwd\0")))],
    ),
    "sound in another file, said second": (
        "UNSUPPORTED_MEDIA",
        [track(where=dref(Box(b"url ", words(1)), Box(b"alis", words(0) + b"x")), kind=b"soun")],
    ),
}


@pytest.mark.parametrize("tracks", GOOD.values(), ids=GOOD)
def test_what_films_may_say(tracks):
    assert judge(*tracks) == ""


@pytest.mark.parametrize(("code", "tracks"), BAD.values(), ids=BAD)
def test_what_they_may_not(code, tracks):
    assert judge(*tracks) == code


BOMB = track(stsz(1, MAX_SAMPLES + 1))
FTYP = bytes(Box(b"ftyp", b"isom"))
PLACES = {
    "behind a box that no one knows": b"\0\0\0\x10\x01\x02\x03\x04" + bytes(8) + FTYP,
    "behind many boxes": FTYP + bytes(Box(b"free")) * 900,
    "behind a wide box": FTYP + b"\0\0\0\1mdat" + (24).to_bytes(8, "big") + bytes(8),
}


@pytest.mark.parametrize("before", PLACES.values(), ids=PLACES)
def test_a_bomb_is_found_wherever_the_index_is(before):
    assert judge(BOMB, before=before) == "LIMIT_EXCEEDED"


def test_a_bomb_is_found_before_media_that_is_cut_off():
    moov = bytes(Box(b"moov", boxes=[BOMB]))
    film = Film(moov + b"\xff\xff\xff\xf0mdat")
    with pytest.raises(ChunkerError, match="samples"):
        refuse_bombs(KeptIndex(film), "film.mp4", PIXELS)  # type: ignore[arg-type]


def test_a_bomb_is_found_in_a_compressed_index():
    inner = bytes(Box(b"moov", boxes=[BOMB]))
    packed = Box(b"cmov", boxes=[Box(b"cmvd", words(len(inner)) + zlib.compress(inner))])
    assert judge(packed) == "LIMIT_EXCEEDED"


def test_a_bomb_is_found_in_boxes_that_are_longer_than_what_they_are_in():
    bomb = bytearray(bytes(BOMB))
    bomb[:4] = words(2**30)
    assert judge(Box(b"udta", bytes(bomb))) == "LIMIT_EXCEEDED"


def test_an_index_behind_a_thousand_boxes_is_none():
    before = FTYP + bytes(Box(b"free")) * bounds.MAX_TOP_LEVEL
    assert judge(BOMB, before=before) == "NOT_MEDIA"


def test_raw_samples_beyond_the_end_are_for_salvage():
    assert judge(track(stsz(100, 100_001)), salvage=True) == ""
