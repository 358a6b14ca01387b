"""MP4's tables, and what else is pure under `media`, against models that are slow and plain."""

import io
import struct
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, islice, pairwise
from math import ceil, floor
from types import SimpleNamespace

import pytest
from cutting import cut_film
from hypothesis import given, settings
from hypothesis import strategies as st
from m0_chunker.errors import ChunkerError
from m0_chunker.media.avc import ParameterSets, add_parameter_sets
from m0_chunker.media.certificate import Certificate, ChunkFacts
from m0_chunker.media.clock import Clock
from m0_chunker.media.mp4.boxes import BoxError, box, find, full_box
from m0_chunker.media.mp4.index import _read_steps
from m0_chunker.media.mp4.runs import Runs
from m0_chunker.media.mp4.template import TrackTemplate
from m0_chunker.media.mp4.track import SampleRuns, Steps, TrackIndex
from m0_chunker.media.mp4.verify import read_written
from m0_chunker.media.normalise import lengths_for_start_codes, without_adts
from m0_chunker.media.packets import Packets, batched, make_batch
from m0_chunker.media.router import Router
from m0_chunker.media.spool import Spooling
from m0_contract.errors import ErrorCode

quick = settings(deadline=None, max_examples=60)
values = st.lists(st.integers(-3, 3) | st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=30)


@quick
@given(values)
def test_runs_give_back_what_they_were_made_of(numbers):
    runs = Runs.of(numbers)
    assert list(runs.expanded()) == numbers
    assert runs.total == sum(numbers)
    assert all(a != b for a, b in pairwise(runs.values))


@quick
@given(values)
def test_a_table_can_be_read_back(numbers):
    content = Runs.of(numbers).to_box(b"ctts")
    assert struct.unpack(">I4s", content[:8]) == (len(content), b"ctts")
    steps = _read_steps(memoryview(content)[8:], len(numbers), "i")
    assert [steps.at(n) for n in range(len(numbers))] == numbers
    assert content[8] == (min(numbers) < 0)


@quick
@given(values, st.data())
def test_steps_between_two_samples(numbers, data):
    runs = Runs.of(numbers)
    steps = Steps(array("Q", accumulate(runs.counts, initial=0)), runs.values)
    start = data.draw(st.integers(0, len(numbers) - 1))
    end = data.draw(st.integers(start + 1, len(numbers)))
    between = steps.between(start, end)
    assert list(between.expanded()) == numbers[start:end]
    assert sum(between.counts) == end - start
    assert [steps.at(n) for n in range(len(numbers))] == numbers


def make_index(deltas: list[int], offsets: list[int] | None = None) -> TrackIndex:
    runs = Runs.of(deltas)
    firsts = array("Q", accumulate(runs.counts, initial=0))
    times = accumulate(map(int.__mul__, runs.counts, runs.values), initial=0)
    shown = None
    if offsets:
        parts = Runs.of(offsets)
        shown = Steps(array("Q", accumulate(parts.counts, initial=0)), parts.values)
    sizes = array("I", [1] * len(deltas))
    count = len(deltas)
    places = SampleRuns(
        array("Q", [0, count]), array("I", [count]), array("I", [0]), array("Q", [count]), None
    )
    return TrackIndex(
        1, 1000, memoryview(b""), sizes, array("Q", range(count + 1)), places,
        Steps(firsts, runs.values), array("q", list(times)[:-1]), shown, None, Fraction(0), 0,
    )  # fmt: skip


@quick
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(-5, 170))
def test_the_first_sample_at_a_time(deltas, tick):
    index = make_index(deltas)
    starts = list(accumulate(deltas, initial=0))
    assert [index.dts(n) for n in range(len(deltas) + 1)] == starts
    wanted = next((n for n, time in enumerate(starts[:-1]) if time >= tick), len(deltas))
    assert index.first_at(tick) == wanted


@quick
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-3, 9)), min_size=1, max_size=40))
def test_the_latest_end_of_some_samples(pairs):
    deltas, offsets = map(list, zip(*pairs, strict=True))
    index, starts = make_index(deltas, offsets), list(accumulate(deltas, initial=0))
    ends = [starts[n] + offsets[n] + deltas[n] for n in range(len(deltas))]
    assert index.longest(0, len(deltas)) == max(ends[-32:])
    assert [index.pts(n) for n in range(len(deltas))] == [
        a + b for a, b in zip(starts, offsets, strict=False)
    ]


# NAL units and frames

units = st.lists(
    st.binary(min_size=1, max_size=20)
    .filter(lambda unit: b"\0\0\0" not in unit and b"\0\0\1" not in unit)
    .map(lambda unit: unit.rstrip(b"\0") + b"\x80"),
    min_size=1,
    max_size=6,
)


@quick
@given(units, st.lists(st.sampled_from([b"\0\0\1", b"\0\0\0\1"]), min_size=6, max_size=6))
def test_start_codes_become_lengths(parts, codes):
    stream = b"".join(code + unit for code, unit in zip(codes, parts, strict=False))
    wanted = b"".join(struct.pack(">I", len(unit)) + unit for unit in parts)
    assert lengths_for_start_codes(stream) == wanted
    assert lengths_for_start_codes(stream + b"\0\0") == wanted


def test_adts_headers_are_taken_off():
    plain, checked = bytes.fromhex("fff14c80010000"), bytes.fromhex("fff04c800100001234")
    assert without_adts(plain + b"sound") == b"sound"
    assert without_adts(checked + b"sound") == b"sound"
    assert without_adts(b"sound without") == b"sound without"
    assert without_adts(b"\xff\xf1") == b"\xff\xf1"


def exp_golomb(number: int) -> bytes:
    """As H.264 writes it, filled up with ones."""
    bits = f"{number + 1:b}"
    bits = "0" * (len(bits) - 1) + bits
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big") + b"\xff"


def parameter_sets(ids: list[int]) -> ParameterSets:
    return ParameterSets(
        tuple(b"\x67\x64\x00\x1e" + exp_golomb(number) for number in ids),
        tuple(b"\x68" + exp_golomb(number) for number in ids),
    )


@quick
@given(st.sets(st.integers(0, 31), min_size=1))
def test_a_free_id_is_none_of_the_others(ids):
    free = parameter_sets(sorted(ids)).free_id()
    assert free is None if len(ids) == 32 else free in set(range(32)) - ids


def avcc(sets: ParameterSets, rest: bytes) -> bytes:
    lists = [
        bytes([mask | len(each)]) + b"".join(struct.pack(">H", len(u)) + u for u in each)
        for mask, each in ((0xE0, sets.sequence), (0, sets.picture))
    ]
    return b"\x01\x64\x00\x1e\xff" + b"".join(lists) + rest


@quick
@given(st.integers(0, 30), st.sampled_from([b"", b"\xfd\xf8\xf8\x00"]), st.booleans())
def test_a_description_holds_both_kinds_of_parameter_sets(number, rest, more):
    own, new = parameter_sets([number]), parameter_sets([31])
    after = box(b"pasp", bytes(8)) if more else b""
    entry = box(b"avc1", bytes(78), box(b"avcC", avcc(own, rest)), after)
    description = full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry)
    template = TrackTemplate(b"", b"", b"", b"", description, b"")
    changed = add_parameter_sets(template, new).descriptions
    assert struct.unpack_from(">I", changed)[0] == len(changed)
    inside = memoryview(changed)[16:]
    assert struct.unpack_from(">I", inside)[0] == len(inside)
    record = bytes(find(inside[8 + 78 :], b"avcC"))
    assert ParameterSets.read(record) == ParameterSets(
        own.sequence + new.sequence, own.picture + new.picture
    )
    assert record.endswith(rest)
    assert (find(inside[8 + 78 :], b"pasp") is not None) == more
    annexb = b"".join(b"\0\0\0\1" + unit for unit in [*own.sequence, *own.picture])
    assert ParameterSets.read(annexb) == own


# The certificate

counts = st.lists(st.integers(0, 10**7), min_size=1, max_size=5)


@quick
@given(counts, st.data())
def test_a_certificate_that_was_stored_goes_on(first, data):
    def facts(read: list[int]) -> ChunkFacts:
        return ChunkFacts(
            read, read, [min(n, 2) for n in read], data.draw(st.integers(0, 10**12)),
            data.draw(st.binary(min_size=32, max_size=32)), data.draw(st.integers(0, 99)) / 8,
            data.draw(st.integers(0, 99)) / 8, data.draw(st.integers(0, 9)), 3,
        )  # fmt: skip

    chunks = [facts(first), facts([n // 2 for n in first]), facts(first)]
    whole, part = Certificate(), Certificate()
    for number, chunk in enumerate(chunks, 1):
        whole.add(chunk, number)
        part.add(chunk, number)
        part = Certificate.load(part.dump())
    assert part == whole
    delivered = [2 * n + n // 2 - sum(min(m, 2) for m in (n, n // 2, n)) for n in first]
    whole.check(delivered)
    with pytest.raises(ChunkerError, match="packets"):
        whole.check([delivered[0] + 1, *delivered[1:]])


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1,2]", "null", '["",[1],0,0,"zz",0,0,0,0]'])
def test_what_is_no_certificate_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own is one, too
        Certificate.load(text)


def test_a_packet_lost_in_a_chunk_is_noticed():
    facts = ChunkFacts([5, 7], [5, 6], [0, 0], 1, bytes(32))
    with pytest.raises(ChunkerError, match="stream 1: 7 packets were read, 6 are in the chunk"):
        Certificate().add(facts, 3)


# What was written, read back


def test_an_index_that_says_something_else_than_is_there_is_refused(make_film, tmp_path):
    (body, *_) = cut_film(make_film("plain.mp4", seconds=7.0), tmp_path, 2).bodies
    head = body[: body.index(b"mdat") + 4]
    payload = len(body) - len(head)
    assert sum(each.size_bytes for each in read_written(head, payload)) == payload
    for other in (payload - 1, payload + 1):
        with pytest.raises(BoxError, match="do not fill"):
            read_written(head, other)
    at = head.index(b"stsz") + 16  # the first sample's size
    for changed in (b"\0\0\0\1", b"\0\1\0\0"):
        with pytest.raises(BoxError):
            read_written(head[:at] + changed + head[at + 4 :], payload)
    at = head.index(b"stco") + 12
    with pytest.raises(BoxError):
        read_written(head[: at + 3] + bytes([head[at + 3] ^ 1]) + head[at + 4 :], payload)


# Times and packets

fractions = st.fractions(-10, 10**6, max_denominator=10**6)


@quick
@given(
    fractions,
    st.fractions(Fraction(1, 90_000), 2, max_denominator=90_000),
    fractions,
    st.integers(-(2**40), 2**40),
)
def test_a_clock_is_as_exact_as_fractions(origin, base, time, tick):
    clock, place = Clock.of(origin, base), (origin + time) / base
    assert (clock.first_from(time), clock.last_until(time)) == (ceil(place), floor(place))
    assert clock.time(tick) == tick * base - origin
    assert clock.seconds_between(time, tick) == float(tick * base - origin - time)
    assert clock.ticks_between(tick, time) == float(place - tick)


def test_packets_come_with_the_first_of_each_stream_and_before_a_failure():
    def given():
        for number in [0, 0, 1, *[0] * 70, 1]:
            yield number, SimpleNamespace(pts=0, dts=0, size=1, duration=1, is_keyframe=True)
        raise ChunkerError(ErrorCode.SOURCE_CORRUPT, "broken")

    source = batched(given(), lambda: [None, None])
    batches = list(islice(source, 4))
    with pytest.raises(ChunkerError, match="broken"):
        next(source)
    assert [len(each) for each in batches] == [1, 2, 64, 7]
    assert [list(each.examples) for each in batches] == [[0], [0, 1], [0], [0, 1]]


# The router


@dataclass
class Writer:
    """As much of a chunk as the router knows."""

    chunk_id: int
    start: int
    end: Fraction | None = None
    waiting: list[Packets] = field(default_factory=lambda: [Packets(), Packets()])
    shared: list[int] = field(default_factory=lambda: [0, 0])


@quick
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.lists(st.integers(1, 30), max_size=6),
    st.integers(0, 12),
    st.lists(st.integers(0, 8), max_size=10),
)
def test_each_packet_goes_where_the_pictures_of_its_time_are(steps, lengths, overlap, batches):
    """Against all packets and all boundaries being known."""
    times = list(accumulate(steps))
    starts = list(accumulate(lengths, initial=0))
    ends = [Fraction(start + overlap) for start in starts[1:]]
    streams = [SimpleNamespace(time_base=Fraction(1), type=kind) for kind in ("video", "audio")]
    router = Router(streams, 0, Fraction(0))
    writers = [Writer(n, start) for n, start in enumerate(starts, 1)]
    opened: list[Writer] = []
    packets = [
        (1, SimpleNamespace(pts=t, dts=t, size=1, duration=1, is_keyframe=True)) for t in times
    ]
    horizons = sorted(batches)
    left = list(packets)
    for horizon in [*horizons, None]:
        come = len(left) if horizon is None else max(len(left) // 2, 0)
        router.queues[1].extend(make_batch(left[:come], [None, None]).streams[1])
        left = left[come:]
        for writer in writers[len(opened) :]:
            if horizon is None or writer.start <= horizon:
                opened.append(writer)
                router.begin(Fraction(writer.start))
        for writer, end in zip(opened, ends, strict=False):
            if horizon is None or end <= horizon:
                writer.end = end
        router.route(opened, horizon, resumed=False)
    for n, writer in enumerate(writers):
        first = -1 if n == 0 else writer.start
        after = ends[n] if n < len(ends) else 10**9
        assert writer.waiting[1].pts == [t for t in times if first <= t < after]
        before = ends[n - 1] if n else -1
        assert writer.shared[1] == sum(first <= t < before for t in times)


# The spool


@quick
@given(
    st.lists(st.binary(max_size=40), max_size=12),
    st.integers(0, 200),
    st.integers(0, 300),
    st.data(),
)
def test_a_spool_gives_back_what_was_put_there(pieces, memory, expected, data):
    spool, content = Spooling(None, memory).open(expected), b"".join(pieces)
    for piece in pieces:
        spool.write(piece)
    assert spool.size == len(content)
    assert b"".join(spool.buffers()) == content
    model = io.BytesIO(content)
    for _ in range(3):
        place, size = data.draw(st.integers(0, 200)), data.draw(st.integers(0, 200))
        spool.seek(min(place, len(content)))
        model.seek(min(place, len(content)))
        assert spool.read(size) == model.read(size)
        assert spool.read(3) == model.read(3)
    spool.close()
