"""Where a chunk's media data is kept while it is made and stored."""

import errno
import io
import tempfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_READ_BYTES = 2**20


@dataclass(frozen=True)
class Spooling:
    """How much stays in memory.

    Attributes:
        directory: for chunks too big for memory; None takes the system's.
        memory_bytes: a chunk up to this size never touches a disk.
    """

    directory: Path | None
    memory_bytes: int

    def open(self, expected_bytes: int = 0) -> "Spool":
        """A place for a chunk; `expected_bytes` saves the move to disk later."""
        return Spool(self, on_disk=expected_bytes > self.memory_bytes)


class Spool:
    """Bytes in memory, or in a file without a name: whatever becomes of the process, nothing stays.

    In memory they are kept in the pieces they came in: nothing is copied.

    Attributes:
        size: bytes written.
    """

    def __init__(self, spooling: Spooling, *, on_disk: bool) -> None:
        """Use `Spooling.open`."""
        self._spooling = spooling
        self._file: IO[bytes] | None = self._on_disk() if on_disk else None
        self._pieces: list[bytes] = []
        self._starts: list[int] = []
        self._position = 0
        self._crc = 0
        self.size = 0

    def _on_disk(self) -> IO[bytes]:
        directory = self._spooling.directory
        return tempfile.TemporaryFile(dir=str(directory) if directory else None, buffering=0)

    def write(self, data: bytes) -> None:
        """Append; pieces of 64 KiB and more are best."""
        if self._file is None and self.size + len(data) > self._spooling.memory_bytes:
            self._file = self._on_disk()
            for piece in self._pieces:
                self._write_all(piece)
            self._pieces, self._starts = [], []
        if self._file is None:
            self._starts.append(self.size)
            self._pieces.append(data)
        else:
            self._write_all(data)
        self.size += len(data)

    def _write_all(self, data: bytes) -> None:
        assert self._file is not None  # noqa: S101 - the callers have opened it
        self._crc = zlib.crc32(data, self._crc)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def buffers(self) -> Iterator[bytes]:
        """All that was written, read back, in pieces.

        Raises:
            OSError: a disk gives back something else than was put there.
        """
        if self._file is None:
            yield from self._pieces
            return
        self._file.seek(0)
        crc = 0
        while data := self._file.read(_READ_BYTES):
            crc = zlib.crc32(data, crc)
            yield data
        if crc != self._crc:
            raise OSError(errno.EIO, "the scratch disk gave back other bytes than were written")

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As files do, from the start only."""
        assert whence == io.SEEK_SET  # noqa: S101 - no caller has another
        self._position = offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        """As files do: fewer bytes only at the end."""
        left = self.size - self._position
        size = left if size < 0 else max(0, min(size, left))
        data = self._from_memory(size) if self._file is None else self._from_file(size)
        self._position += len(data)
        return data

    def _from_memory(self, size: int) -> bytes:
        at = bisect_right(self._starts, self._position) - 1
        offset = self._position - self._starts[at] if size else 0
        found = []
        while size:
            piece = self._pieces[at]
            part = piece if not offset and len(piece) <= size else piece[offset : offset + size]
            found.append(part)
            size -= len(part)
            at, offset = at + 1, 0
        return found[0] if len(found) == 1 else b"".join(found)

    def _from_file(self, size: int) -> bytes:
        assert self._file is not None  # noqa: S101 - the caller looked
        self._file.seek(self._position)
        found = []
        while size and (data := self._file.read(size)):
            found.append(data)
            size -= len(data)
        return found[0] if len(found) == 1 else b"".join(found)

    def close(self) -> None:
        """Let the bytes go."""
        self._pieces, self._starts = [], []
        if self._file is not None:
            self._file.close()
