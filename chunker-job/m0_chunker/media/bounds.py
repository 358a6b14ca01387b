"""What keeps a hostile film from taking the machine: checked before libav sees it."""

import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.media.kept import KeptIndex
from m0_chunker.media.mp4.boxes import FRAGMENT, BoxError, find, read_exactly
from m0_chunker.media.mp4.index import MAX_MOOV_BYTES
from m0_chunker.media.mp4.lies import refuse_lies
from m0_chunker.storage.base import SourceFile

PROBE_BYTES = 512 * 2**20
"""Memory that opening a film may take."""

MAX_TOP_LEVEL = 1000
"""Outermost boxes before the index; libav would look on for ever."""

_ODD_BYTES = 64 * 2**20

MAX_UNPACKED_BYTES = 16 * 2**20
"""Of a compressed index: QuickTime's of the nineties."""


def refuse_bombs(file: KeptIndex, name: str, max_pixels: int, *, salvage: bool = False) -> None:
    """Refuse an MP4 whose index is too big, or compressed to be so, or lies (`mp4.lies`).

    libav allocates for each of its entries before it can be asked anything.

    Args:
        file: the film; left at its start, its index kept.
        name: for the message.
        max_pixels: in a picture.
        salvage: samples may lie beyond the file's end.

    Raises:
        ChunkerError: LIMIT_EXCEEDED, NOT_MEDIA, UNSUPPORTED_MEDIA, SOURCE_CORRUPT.
    """
    try:
        place = _find_index(file, name)
        if place is None:
            return
        offset, length = place
        if length > MAX_MOOV_BYTES:
            raise ChunkerError(
                ErrorCode.LIMIT_EXCEEDED,
                f"{name} has an index of {length >> 20} MiB; "
                f"at most {MAX_MOOV_BYTES >> 20} are taken",
            )
        index = read_exactly(file, offset, length)
        file.keep(offset, index)
        moov = memoryview(index)
        packed = _find_packed(moov)
        if packed is not None:
            moov = memoryview(_unpack_within(packed, name))[8:]
        refuse_lies(moov, file.size_bytes, name, max_pixels, salvage=salvage)
    finally:
        file.seek(0)


def _find_index(file: SourceFile, name: str) -> tuple[int, int] | None:
    """(offset, length) of the content of the first `moov`, as far as the file goes.

    Whatever is not MP4 ends it at once: its first bytes, taken for a box, go on after its end.
    """
    at, size_bytes = 0, file.size_bytes
    for _ in range(MAX_TOP_LEVEL):
        header = read_exactly(file, at, 16)
        if len(header) < 8:
            return None
        size, kind = struct.unpack_from(">I4s", header)
        begin = 8
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
            begin = 16
        elif size == 0:
            size = size_bytes - at
        if kind == b"moov":
            return at + begin, max(0, min(at + size, size_bytes) - at - begin)
        if size < begin or kind in FRAGMENT:
            return None
        if size > _ODD_BYTES and not kind.isalnum():
            return None  # no MP4: nothing is read there only to find that out
        at += size
        if at + 8 > size_bytes:
            return None
    raise ChunkerError(
        ErrorCode.NOT_MEDIA, f"{name} has no index among its first {MAX_TOP_LEVEL} boxes"
    )


def _find_packed(moov: memoryview) -> memoryview | None:
    """What is compressed in a compressed index, without the length that it claims."""
    try:
        packed = find(moov, b"cmov", b"cmvd")
    except (BoxError, struct.error):
        return None  # libav says it better
    return None if packed is None else packed[4:]


def _unpack_within(packed: memoryview, name: str) -> bytes:
    """The box that it unpacks to."""
    unpacking = zlib.decompressobj()
    try:
        moov = unpacking.decompress(packed, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise ChunkerError(ErrorCode.NOT_MEDIA, f"{name} has a broken index") from error
    if unpacking.unconsumed_tail:
        raise ChunkerError(
            ErrorCode.LIMIT_EXCEEDED, f"{name} has a compressed index of absurd size"
        )
    return moov


@contextmanager
def bounded_memory(extra_bytes: int) -> Iterator[None]:
    """Let memory grow by `extra_bytes` at most: more fails here instead of being killed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    used = _data_bytes()
    wanted = used + extra_bytes
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """Private memory of this process so far, bytes."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a bare read
            return int(file.read().split()[5]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 2**30
