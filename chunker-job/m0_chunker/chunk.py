"""A finished chunk: its place in the film and its bytes."""

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

PIECE_BYTES = 2**20


class Readable(Protocol):
    """What a body needs of the place that its bytes are in."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As files do."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """As files do."""
        ...

    def close(self) -> None:
        """Let the bytes go."""
        ...


class BodyView(io.RawIOBase):
    """A span of a chunk's bytes as a seekable file with a position of its own."""

    def __init__(self, body: "ChunkBody", offset: int, length: int) -> None:
        """Args:
        body: whose bytes; must stay open.
        offset: where in the body the span begins, bytes.
        length: of the span, bytes.
        """
        super().__init__()
        self._body, self._offset, self._length = body, offset, length
        self._position = 0

    def __len__(self) -> int:
        return self._length

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position, bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """As files do: `size` bytes, fewer only at the end. Azure's client relies on it."""
        left = self._length - self._position
        size = left if size is None or size < 0 else min(size, left)
        if size <= 0:
            return b""
        data = self._body.pread(self._offset + self._position, size)
        self._position += len(data)
        return data


class ChunkBody(BodyView):
    """A chunk's bytes as one seekable file: a head in memory, then a span of a spool.

    The muxer writes the index last, players want it first; joining both here spares a
    second copy of the chunk. Several threads may read it, each through a `view`.
    """

    def __init__(self, head: bytes, spool: Readable, offset: int, length: int) -> None:
        """Args:
        head: what comes first.
        spool: holds the rest; closed (and so deleted) with this.
        offset: where in `spool` the rest begins, bytes.
        length: of the rest, bytes.
        """
        super().__init__(self, 0, len(head) + length)
        self._head, self._spool, self._spool_offset = head, spool, offset
        self._lock = threading.Lock()

    def view(self, offset: int = 0, length: int | None = None) -> BodyView:
        """A span of it, by default all, that can be read beside others."""
        return BodyView(self, offset, len(self) - offset if length is None else length)

    def pread(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`, fewer only at the end; moves no position."""
        size = max(0, min(size, len(self) - offset))
        data = self._head[offset : offset + size]
        if len(data) < size:
            start = self._spool_offset + offset + len(data) - len(self._head)
            with self._lock:
                self._spool.seek(start)
                rest = self._spool.read(size - len(data))
            data = data + rest if data else rest
        return data

    def buffers(self) -> Iterator[bytes]:
        """All of it, in the pieces that it is kept in: nothing is copied.

        Only for one reader at a time, and none through a `view` beside it.
        """
        yield self._head
        pieces = getattr(self._spool, "buffers", None)
        if pieces is not None and not self._spool_offset:
            yield from pieces()
            return
        view = self.view(len(self._head))
        while data := view.read(PIECE_BYTES):
            yield data

    def close(self) -> None:
        """Release the bytes, wherever they are."""
        self._spool.close()
        super().close()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A finished chunk.

    Attributes:
        chunk_id: from 1.
        start_s: where it begins in the film, seconds since the film's start.
        end_s: where it ends; without an overlap the next one's start.
        sha256: of its bytes, lower-case hex.
        body: its bytes; to be closed by the one who takes the chunk.
        next_start: where the next one begins, an exact fraction; empty for the last.
        certificate: the integrity certificate up to here, for an attempt that goes on from here.
    """

    chunk_id: int
    start_s: float
    end_s: float
    sha256: str
    body: ChunkBody
    next_start: str = ""
    certificate: str = ""

    @property
    def size_bytes(self) -> int:
        """Length of the body."""
        return len(self.body)
