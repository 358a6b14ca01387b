"""Local files as a store, for a person at a terminal."""

import os
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from m0_contract.errors import ErrorCode, Stage
from m0_contract.keys import ObjectUrl

from m0_chunker.chunk import ChunkBody
from m0_chunker.errors import ChunkerError, from_os_error
from m0_chunker.storage.base import Listed, ObjectInfo, SourceFile, StoredObject

_COPY_BYTES = 2**20
_ATTRIBUTE = "user."


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
        self.identity = _identity(status)
        self.bytes_read = 0
        self.failure: ChunkerError | None = None
        self._path = path

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = os.read(self._descriptor, size if size >= 0 else self.size_bytes)
            if not data and size:
                self._check_size()
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

    def _check_size(self) -> None:
        """Asked at the end: a file that was cut off or goes on growing is no whole film."""
        size = os.fstat(self._descriptor).st_size
        if size != self.size_bytes:
            self.failure = ChunkerError(
                ErrorCode.SOURCE_CHANGED,
                f"{self._path} had {self.size_bytes} bytes when it was opened and has {size} now",
            )
            raise self.failure


class FileStore:
    """Files; directories are made as needed. Nobody but the sweeper ends a cached file's life.

    What is said of a file is kept in its extended attributes; where the file system has
    none, it is not kept.
    """

    def open_source(self, url: ObjectUrl, version_id: str | None = None) -> SourceFile:  # noqa: ARG002
        """See `Store`; files have no versions."""
        try:
            return _LocalFile(url.key)
        except OSError as error:
            raise from_os_error(error, f"opening {url.key}", Stage.SOURCE) from error

    def head(self, url: ObjectUrl, *, listed: bool = False) -> StoredObject | None:  # noqa: ARG002
        """See `Store`."""
        try:
            status = Path(url.key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise from_os_error(error, f"looking at {url.key}", Stage.UPLOAD) from error
        if not stat.S_ISREG(status.st_mode):
            return None
        return StoredObject(status.st_size, _read_metadata(url.key), _identity(status))

    def check_container(self, url: ObjectUrl) -> None:
        """Nothing to check: directories are made as needed."""

    def put(self, url: ObjectUrl, body: ChunkBody, info: ObjectInfo) -> None:
        """See `Store`; the file appears whole or not at all."""
        path = Path(url.key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f".{path.name}.", delete=False
            ) as partial:
                try:
                    _write(partial, body, info)
                    Path(partial.name).replace(path)
                except BaseException:
                    Path(partial.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise from_os_error(error, f"writing {path}", Stage.UPLOAD) from error

    def copy(self, source: ObjectUrl, url: ObjectUrl, info: ObjectInfo) -> bool:  # noqa: ARG002
        """Never: writing it again costs the same."""
        return False

    def list(self, prefix: ObjectUrl) -> Iterator[Listed]:
        """See `Store`; the prefix is a directory, or the beginning of names in one."""
        root = Path(prefix.key if prefix.key.endswith("/") else os.path.split(prefix.key)[0])
        for path in root.rglob("*"):
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if str(path).startswith(prefix.key) and stat.S_ISREG(status.st_mode):
                changed = datetime.fromtimestamp(status.st_mtime, UTC)
                url = ObjectUrl("file", "", "", str(path))
                yield Listed(url, status.st_size, _identity(status), changed)

    def delete(self, url: ObjectUrl, etag: str) -> bool:
        """See `Store`; between the look and the deletion somebody may still slip in."""
        try:
            path = Path(url.key)
            if _identity(path.lstat()) != etag:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise from_os_error(error, f"deleting {url.key}", Stage.UPLOAD) from error
        return True


def _identity(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _write(file: IO[bytes], body: ChunkBody, info: ObjectInfo) -> None:
    view = body.view()
    while data := view.read(_COPY_BYTES):
        file.write(data)
    file.flush()
    for name, text in info.metadata.items():
        try:
            os.setxattr(file.fileno(), _ATTRIBUTE + name, text.encode())
        except OSError:
            break  # this file system has no attributes, or no room for them
    os.fchmod(file.fileno(), 0o644)


def _read_metadata(path: str) -> dict[str, str]:
    try:
        return {
            name.removeprefix(_ATTRIBUTE): os.getxattr(path, name).decode(errors="replace")
            for name in os.listxattr(path)
            if name.startswith(_ATTRIBUTE)
        }
    except OSError:
        return {}
