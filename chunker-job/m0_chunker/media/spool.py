"""Where a chunk's media data is kept while it is made and stored."""

import io
import tempfile
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

    Attributes:
        size: bytes written.
    """

    def __init__(self, spooling: Spooling, *, on_disk: bool) -> None:
        """Use `Spooling.open`."""
        self._spooling = spooling
        self._file: IO[bytes] = self._on_disk() if on_disk else io.BytesIO()
        self._write = self._file.write
        self.size = 0

    def _on_disk(self) -> IO[bytes]:
        directory = self._spooling.directory
        return tempfile.TemporaryFile(dir=str(directory) if directory else None)

    def write(self, data: bytes | memoryview) -> int:
        """Append."""
        self.size += self._write(data)
        if self.size > self._spooling.memory_bytes and isinstance(self._file, io.BytesIO):
            memory, self._file = self._file, self._on_disk()
            self._write = self._file.write
            self._write(memory.getbuffer())
        return len(data)

    def buffers(self) -> Iterator[bytes | memoryview]:
        """All that was written, read back, in pieces."""
        if isinstance(self._file, io.BytesIO):
            yield self._file.getbuffer()
            return
        self._file.seek(0)
        while data := self._file.read(_READ_BYTES):
            yield data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As files do."""
        return self._file.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        """As files do."""
        return self._file.read(size)

    def close(self) -> None:
        """Let the bytes go."""
        self._file.close()
