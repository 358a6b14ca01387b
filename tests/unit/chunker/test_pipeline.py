"""The line's promises, with fakes for everything outside."""

import asyncio
import hashlib
import io
import threading
import time
from dataclasses import replace
from fractions import Fraction

import pytest
from m0_chunker.chunk import Chunk, ChunkBody
from m0_chunker.errors import ChunkerError
from m0_chunker.pipeline import Pipeline, Places
from m0_chunker.plan import Resumption
from m0_chunker.resume import Done, StoredChunk
from m0_contract.errors import ErrorCode
from m0_contract.keys import ObjectUrl
from m0_contract.request import VideoRequest

REQUEST = VideoRequest.model_validate(
    {
        "process_id": 101,
        "inference_modality": "batch",
        "cloud_stream_path": "s3://films/a.mp4",
        "destination_prefix": "processed/101/",
        "cache_container_name": "cache",
        "video_preprocessing": {"chunk_duration": 10},
    }
)


class World:
    """A store, a database and a queue that write down what happens to them."""

    def __init__(self, *, copies: bool = False, waits: bool = True) -> None:
        self.log: list[tuple[str, str]] = []
        self.threads: set[int] = set()
        self.copies, self.waits = copies, waits
        self.fail: dict[tuple[str, str], ChunkerError] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.cut = 0
        self.bodies: list[ChunkBody] = []

    def note(self, what: str, which: object) -> None:
        self.log.append((what, str(which)))
        self.threads.add(threading.get_ident())
        if error := self.fail.get((what, str(which))):
            raise error

    def put(self, url, body, info):
        self.gate.wait(5)
        body.seek(0)
        assert hashlib.sha256(body.read()).hexdigest() == info.sha256
        assert (info.ttl_hours is None) == (url.container == "films")
        self.note("put", url)

    def copy(self, _source, url, _info):
        if self.copies:
            self.note("copy", url)
        return self.copies

    async def record(self, message):
        self.note("row", message.chunk_id)

    async def announce(self, message):
        self.note("message", message.chunk_id)

    async def report(self, progress):
        self.note("progress", progress.chunks)

    def chunks(self, count, first=1):
        for number in range(first, count + 1):
            content = b"chunk %d" % number
            self.cut = number
            body = ChunkBody(content[:3], io.BytesIO(b"..." + content[3:]), 3, len(content) - 3)
            self.bodies.append(body)
            yield Chunk(
                number,
                10.0 * (number - 1),
                10.0 * number,
                hashlib.sha256(content).hexdigest(),
                body,
            )


def make_pipeline(world, uploads=2):
    places = Places(ObjectUrl("s3", "", "films", "processed/101"), "cache", world, 24)
    return Pipeline(REQUEST, places, world, world, uploads=uploads, resource="video-101")


waiting_or_not = pytest.mark.parametrize("waits", [True, False], ids=["waits", "never waits"])


@waiting_or_not
async def test_each_chunk_is_stored_then_recorded_then_announced_in_order(waits):
    world = World(waits=waits)
    pipeline = make_pipeline(world)
    await pipeline.run(lambda: world.chunks(5))
    assert [entry for entry in world.log if entry[0] == "message"] == [
        ("message", str(n)) for n in range(1, 6)
    ]
    for n in range(1, 6):
        order = [
            world.log.index(("put", f"s3://films/processed/101/chunk_{n:03d}.mp4")),
            world.log.index(("put", f"s3://cache/temp/101/chunk_{n:03d}.mp4")),
            world.log.index(("row", str(n))),
            world.log.index(("message", str(n))),
            world.log.index(("progress", str(n))),
        ]
        assert order == sorted(order)
    assert all(body.closed for body in world.bodies)
    assert (pipeline.tally.chunks, pipeline.tally.done_s) == (5, 50.0)


async def test_where_nothing_waits_the_cutters_thread_does_it_all():
    world = World(waits=False)

    def cut():
        world.threads.add(threading.get_ident())
        yield from world.chunks(5)

    await make_pipeline(world).run(cut)
    assert len(world.threads) == 1


async def test_where_nothing_waits_nothing_is_said_after_the_stop():
    world = World(waits=False)
    world.gate.clear()
    running = asyncio.create_task(make_pipeline(world).run(lambda: world.chunks(5)))
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    world.gate.set()
    await asyncio.sleep(0.1)
    assert world.bodies[0].closed
    assert {what for what, _ in world.log} == {"put"}
    assert world.cut == 1


async def test_a_store_that_copies_is_sent_the_bytes_once():
    world = World(copies=True)
    await make_pipeline(world).run(lambda: world.chunks(2))
    assert [what for what, _ in world.log].count("put") == 2
    assert [what for what, _ in world.log].count("copy") == 2


@pytest.mark.parametrize("uploads", [1, 3])
async def test_the_cutter_waits_when_stores_are_slow(uploads):
    world = World()
    world.gate.clear()
    running = asyncio.create_task(make_pipeline(world, uploads).run(lambda: world.chunks(20)))
    for _ in range(100):
        await asyncio.sleep(0.002)
    assert world.cut == uploads + 1
    world.gate.set()
    await running
    assert world.cut == 20


@waiting_or_not
@pytest.mark.parametrize(
    ("where", "announced"),
    [
        pytest.param(("put", "s3://cache/temp/101/chunk_003.mp4"), 2, id="upload"),
        pytest.param(("row", "3"), 2, id="row"),
        pytest.param(("message", "3"), 2, id="message"),
    ],
)
async def test_a_failure_names_its_chunk_and_nothing_follows_it(where, announced, waits):
    world = World(waits=waits)
    world.fail[where] = ChunkerError(ErrorCode.UPLOAD_FAILED, "broken")
    pipeline = make_pipeline(world)
    with pytest.raises(ChunkerError) as caught:
        await pipeline.run(lambda: world.chunks(50))
    assert caught.value.chunk_id == 3
    assert pipeline.tally.chunks == announced
    assert ("message", "4") not in world.log
    assert ("row", "4") not in world.log


@waiting_or_not
async def test_a_failing_cutter_still_lets_earlier_chunks_out(waits):
    world = World(waits=waits)

    def cut():
        yield from world.chunks(2)
        raise ChunkerError(ErrorCode.SOURCE_CORRUPT, "cut off")

    pipeline = make_pipeline(world)
    with pytest.raises(ChunkerError) as caught:
        await pipeline.run(cut)
    assert caught.value.code is ErrorCode.SOURCE_CORRUPT


class Earlier(World):
    """A store that an earlier attempt has put a chunk into, and that can't copy."""

    def __init__(self, content: bytes, *, waits: bool = True) -> None:
        super().__init__(waits=waits)
        self.content = content

    def open_source(self, _url):
        time.sleep(0.05)
        return io.BytesIO(self.content)

    def head(self, _url):
        return None


def done(content: bytes) -> Done:
    digest = hashlib.sha256(content).hexdigest()
    chunk = StoredChunk(1, 0.0, 10.0, digest, len(content))
    return Done(Resumption(1, Fraction(10), ""), (chunk,), same_run=True, whole=True)


async def test_what_cannot_be_copied_is_read_back_and_put():
    world = Earlier(b"a chunk " * 1000)
    await make_pipeline(world).run(lambda: iter(()), done(world.content))
    assert world.log == [
        ("put", "s3://cache/temp/101/chunk_001.mp4"),
        ("row", "1"),
        ("message", "1"),
        ("progress", "1"),
    ]


@waiting_or_not
async def test_what_was_stored_before_is_said_before_what_is_cut_now(waits):
    world = Earlier(b"a chunk " * 1000, waits=waits)
    before = replace(done(world.content), whole=False)
    await make_pipeline(world).run(lambda: world.chunks(3, first=2), before)
    assert [which for what, which in world.log if what == "message"] == ["1", "2", "3"]


async def test_what_is_not_what_it_was_is_not_announced():
    world = Earlier(b"a chunk " * 1000)
    before = done(world.content)
    world.content = world.content[::-1]
    with pytest.raises(ChunkerError) as caught:
        await make_pipeline(world).run(lambda: iter(()), before)
    assert caught.value.code is ErrorCode.INTEGRITY
    assert world.log == []
