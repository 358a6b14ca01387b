"""An object in a store as a seekable file: spans, a few requests in flight, each byte once.

libav reads with its own seeks; over plain HTTP a film whose tracks are not interleaved
costs it thousands of requests. Here reading is served from spans. One begins exactly
where libav wants to read and ends where the next one begins, so an index that was read
at the film's end first is not fetched again when the rest arrives there. Where reading
goes on in sequence, at however many places at once, the spans ahead are fetched in
parallel; they grow with what was read in that sequence, so that a first chunk does not
wait behind bytes that nobody needs yet.
"""

import io
from bisect import bisect_left, bisect_right, insort
from concurrent.futures import ThreadPoolExecutor
from threading import Condition

from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.storage.pump import Pump, RangeStream

SPAN_BYTES = 4 * 2**20
FIRST_SPAN_BYTES = 256 * 1024
"""The largest and the smallest request."""

BUFFER_BYTES = 32 * 2**20
"""All spans together, those under way included."""

AHEAD = 3
"""Spans ahead of each place of reading."""

CONNECTIONS = 8
BACK_BYTES = 512 * 1024
"""How far libav, which reads more than it takes, may come back."""

_PLACES = 64
"""As many finished sequences are remembered."""

_GROWTH = 4
"""A span is this part of what was read before it in sequence."""


class _Span:
    """A stretch of the object, on its way or here."""

    __slots__ = ("buffer", "error", "filled", "length", "read_to", "run", "start", "touched")

    def __init__(self, start: int, length: int, run: int) -> None:
        """Args:
        start: offset in the object.
        length: bytes.
        run: bytes of the sequence before it.
        """
        self.start, self.length, self.run = start, length, run
        self.buffer = bytearray(length)
        self.filled = 0
        self.read_to = 0
        self.touched = 0
        self.error: Exception | None = None

    @property
    def end(self) -> int:
        return self.start + self.length


class RangeReader:
    """A `SourceFile` over range requests; read by one thread."""

    def __init__(
        self,
        size_bytes: int,
        identity: str,
        pump: Pump,
        *,
        first: RangeStream | None = None,
        span_bytes: int = SPAN_BYTES,
        first_span_bytes: int = FIRST_SPAN_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
        back_bytes: int = BACK_BYTES,
    ) -> None:
        """Args:
        size_bytes: length of the object.
        identity: see `SourceFile`.
        pump: fetches ranges.
        first: an answer under way that begins at byte 0 and is `first_span_bytes` long.
        span_bytes: the largest request.
        first_span_bytes: the smallest.
        buffer_bytes: memory for all.
        back_bytes: how far reading may come back, which is kept for it.
        """
        self.size_bytes, self.identity = size_bytes, identity
        self.bytes_read = 0
        self.failure: ChunkerError | None = None
        self._pump = pump
        self._largest, self._smallest, self._budget = span_bytes, first_span_bytes, buffer_bytes
        self._back = back_bytes
        self._position = 0
        self._starts: list[int] = []
        self._spans: dict[int, _Span] = {}
        self._done: list[tuple[int, int]] = []
        self._held = 0
        self._reads = 0
        self._changed = Condition()
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="range")
        if first is not None and size_bytes:
            self._add(0, 0, first)

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, up to the end of a span; empty at the end of the object."""
        if self._position >= self.size_bytes or size == 0:
            return b""
        span = self._find(self._position) or self._add(
            self._position, self._run_before(self._position)
        )
        first_time = not span.touched
        self._reads += 1
        span.touched = self._reads
        if first_time and (span.run or span.start == 0):
            self._read_ahead(span)
        offset = self._position - span.start
        end = span.length if size < 0 else min(span.length, offset + size)
        self._wait(span, end)
        span.read_to = max(span.read_to, end)
        data = bytes(memoryview(span.buffer)[offset:end])
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
        self._pump.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._spans.clear()
        self._starts.clear()

    def _wait(self, span: _Span, end: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: span.filled >= end or span.error is not None)
        if span.filled < end and span.error is not None:
            self._drop(span)  # the next read asks again
            if isinstance(span.error, ChunkerError):
                self.failure = self.failure or span.error
            raise span.error

    def _find(self, offset: int) -> _Span | None:
        """The span that holds this byte."""
        index = bisect_right(self._starts, offset) - 1
        span = self._spans[self._starts[index]] if index >= 0 else None
        return span if span is not None and offset < span.end else None

    def _run_before(self, offset: int) -> int:
        """How much was read in sequence up to here."""
        before = self._find(offset - 1) if offset else None
        return before.run + before.length if before is not None and before.touched else 0

    def _read_ahead(self, span: _Span) -> None:
        end, run = span.end, span.run + span.length
        for _ in range(AHEAD):
            if end >= self.size_bytes or any(start <= end < stop for start, stop in self._done):
                return
            span_there = self._find(end)
            if span_there is None:
                if not self._may_prefetch(self._length_at(end, run)):
                    return
                span_there = self._add(end, run)
            end, run = span_there.end, run + span_there.length

    def _length_at(self, start: int, run: int) -> int:
        """Length of a new span: it may not reach into another one, or one that was dropped."""
        length = max(self._smallest, min(self._largest, run // _GROWTH))
        index = bisect_left(self._starts, start)
        limits = [begin for begin, _ in self._done if begin > start]
        limits += [*self._starts[index : index + 1], self.size_bytes]
        return min(length, min(limits) - start)

    def _add(self, start: int, run: int, stream: RangeStream | None = None) -> _Span:
        length = self._length_at(start, run)
        self._make_room(length, unread=True)
        span = self._spans[start] = _Span(start, length, run)
        insort(self._starts, start)
        self._held += length
        self._pool.submit(self._fill, span, stream)
        return span

    def _make_room(self, length: int, *, unread: bool) -> bool:
        """Drop what was read past, longest ago first; if need be and `unread`, others too."""
        while self._held + length > self._budget and self._spans:
            spans = sorted(self._spans.values(), key=lambda span: span.touched)
            victim = next((span for span in spans if self._is_past(span)), None)
            if victim is None and unread:
                victim = next((span for span in spans if span.touched), spans[0])
            if victim is None:
                return False
            self._drop(victim)
        return True

    def _may_prefetch(self, length: int) -> bool:
        """A quarter of the memory at most is for what nobody has asked for yet."""
        unread = sum(span.length for span in self._spans.values() if not span.touched)
        return unread + length <= self._budget // 4 and self._make_room(length, unread=False)

    def _is_past(self, span: _Span) -> bool:
        """Whether reading went on beyond it, far enough that it won't come back."""
        beyond, at = 0, span.end
        while span.touched and beyond < self._back and at < self.size_bytes:
            following = self._spans.get(at)
            if following is None or not following.touched:
                return False
            beyond += following.read_to
            at = following.end
        return span.touched > 0

    def _drop(self, span: _Span) -> None:
        if self._spans.get(span.start) is span:
            del self._spans[span.start]
            self._starts.remove(span.start)
            self._held -= span.length
            if span.touched:
                self._note_done(span.start, span.end)

    def _note_done(self, start: int, end: int) -> None:
        """Remember what was read and dropped: nobody should fetch it ahead again."""
        for begin, stop in self._done:
            if stop == start or begin == end:
                self._done.remove((begin, stop))
                start, end = min(start, begin), max(end, stop)
                break
        self._done = [*self._done[-_PLACES:], (start, end)]

    def _fill(self, span: _Span, stream: RangeStream | None) -> None:
        """In a thread of the pool."""

        def take(data: bytes) -> None:
            with self._changed:
                span.buffer[span.filled : span.filled + len(data)] = data
                span.filled += len(data)
                self.bytes_read += len(data)
                self._changed.notify_all()

        try:
            self._pump.fetch(span.start, span.length, take, stream)
        except Exception as error:  # noqa: BLE001 - raised again where it is read
            with self._changed:
                span.error = error
                self._changed.notify_all()


def empty_reader() -> RangeReader:
    """An object without bytes, which has no range to ask for."""

    def refuse(_offset: int, _length: int) -> RangeStream:
        raise ChunkerError(ErrorCode.SOURCE_CHANGED, "an empty object was read")

    return RangeReader(0, "empty", Pump(refuse))
