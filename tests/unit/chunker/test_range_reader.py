"""An object as a file: each byte fetched once, errors sorted into patience and giving up."""

import random

import pytest
from m0_chunker.errors import ChunkerError
from m0_chunker.storage.range_reader import RangeReader
from m0_contract.errors import ErrorCode

DATA = random.Random(7).randbytes(100_003)
BLOCK = 1000


def make_reader(fetch=None, **more):
    return RangeReader(
        len(DATA),
        fetch or (lambda offset, length: DATA[offset : offset + length]),
        block_bytes=BLOCK,
        sleep=lambda _: None,
        **more,
    )


def read_at(reader, offset, size):
    reader.seek(offset)
    parts = []
    while size and (part := reader.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def test_in_sequence_each_byte_is_fetched_once():
    reader = make_reader()
    assert read_at(reader, 0, len(DATA) + 5) == DATA
    assert reader.bytes_read == len(DATA)
    assert reader.read(1) == b""


def test_index_at_the_end_first_then_two_tracks_far_apart():
    reader = make_reader()
    assert read_at(reader, 0, 40) == DATA[:40]
    assert read_at(reader, len(DATA) - 3000, 3000) == DATA[-3000:]
    for step in range(0, 45_000, 100):
        for base in (0, 50_000):
            at = base + step
            assert read_at(reader, at, 100) == DATA[at : at + 100]
    assert reader.bytes_read <= len(DATA) * 1.1


def test_seeks_as_files_do():
    reader = make_reader()
    assert reader.seek(-10, 2) == len(DATA) - 10
    assert reader.read(100) == DATA[-10:-3], "up to the end of a block"
    assert reader.read(100) == DATA[-3:]
    assert reader.seek(5) == 5
    assert reader.read(0) == b""
    assert reader.seek(3, 1) == 8
    assert reader.tell() == 8


def test_transient_errors_are_tried_again():
    calls = []

    def fetch(offset, length):
        calls.append(offset)
        if calls.count(offset) < 3:
            raise ChunkerError(ErrorCode.SOURCE_UNREACHABLE, "reset")
        return DATA[offset : offset + length]

    reader = make_reader(fetch)
    assert read_at(reader, 0, 2500) == DATA[:2500]
    assert reader.failure is None


@pytest.mark.parametrize("code", [ErrorCode.SOURCE_CHANGED, ErrorCode.SOURCE_FORBIDDEN])
def test_permanent_errors_end_it_and_are_remembered(code):
    calls = []

    def fetch(offset, _length):
        calls.append(offset)
        raise ChunkerError(code, "no")

    reader = make_reader(fetch)
    with pytest.raises(ChunkerError) as caught:
        reader.read(1)
    assert caught.value.code is code
    assert reader.failure is caught.value
    assert calls.count(0) == 1
