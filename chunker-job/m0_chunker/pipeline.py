"""The line: cut, store, record, announce. Each chunk passes in this order, chunks in theirs.

Cutting runs in a thread and blocks when it is ahead; up to `uploads` chunks are being
stored at a time; rows and messages go out one after the other. Where none of that waits for
anybody (files, and lines on standard output) the cutter's thread does it all: handing a small
chunk to other threads costs more than making it. What comes out of the cutter is a stream of
chunks: nothing here needs to know how many there will be.
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from decimal import Decimal

from m0_contract.chunk import ChunkMessage, Progress
from m0_contract.errors import ErrorCode
from m0_contract.keys import ObjectUrl, cache_url, chunk_filename, chunk_url
from m0_contract.request import VideoRequest
from m0_wire import crash

from m0_chunker.adapters.announcer import Announcer
from m0_chunker.adapters.database import Database
from m0_chunker.chunk import Chunk, ChunkBody
from m0_chunker.errors import ChunkerError, StoppedError
from m0_chunker.logs import event, format_second
from m0_chunker.media.spool import Spooling
from m0_chunker.resume import NOTHING, Done, Imprint, StoredChunk
from m0_chunker.storage.base import ObjectInfo, Store
from m0_chunker.tally import Tally
from m0_chunker.tracing import UNTRACED, Attributes, Trace

_Stored = asyncio.Queue[tuple[Chunk | StoredChunk, Future[None]] | None]
_END = None

COPY_BYTES = 2**20
ON_DISK = Spooling(None, 0)

STOP_S = 0.2
"""Seconds between two looks at whether a waiting cutter is still wanted."""

SAY_S = 1.0
"""Seconds that a line may take that is being written when all is to end; nobody may read it."""

PROGRESS_S = 0.5
"""Seconds between two lines that say how far it is, at least, where nothing waits for anybody:
hundreds of chunks may be done in a second there, and each one's message is a line by itself."""

WATCH_S = 2.0
"""Seconds between two looks at whether the cutter still gets on."""


@dataclass(frozen=True)
class Places:
    """Where chunks go.

    Attributes:
        destination: the prefix of the persistent objects.
        cache_container: the cache's bucket, container or directory.
        store: of both.
        ttl_hours: life of a cached chunk, hours.
    """

    destination: ObjectUrl
    cache_container: str
    store: Store
    ttl_hours: float


class Pipeline:
    """One video's way through."""

    def __init__(
        self,
        request: VideoRequest,
        places: Places,
        database: Database,
        announcer: Announcer,
        *,
        uploads: int,
        spooling: Spooling = ON_DISK,
        stall_s: float = 120.0,
        resource: str | None = None,
        attempt: int = 1,
        trace: Trace = UNTRACED,
    ) -> None:
        """Args:
        request: what is asked for.
        places: where chunks go.
        database: records them.
        announcer: announces them.
        uploads: chunks between the cutter and their announcement, at most.
        spooling: where a chunk is kept that must be read back from the store.
        stall_s: give up when the cutter is silent for so long, seconds.
        resource: the VideoChunkJob's name, for progress; None sends none.
        attempt: of the Job.
        trace: is told what is done for each chunk.
        """
        self._trace = trace
        self._request, self.places = request, places
        self._database, self._announcer = database, announcer
        self._waits = places.store.waits or database.waits or announcer.waits
        self._slots = threading.Semaphore(uploads)
        self._resource, self._attempt = resource, attempt
        self._first_urls = (
            chunk_url(places.destination, 1),
            cache_url(places.destination, places.cache_container, request.process_id, 1),
        )
        # What a chunk's URLs begin with; its name has no letter that a URL must quote.
        self._url_texts = [str(url).removesuffix(chunk_filename(1)) for url in self._first_urls]
        self.tally = Tally()
        self.imprint = Imprint("", None, uploads)
        self._spooling = spooling
        self._stop = threading.Event()
        self._saying = threading.Lock()
        self._said_at = -PROGRESS_S
        self._stall_s = stall_s
        self._pulse: float | None = None

    async def run(
        self,
        cut: Callable[[], Iterator[Chunk]],
        done: Done = NOTHING,
        progress: Callable[[], int] = lambda: 0,
    ) -> None:
        """Take chunks from `cut` until it ends.

        Args:
            cut: called in a thread; its iterator is closed there too.
            done: what an earlier attempt has stored; the last of it is announced before.
            progress: a number that changes while the film is being read.

        Raises:
            ChunkerError: the first failure; chunks announced before it stay.
        """
        stored: _Stored = asyncio.Queue()
        workers = ThreadPoolExecutor(self.imprint.window, thread_name_prefix="store")
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(progress))
                group.create_task(self._announce_all(stored))
                for chunk in done.redo:
                    await asyncio.to_thread(self._take_slot)
                    restoring = workers.submit(self._restore, chunk, keep=done.same_run)
                    stored.put_nowait((chunk, restoring))
                if not done.whole:
                    if not self._waits:
                        await stored.join()  # the cutter's thread would say its chunks first
                    await self._cut_all(cut, stored, workers)
                stored.put_nowait(_END)
                watching.cancel()
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            self._stop.set()
            if self._saying.acquire(timeout=SAY_S):  # what was said is counted in the outcome
                self._saying.release()
            workers.shutdown(wait=False, cancel_futures=True)

    async def _watch(self, progress: Callable[[], int]) -> None:
        """End it when the cutter neither gets on nor waits for us: a film can be a trap."""
        seen, since = -1, time.monotonic()
        while True:
            await asyncio.sleep(min(WATCH_S, self._stall_s / 2))
            now, pulse = progress(), self._pulse
            if pulse is None or now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - max(since, pulse) > self._stall_s:
                raise ChunkerError(
                    ErrorCode.SOURCE_CORRUPT,
                    f"for {self._stall_s:g} s nothing could be got out of the film",
                )

    async def _cut_all(
        self, cut: Callable[[], Iterator[Chunk]], stored: _Stored, workers: ThreadPoolExecutor
    ) -> None:
        loop = asyncio.get_running_loop()

        def hand_over(chunk: Chunk) -> None:
            # Here the cutter waits, with one chunk in its hands, when it is ahead. It starts the
            # upload itself: a way over the loop would cost two more threads' waking up a chunk.
            self._take_slot()
            storing = workers.submit(self._store, chunk)
            loop.call_soon_threadsafe(stored.put_nowait, (chunk, storing))

        take = hand_over if self._waits else self._deliver

        def pump() -> None:
            self._pulse = time.monotonic()
            chunks = self._trace.cutting(cut())
            try:
                for chunk in chunks:
                    self._pulse = None
                    crash.point("chunk.cut")
                    take(chunk)
                    self.check_stop()
            finally:
                self._pulse = None
                chunks.close()  # type: ignore[attr-defined]

        try:
            await asyncio.to_thread(pump)
        except asyncio.CancelledError:
            self._stop.set()
            raise

    def _deliver(self, chunk: Chunk) -> None:
        """Store and announce a chunk where nothing waits; in the cutter's thread."""
        self._store(chunk)
        with self._saying:
            self.check_stop()  # nothing is said after the outcome
            self._pulse = None
            _run_through(self._announce(chunk))

    def _take_slot(self) -> None:
        """Wait until one chunk less is on its way; in a thread.

        Raises:
            StoppedError: nobody waits for its chunks any more.
        """
        while not self._slots.acquire(timeout=STOP_S):
            if self._stop.is_set():
                raise StoppedError

    def check_stop(self) -> None:
        """Called by the cutter now and then.

        Raises:
            StoppedError: nobody waits for its chunks any more.
        """
        self._pulse = time.monotonic()
        if self._stop.is_set():
            raise StoppedError

    def _store(self, chunk: Chunk) -> None:
        """Both objects of a chunk, persistent first, so that the cache may copy it."""
        store = self.places.store
        persistent, cached = self.urls(chunk.chunk_id)
        info = ObjectInfo(chunk.sha256, self.imprint.metadata(chunk, self.tally.mode))
        cache_info = self._cache_info(chunk)
        uploads = self.tally.uploads
        with closing(chunk.body) as body, _Naming(chunk.chunk_id):
            began = time.monotonic()
            with self._uploading(chunk, "persistent", persistent):
                store.put(persistent, body, info)
            uploads.since(began)
            crash.point("chunk.persistent-stored")
            began = time.monotonic()
            with self._uploading(chunk, "cache", cached):
                if not store.copy(persistent, cached, cache_info):
                    store.put(cached, body, cache_info)
            uploads.since(began)
            crash.point("chunk.cached")

    def _restore(self, chunk: StoredChunk, *, keep: bool) -> None:
        """The cached object of a chunk whose persistent one is there already.

        Args:
            chunk: which.
            keep: one that is there is as good as new.
        """
        store = self.places.store
        persistent, cached = self.urls(chunk.chunk_id)
        info = self._cache_info(chunk)
        began = time.monotonic()
        with _Naming(chunk.chunk_id), self._uploading(chunk, "cache", cached):
            found = store.head(cached) if keep else None
            there = found is not None and found.metadata.get("m0-sha256") == chunk.sha256
            if not there and not store.copy(persistent, cached, info):
                with closing(self._fetch(chunk)) as body:
                    store.put(cached, body, info)
        self.tally.uploads.since(began)

    def _uploading(
        self, chunk: Chunk | StoredChunk, which: str, url: ObjectUrl
    ) -> AbstractContextManager[object]:
        said: Attributes | None = None
        if self._trace.records:
            said = {"m0.object": str(url), "m0.size_bytes": chunk.size_bytes}
        return self._trace.step(chunk.chunk_id, f"upload {which}", "client", said)

    def _fetch(self, chunk: StoredChunk) -> ChunkBody:
        """The bytes of a stored chunk, as they must be."""
        persistent, _ = self.urls(chunk.chunk_id)
        spool, digest = self._spooling.open(chunk.size_bytes), hashlib.sha256()
        try:
            with closing(self.places.store.open_source(persistent)) as file:
                while data := file.read(COPY_BYTES):
                    digest.update(data)
                    spool.write(data)
        except BaseException:
            spool.close()
            raise
        if digest.hexdigest() != chunk.sha256:
            spool.close()
            raise ChunkerError(
                ErrorCode.INTEGRITY, f"{persistent} is not what its metadata say it is"
            )
        return ChunkBody(b"", spool, 0, spool.size)

    def urls(self, chunk_id: int) -> tuple[ObjectUrl, ObjectUrl]:
        """(persistent, cached) object of a chunk."""
        name = chunk_filename(chunk_id)
        persistent, cached = self._first_urls
        return persistent.beside(name), cached.beside(name)

    def _cache_info(self, chunk: Chunk | StoredChunk) -> ObjectInfo:
        hours = self.places.ttl_hours
        said = {
            "m0-sha256": chunk.sha256,
            "m0-start": repr(chunk.start_s),
            "m0-end": repr(chunk.end_s),
            "m0-expires-at": format_second(int(time.time() + hours * 3600)) + "Z",
        }
        return ObjectInfo(chunk.sha256, said, hours)

    async def _announce_all(self, stored: _Stored) -> None:
        while (entry := await stored.get()) is not _END:
            chunk, storing = entry
            await asyncio.wrap_future(storing)
            await self._announce(chunk)
            self._slots.release()
            stored.task_done()

    async def _announce(self, chunk: Chunk | StoredChunk) -> None:
        message = self._build_message(chunk)
        with _Naming(chunk.chunk_id):
            began = time.monotonic()
            await self._database.record(message)
            self.tally.rows.since(began)
            crash.point("chunk.recorded")
            await self._announcer.announce(message)
            crash.point("chunk.announced")
        self._trace.finish(chunk.chunk_id, chunk.size_bytes)
        await self._count(chunk)

    def _build_message(self, chunk: Chunk | StoredChunk) -> ChunkMessage:
        request = self._request
        persistent, cached = self._url_texts
        name = chunk_filename(chunk.chunk_id)
        return ChunkMessage(
            process_id=request.process_id,
            chunk_id=chunk.chunk_id,
            chunk_hash=chunk.sha256,
            cloud_stream_path=persistent + name,
            cache_path=cached + name,
            start_time=chunk.start_s,
            end_time=chunk.end_s,
            duration=float(Decimal(str(chunk.end_s)) - Decimal(str(chunk.start_s))),
            time_offset=chunk.start_s,
            inference_config=request.inference_config,
            inference_modality=request.inference_modality,
        )

    async def _count(self, chunk: Chunk | StoredChunk) -> None:
        tally = self.tally
        tally.chunks = max(tally.chunks + 1, chunk.chunk_id)
        if tally.began_s is None:
            tally.began_s = chunk.start_s
        tally.done_s = chunk.end_s
        tally.size_bytes += chunk.size_bytes
        now = time.monotonic()
        if tally.first_chunk_s is None:
            tally.first_chunk_s = round(now - tally.started, 3)
        if self._waits or now >= self._said_at + PROGRESS_S:
            self._said_at = now
            self._say(chunk)
        if self._resource:
            progress = Progress(
                resource=self._resource,
                attempt=self._attempt,
                chunks=tally.chunks,
                done_s=tally.done_s,
                total_s=tally.total_s,
                size_bytes=tally.size_bytes,
                left_s=tally.left_s(),
            )
            await self._announcer.report(progress)

    def _say(self, chunk: Chunk | StoredChunk) -> None:
        total_s = self.tally.total_s
        event(
            "chunk announced",
            chunk_id=chunk.chunk_id,
            start_s=round(chunk.start_s, 3),
            end_s=round(chunk.end_s, 3),
            size_bytes=chunk.size_bytes,
            percent=min(100, round(100 * chunk.end_s / total_s)) if total_s else None,
        )


def _run_through(doing: Coroutine[None, None, None]) -> None:
    """Do, without an event loop, what waits for nothing."""
    try:
        doing.send(None)
    except StopIteration:
        return
    doing.close()
    raise AssertionError("it waits, although it said that it does not")


class _Naming:
    """A failure says which chunk it is about."""

    def __init__(self, chunk_id: int) -> None:
        self._chunk_id = chunk_id

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ChunkerError):
            error.chunk_id = error.chunk_id or self._chunk_id


def _first(errors: BaseExceptionGroup) -> BaseException:
    """The failure that ended the group, rather than those that followed from it."""
    flat = [
        _first(error) if isinstance(error, BaseExceptionGroup) else error
        for error in errors.exceptions
    ]
    foreseen = [
        error
        for error in flat
        if isinstance(error, ChunkerError) and error.code is not ErrorCode.DISRUPTED
    ]
    return (foreseen or flat)[0]
