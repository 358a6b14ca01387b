"""Local files as a store, for a person at a terminal."""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from m0_contract.errors import ErrorCode, Stage
from m0_contract.keys import ObjectUrl
from pydantic_core import to_json

from m0_chunker.chunk import ChunkBody
from m0_chunker.errors import ChunkerError, from_os_error
from m0_chunker.storage.base import Listed, ObjectInfo, SourceFile, StoredObject

_COPY_BYTES = 2**20
_ATTRIBUTE = "user.m0"


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
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        try:
            size = size if size >= 0 else self.size_bytes
            data = os.pread(self._descriptor, size, self._position)
            if not data and size:
                self._check_size()
        except OSError as error:
            self.failure = from_os_error(error, f"reading {self._path}", Stage.SOURCE)
            raise self.failure from error
        self._position += len(data)
        self.bytes_read += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence != os.SEEK_SET:
            offset += self._position if whence == os.SEEK_CUR else self.size_bytes
        self._position = max(0, offset)
        return self._position

    def tell(self) -> int:
        return self._position

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

    waits = False

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
        try:
            _replace(url.key, lambda descriptor: _write_all(descriptor, body), info)
        except OSError as error:
            raise from_os_error(error, f"writing {url.key}", Stage.UPLOAD) from error

    def copy(self, source: ObjectUrl, url: ObjectUrl, info: ObjectInfo) -> bool:  # noqa: ARG002
        """Never: what is still in memory is written again without reading anything."""
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


def _write_all(descriptor: int, body: ChunkBody) -> None:
    """Many pieces at a time: one call for each would cost more than the bytes."""
    waiting: list[bytes] = []
    size = 0
    for data in body.buffers():
        waiting.append(data)
        size += len(data)
        if len(waiting) == _PIECES or size > _COPY_BYTES:
            _write_pieces(descriptor, waiting, size)
            waiting, size = [], 0
    _write_pieces(descriptor, waiting, size)


def _write_pieces(descriptor: int, pieces: list[bytes], size: int) -> None:
    written = os.writev(descriptor, pieces)
    if written < size:  # hardly ever
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


_PIECES = 512
"""At most 1024 fit into one call on Linux."""


def _replace(path: str, write: Callable[[int], None], info: ObjectInfo) -> None:
    """The file appears whole or not at all: until then it has no name.

    Where it must take another's place, or the file system knows no files without a name, it
    has one of its own for a while. That is the same every time: what a killed attempt left
    there, the next one uses up.
    """
    directory, name = os.path.split(path)
    partial = f"{directory or '.'}/.{name}.part"
    descriptor, nameless = _create(partial, directory or ".")
    try:
        try:
            write(descriptor)
            _describe(descriptor, info)
            if nameless:
                if _link(descriptor, path):
                    return
                Path(partial).unlink(missing_ok=True)
                _link(descriptor, partial)
        finally:
            os.close(descriptor)
        os.replace(partial, path)  # noqa: PTH105
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _create(partial: str, directory: str) -> tuple[int, bool]:
    """(descriptor, whether the file has no name)."""
    for _ in range(2):
        try:
            try:
                return os.open(directory, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o644), True
            except OSError as error:
                if error.errno not in _NO_NAMELESS:
                    raise
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
                return os.open(partial, flags, 0o644), False
        except FileNotFoundError:
            Path(directory).mkdir(parents=True, exist_ok=True)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)


_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})


def _link(descriptor: int, path: str) -> bool:
    """Give a nameless file its name; False: the name is taken."""
    try:
        # Only with a directory given does Python ask for the link in /proc to be followed.
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
    except FileExistsError:
        return False
    return True


def _describe(descriptor: int, info: ObjectInfo) -> None:
    """Keep the metadata with the file; some file systems have no attributes, or no room."""
    with contextlib.suppress(OSError):
        os.setxattr(descriptor, _ATTRIBUTE, to_json(dict(info.metadata)))


def _read_metadata(path: str) -> dict[str, str]:
    try:
        document = json.loads(os.getxattr(path, _ATTRIBUTE))
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {str(name): str(text) for name, text in document.items()}
