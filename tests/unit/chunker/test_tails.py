"""What headers say of a film's length, against the file's."""

import io
import struct

import pytest
from m0_chunker.media.tails import count_missing

EBML = bytes.fromhex("1a45dfa3 8b 4282 88") + b"matroska"
SEGMENT = bytes.fromhex("18538067")


def missing(data: bytes, size_bytes: int | None = None) -> int:
    return count_missing(io.BytesIO(data), len(data) if size_bytes is None else size_bytes)


def segment(size: str, content: int, before: bytes = b"") -> bytes:
    return EBML + before + SEGMENT + bytes.fromhex(size) + bytes(content)


def riff(size: int, content: int, kind: bytes = b"AVI ") -> bytes:
    return b"RIFF" + struct.pack("<I", size) + kind + bytes(content)


def wave(
    data_bytes: int, content: int, first: bytes = b"", kind: bytes = b"RIFF", riff_bytes: int = 0
) -> bytes:
    shape = b"fmt " + struct.pack("<I", 16) + bytes(16)
    data = b"data" + struct.pack("<I", data_bytes) + bytes(content)
    return kind + struct.pack("<I", riff_bytes) + b"WAVE" + first + shape + data


def ds64(data_bytes: int) -> bytes:
    return b"ds64" + struct.pack("<IQQQI", 28, 0, data_bytes, 0, 0)


WHOLE = {
    "a Matroska segment as long as it says": segment("8a", 10),
    "a Matroska segment of 8 bytes' size": segment("01 0000000000000a", 10),
    "a Matroska segment with something after it": segment("8a", 50),
    "a Matroska segment of unknown size, live": segment("01 ffffffffffffff", 10),
    "a Matroska segment of unknown size in one byte": segment("ff", 10),
    "a Matroska header cut off": EBML[:9],
    "a Matroska header without a segment": EBML + b"\x42\x42\x42\x42" * 3,
    "an AVI as long as it says": riff(4 + 20, 20),
    "an AVI that counts its header, too": riff(4 + 20 + 8, 20),
    "an AVI of several parts": riff(4 + 20, 20) + riff(4 + 6, 6, b"AVIX"),
    "an AVI of no known size": riff(0, 20),
    "a WAV as long as it says": wave(30, 30),
    "a WAV with more after its sound": wave(30, 90),
    "a WAV of size 0, from a pipe": wave(0, 30),
    "a WAV of size 2^32-1, from a pipe": wave(0xFFFFFFFF, 30),
    "a WAV of size 2^31-1, from a pipe": wave(0x7FFFFFFF, 30),
    "a WAV of 64 bits": wave(0xFFFFFFFF, 30, ds64(30), b"RF64", 0xFFFFFFFF),
    "a WAV without its pad byte": wave(31, 31),
    "a WAV without sound": riff(4 + 20, 20, b"WAVE"),
    "a transport stream": b"\x47" + bytes(187) * 3,
    "text": b"once upon a time",
    "a byte": b"\0",
}
CUT = {
    "a Matroska segment": (segment("40 64", 10), 90),
    "a Matroska segment, by one byte": (segment("8b", 10), 1),
    "a Matroska segment after padding": (segment("8b", 10, b"\xec\x83\0\0\0"), 1),
    "an AVI": (riff(4 + 100, 20), 80),
    "an AVI in its second part": (riff(4 + 20, 20) + riff(4 + 60, 6, b"AVIX"), 54),
    "a WAV": (wave(100, 30), 70),
    "a WAV of 64 bits": (wave(0xFFFFFFFF, 30, ds64(2**33), b"RF64"), 2**33 - 30),
    "a WAV after another chunk of odd length": (wave(100, 30, b"LIST\3\0\0\0abc\0"), 70),
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_nothing_is_known_to_be_missing(data):
    assert missing(data) == 0


@pytest.mark.parametrize(("data", "bytes_gone"), CUT.values(), ids=CUT)
def test_what_is_missing_is_counted(data, bytes_gone):
    assert missing(data) == bytes_gone


@pytest.mark.parametrize("data", [each for each, _ in CUT.values()], ids=CUT)
def test_any_beginning_of_a_header_is_read_without_a_crash(data):
    for length in range(len(data)):
        assert missing(data[:length]) >= 0
