"""What the chunker needs of a store."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from m0_contract.errors import ErrorCode
from m0_contract.keys import ObjectUrl

from m0_chunker.chunk import ChunkBody
from m0_chunker.errors import ChunkerError

TTL_TAG = "m0-ttl-hours"
"""The tag of cached objects."""


def format_hours(hours: float) -> str:
    """The tag's value: a lifecycle rule must say the same."""
    return f"{hours:g}"


CODES: dict[int, tuple[ErrorCode, ErrorCode]] = {
    400: (ErrorCode.SOURCE_FORBIDDEN, ErrorCode.DESTINATION_FORBIDDEN),
    401: (ErrorCode.SOURCE_FORBIDDEN, ErrorCode.DESTINATION_FORBIDDEN),
    403: (ErrorCode.SOURCE_FORBIDDEN, ErrorCode.DESTINATION_FORBIDDEN),
    404: (ErrorCode.SOURCE_NOT_FOUND, ErrorCode.DESTINATION_NOT_FOUND),
    412: (ErrorCode.SOURCE_CHANGED, ErrorCode.UPLOAD_FAILED),
    416: (ErrorCode.SOURCE_CHANGED, ErrorCode.UPLOAD_FAILED),
}
"""HTTP status -> (code when reading, code when writing); all others are worth a retry."""


class SourceFile(Protocol):
    """A film's bytes, seekable; read by libav in its own rhythm.

    Attributes:
        size_bytes: length of the object.
        identity: changes when the object's content does: for stores the ETag and, where
            asked for, the version id; for files size, time of change and inode.
        bytes_read: bytes that came from the store so far, the repeated ones included.
        failure: the first error of reading; libav takes some errors for the film's end.
    """

    size_bytes: int

    @property
    def identity(self) -> str:
        """See above."""
        ...

    @property
    def bytes_read(self) -> int:
        """See above."""
        ...

    @property
    def failure(self) -> ChunkerError | None:
        """See above."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As files do."""
        ...

    def tell(self) -> int:
        """As files do."""
        ...

    def close(self) -> None:
        """Stop reading."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is said of an object beside its bytes, when it is put or copied.

    Attributes:
        sha256: of the body, lower-case hex; the store checks the body against it.
        metadata: kept with the object; ASCII, names like `m0-start`.
        ttl_hours: life of a cached object, hours, also said in the tag `m0-ttl-hours` for
            lifecycle rules; None for objects that stay.
    """

    sha256: str
    metadata: Mapping[str, str]
    ttl_hours: float | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What is known of an object without reading it.

    Attributes:
        size_bytes: its length.
        metadata: under the names that were given to `put`, whatever the store calls them.
        etag: as the store says it; empty where a store has none.
    """

    size_bytes: int
    metadata: Mapping[str, str]
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a list shows it.

    Attributes:
        url: where it is.
        size_bytes: its length.
        etag: for `delete`.
        last_modified: when it was last written.
    """

    url: ObjectUrl
    size_bytes: int
    etag: str
    last_modified: datetime


class Store(Protocol):
    """One kind of store. Methods block: call them from a thread.

    Attributes:
        waits: whether its methods wait for somebody, so that several at a time are faster.
    """

    @property
    def waits(self) -> bool:
        """See above."""
        ...

    def open_source(self, url: ObjectUrl, version_id: str | None = None) -> SourceFile:
        """Open an object for reading.

        Args:
            url: the object.
            version_id: of it, where the store keeps versions; None takes the current one.

        Raises:
            ChunkerError: SOURCE_*.
        """
        ...

    def head(self, url: ObjectUrl, *, listed: bool = False) -> StoredObject | None:
        """What is known of an object that M0 wrote; None where there is none.

        Args:
            url: the object.
            listed: it was seen in a list. If not, S3's 403 is None too: it is what those
                who may not list get instead of 404.

        Raises:
            ChunkerError: DESTINATION_* or UPLOAD_FAILED: it could not be found out.
        """
        ...

    def check_container(self, url: ObjectUrl) -> None:
        """Fail now if the bucket or container of `url` doesn't exist.

        Some servers make a bucket when something is put into one that isn't there; a
        mistyped name must be an error everywhere. What can't be found out passes.

        Raises:
            ChunkerError: DESTINATION_NOT_FOUND.
        """
        ...

    def put(self, url: ObjectUrl, body: ChunkBody, info: ObjectInfo) -> None:
        """Store `body`; the store checks it against a checksum before it says yes.

        Raises:
            ChunkerError: DESTINATION_* or UPLOAD_FAILED.
        """
        ...

    def copy(self, source: ObjectUrl, url: ObjectUrl, info: ObjectInfo) -> bool:
        """Copy an object that was just put, inside the store.

        Returns:
            False when the store can't, or when it can't be seen that the copy holds
            the same bytes: `put` it then.
        """
        ...

    def list(self, prefix: ObjectUrl) -> Iterator[Listed]:
        """All objects whose key begins with the prefix's, in no order that matters.

        Raises:
            ChunkerError: DESTINATION_* or UPLOAD_FAILED.
        """
        ...

    def delete(self, url: ObjectUrl, etag: str) -> bool:
        """Delete an object, if it still has this ETag where the store can ask for that.

        Returns:
            False when it is gone or another one stands there.

        Raises:
            ChunkerError: DESTINATION_* or UPLOAD_FAILED.
        """
        ...
