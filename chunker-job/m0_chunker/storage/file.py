"""Local files as a store, for a person at a terminal."""

import os
import stat
import tempfile
from pathlib import Path

from m0_contract.errors import ErrorCode, Stage
from m0_contract.keys import ObjectUrl

from m0_chunker.chunk import ChunkBody
from m0_chunker.errors import ChunkerError, from_os_error
from m0_chunker.storage.base import ObjectInfo, SourceFile

_COPY_BYTES = 2**20


class _LocalFile:
    """A `SourceFile` on the local disk."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise ChunkerError(
                ErrorCode.NOT_MEDIA, f"{path} is not a regular file", stage=Stage.SOURCE
            )
        self.size_bytes = status.st_size
        self.bytes_read = 0
        self.failure: ChunkerError | None = None
        self._path = path

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = os.read(self._descriptor, size if size >= 0 else self.size_bytes)
        except OSError as error:
            self.failure = from_os_error(error, f"reading {self._path}", Stage.SOURCE)
            raise self.failure from error
        self.bytes_read += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class FileStore:
    """Files; directories are made as needed. A cached file has no TTL here."""

    def open_source(self, url: ObjectUrl) -> SourceFile:
        """See `Store`."""
        try:
            return _LocalFile(url.key)
        except OSError as error:
            raise from_os_error(error, f"opening {url.key}", Stage.SOURCE) from error

    def check_container(self, url: ObjectUrl) -> None:
        """Nothing to check: directories are made as needed."""

    def put(self, url: ObjectUrl, body: ChunkBody, info: ObjectInfo) -> None:  # noqa: ARG002
        """See `Store`; the file appears whole or not at all."""
        path = Path(url.key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f".{path.name}.", delete=False
            ) as partial:
                try:
                    body.seek(0)
                    while data := body.read(_COPY_BYTES):
                        partial.write(data)
                    partial.flush()
                    os.fchmod(partial.fileno(), 0o644)
                    Path(partial.name).replace(path)
                except BaseException:
                    Path(partial.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise from_os_error(error, f"writing {path}", Stage.UPLOAD) from error

    def copy(self, source: ObjectUrl, url: ObjectUrl, info: ObjectInfo) -> bool:  # noqa: ARG002
        """Never: writing it again costs the same."""
        return False
