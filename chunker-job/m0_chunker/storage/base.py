"""What the chunker needs of a store."""

from dataclasses import dataclass
from typing import Protocol

from m0_contract.errors import ErrorCode
from m0_contract.keys import ObjectUrl

from m0_chunker.chunk import ChunkBody
from m0_chunker.errors import ChunkerError

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
        bytes_read: bytes fetched from the store so far.
        failure: the first error of reading; libav takes some errors for the film's end.
    """

    size_bytes: int
    bytes_read: int
    failure: ChunkerError | None

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
    """What is said of an object beside its bytes.

    Attributes:
        sha256: lower-case hex.
        md5: raw.
        start_s: the chunk's start in the film, seconds.
        end_s: its end.
        expires_at: RFC 3339; None for objects that stay.
        ttl_hours: life of the object, hours; None for objects that stay.
    """

    sha256: str
    md5: bytes
    start_s: float
    end_s: float
    expires_at: str | None = None
    ttl_hours: float | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """As object metadata: a later attempt finds here what it need not redo."""
        values = {
            "m0-sha256": self.sha256,
            "m0-start": repr(self.start_s),
            "m0-end": repr(self.end_s),
        }
        return values | ({"m0-expires-at": self.expires_at} if self.expires_at else {})


class Store(Protocol):
    """One kind of store. Methods block: call them from a thread."""

    def open_source(self, url: ObjectUrl) -> SourceFile:
        """Open an object for reading.

        Raises:
            ChunkerError: SOURCE_*.
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
            False when the store can't: `put` it then.
        """
        ...
