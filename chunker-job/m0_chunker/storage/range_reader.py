"""An object in a store as a seekable file: blocks, a few requests in flight, each byte once.

libav reads with its own seeks; over plain HTTP a film whose tracks are not interleaved
costs it thousands of requests. Here every read is served from whole blocks, the ones
ahead are fetched in parallel, and those read past make room.
"""

import io
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from m0_contract.errors import ERRORS, Verdict

from m0_chunker.errors import ChunkerError

BLOCK_BYTES = 4 * 2**20
BLOCKS = 12
"""Kept at most: 48 MiB. Enough for two readers' positions and what is fetched ahead."""

AHEAD = 3
ATTEMPTS = 5
FIRST_DELAY_S = 0.2

FetchRange = Callable[[int, int], bytes]
"""(offset, length) -> exactly that many bytes, or ChunkerError."""


class RangeReader:
    """A `SourceFile` over range requests."""

    def __init__(
        self,
        size_bytes: int,
        fetch: FetchRange,
        *,
        block_bytes: int = BLOCK_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Args:
        size_bytes: length of the object.
        fetch: gets one range; called from several threads.
        block_bytes: size of one request.
        sleep: waits between attempts, seconds.
        """
        self.size_bytes = size_bytes
        self.bytes_read = 0
        self.requests = 0
        self.failure: ChunkerError | None = None
        self._fetch = fetch
        self._block_bytes = block_bytes
        self._sleep = sleep
        self._position = 0
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._seen: set[int] = set()
        self._pool = ThreadPoolExecutor(AHEAD + 1, thread_name_prefix="range")
        self._closed = False

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, up to the end of a block; empty at the end of the object."""
        if self._position >= self.size_bytes or size == 0:
            return b""
        number, offset = divmod(self._position, self._block_bytes)
        data = self._block(number)
        data = data[offset:] if size < 0 else data[offset : offset + size]
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As files do; costs nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """The position, bytes."""
        return self._position

    def close(self) -> None:
        """Drop everything; requests under way end by themselves."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._blocks.clear()

    def _block(self, number: int) -> bytes:
        known = number in self._blocks
        block = self._blocks[number] if known else self._start(number)
        self._blocks.move_to_end(number)
        if number not in self._seen:
            self._seen.add(number)
            # Ahead only where reading is in sequence: not around an index at the end.
            if number == 0 or number - 1 in self._seen:
                for ahead in range(number + 1, number + 1 + AHEAD):
                    if ahead * self._block_bytes < self.size_bytes and ahead not in self._blocks:
                        self._start(ahead)
        try:
            return block.result()
        except ChunkerError as error:
            self.failure = self.failure or error
            raise

    def _start(self, number: int) -> Future[bytes]:
        while len(self._blocks) >= BLOCKS:
            del self._blocks[self._oldest()]
        offset = number * self._block_bytes
        length = min(self._block_bytes, self.size_bytes - offset)
        block = self._blocks[number] = self._pool.submit(self._fetch_patiently, offset, length)
        return block

    def _oldest(self) -> int:
        """The block to give up: one that was read past, before one fetched ahead."""
        past = (block for block in self._blocks if block in self._seen and block + 1 in self._seen)
        return next(past, next(iter(self._blocks)))

    def _fetch_patiently(self, offset: int, length: int) -> bytes:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                data = self._fetch(offset, length)
            except ChunkerError as error:
                transient = ERRORS[error.code].verdict is Verdict.TRANSIENT
                if not transient or attempt == ATTEMPTS or self._closed:
                    raise
                self._sleep(FIRST_DELAY_S * 2**attempt * random.uniform(0.5, 1))  # noqa: S311
            else:
                self.bytes_read += len(data)
                self.requests += 1
                return data
        raise AssertionError  # the loop returns or raises
