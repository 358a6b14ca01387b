"""A film's bytes, of which one part, its index, is read once and asked for three times.

Before libav may see it, by libav, and by the slicer: each byte is to cross the wire once.
"""

import io

from m0_chunker.errors import ChunkerError
from m0_chunker.storage.base import SourceFile


class KeptIndex:
    """A `SourceFile` over another one, with a part of it in memory."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._begin = self._end = 0
        self._part = b""
        self._position = file.tell()
        self.size_bytes = file.size_bytes

    @property
    def identity(self) -> str:
        """See `SourceFile`."""
        return self._file.identity

    @property
    def bytes_read(self) -> int:
        """See `SourceFile`."""
        return self._file.bytes_read

    @property
    def failure(self) -> ChunkerError | None:
        """See `SourceFile`."""
        return self._file.failure

    def keep(self, offset: int, part: bytes) -> None:
        """From now on, `part` is what is at `offset`."""
        self._begin, self._end, self._part = offset, offset + len(part), part

    def read(self, size: int = -1, /) -> bytes:
        """As files do, fewer bytes where the part begins or ends."""
        at = self._position
        if self._begin <= at < self._end:
            after = self._end if size < 0 else min(at + size, self._end)
            data = self._part[at - self._begin : after - self._begin]
        else:
            if at < self._begin < self._end:
                ahead = self._begin - at
                size = ahead if size < 0 else min(size, ahead)
            self._file.seek(at)
            data = self._file.read(size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """As files do."""
        return self._position

    def close(self) -> None:
        """Stop reading."""
        self._part = b""
        self._file.close()
