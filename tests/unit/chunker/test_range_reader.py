"""An object as a file: each byte fetched once, little ahead, errors sorted."""

import random
import threading

import pytest
from m0_chunker.errors import ChunkerError
from m0_chunker.storage.pump import Pump
from m0_chunker.storage.range_reader import BUFFER_BYTES, RangeReader
from m0_contract.errors import ErrorCode

DATA = random.Random(7).randbytes(400_003)


class Wire:
    """A store's answers; notes what was asked for, and can be made to fail."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []
        self.errors: list[ChunkerError] = []
        self.lock = threading.Lock()

    def __call__(self, offset, length):
        with self.lock:
            self.asked.append((offset, length))
            if self.errors:
                raise self.errors.pop()
        return Body(self.data[offset : offset + length])


class Body:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read1(self, size):
        part = self.data[self.at : self.at + min(size, 700)]
        self.at += len(part)
        return part

    def close(self):
        pass


def make_reader(wire=None, **more):
    wire = wire or Wire()
    sizes = {
        "span_bytes": 4000,
        "first_span_bytes": 1000,
        "buffer_bytes": 48_000,
        "back_bytes": 500,
    } | more
    return RangeReader(len(wire.data), "etag", Pump(wire, sleep=lambda _: None), **sizes)


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


@pytest.mark.parametrize(("tracks", "most"), [(2, 1.01), (3, 1.01), (5, 1.1)])
def test_tracks_that_lie_apart_are_each_fetched_once(tracks, most):
    reader = make_reader()
    length = len(DATA) // tracks
    for step in range(0, length, 300):
        for track in range(tracks):
            at = track * length + step
            # libav's buffer reaches further than the sample, which is then read once more
            size = min(500, length - step)
            assert read_at(reader, at, size) == DATA[at : at + size]
    assert reader.bytes_read <= len(DATA) * most


def test_index_at_the_end_first_costs_nothing_twice():
    wire = Wire()
    reader = make_reader(wire)
    assert read_at(reader, 0, 40) == DATA[:40]
    index = len(DATA) - 3_500
    read_at(reader, index, 3_500)
    assert all(offset < 5000 or offset >= index for offset, _ in wire.asked), wire.asked
    assert read_at(reader, 40, index - 40) == DATA[40:index]
    assert reader.bytes_read == len(DATA)


def test_one_look_at_the_end_fetches_little():
    wire = Wire()
    reader = make_reader(wire)
    read_at(reader, len(DATA) // 2, 10)
    reader.close()
    assert wire.asked == [(len(DATA) // 2, 1000)]


def test_little_is_fetched_ahead_of_the_first_chunk():
    reader = make_reader()
    for end in range(1000, 40_000, 1000):
        read_at(reader, end - 1000, 1000)
        assert sum(span.length for span in reader._spans.values()) <= 2 * end + 4000


def test_memory_is_bounded_whatever_is_read():
    wire = Wire()
    reader = make_reader(wire)
    chance = random.Random(5)
    for _ in range(2000):
        at = chance.randrange(len(DATA))
        size = chance.choice([1, 100, 5000])
        assert read_at(reader, at, size) == DATA[at : at + size]
        assert sum(span.length for span in reader._spans.values()) == reader._held
        assert reader._held <= 48_000
    assert BUFFER_BYTES <= 48 * 2**20


def test_seeks_as_files_do():
    reader = make_reader()
    assert reader.seek(-10, 2) == len(DATA) - 10
    assert reader.read(100) == DATA[-10:]
    assert reader.seek(5) == 5
    assert reader.read(0) == b""
    assert reader.seek(3, 1) == 8
    assert reader.tell() == 8
    assert reader.seek(len(DATA) + 7) == len(DATA) + 7
    assert reader.read(3) == b""


def test_the_answer_that_told_the_size_is_not_asked_for_again():
    wire = Wire()
    reader = make_reader(wire, first=Body(DATA[:1000]))
    assert read_at(reader, 0, 1000) == DATA[:1000]
    reader.close()
    assert all(offset >= 1000 for offset, _ in wire.asked)


def test_transient_errors_are_tried_again():
    wire = Wire()
    wire.errors = [ChunkerError(ErrorCode.SOURCE_UNREACHABLE, "reset") for _ in range(4)]
    reader = make_reader(wire)
    assert read_at(reader, 0, 2500) == DATA[:2500]
    assert reader.failure is None


@pytest.mark.parametrize("code", [ErrorCode.SOURCE_CHANGED, ErrorCode.SOURCE_FORBIDDEN])
def test_permanent_errors_end_it_and_are_remembered(code):
    wire = Wire()
    wire.errors = [ChunkerError(code, "no") for _ in range(9)]
    reader = make_reader(wire)
    with pytest.raises(ChunkerError) as caught:
        reader.read(1)
    assert caught.value.code is code
    assert reader.failure is caught.value
    assert [offset for offset, _ in wire.asked].count(0) == 1


def test_a_bug_in_a_thread_is_raised_where_it_is_read():
    class Broken(Body):
        def read1(self, _size):
            raise ZeroDivisionError

    wire = Wire()
    reader = make_reader(wire, first=Broken(b""))
    with pytest.raises(ZeroDivisionError):
        reader.read(1)
