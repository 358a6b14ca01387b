"""What keeps a hostile film from taking the machine: checked before libav sees it."""

import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.media.mp4.boxes import BoxError, children, find, read_exactly, top_level
from m0_chunker.media.mp4.index import MAX_MOOV_BYTES
from m0_chunker.storage.base import SourceFile

PROBE_BYTES = 512 * 2**20
"""Memory that opening a film may take."""

MAX_TRACKS = 1000
_HEAD_BYTES = 16


def refuse_bombs(file: SourceFile, name: str) -> None:
    """Refuse an MP4 whose index is too big, or compressed, or has absurdly many tracks.

    libav allocates for each of them before it can be asked anything.

    Args:
        file: the film; left at its start.
        name: for the message.

    Raises:
        ChunkerError: LIMIT_EXCEEDED, NOT_MEDIA.
    """
    head = read_exactly(file, 0, _HEAD_BYTES)
    try:
        if head[4:8] in _MP4_STARTS:
            _look_into_index(file, name)
    except (BoxError, struct.error):
        pass  # libav says it better
    finally:
        file.seek(0)


_MP4_STARTS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})


def _look_into_index(file: SourceFile, name: str) -> None:
    place = top_level(file, file.size_bytes).get(b"moov")
    if place is None:
        return
    offset, length = place
    if length > MAX_MOOV_BYTES:
        raise ChunkerError(
            ErrorCode.LIMIT_EXCEEDED,
            f"{name} has an index of {length >> 20} MiB; at most {MAX_MOOV_BYTES >> 20} are taken",
        )
    moov = memoryview(read_exactly(file, offset, length))[8:]
    packed = find(moov, b"cmov", b"cmvd")
    if packed is not None:
        _unpack_within(packed[4:], name)
    tracks = sum(kind == b"trak" for kind, _ in children(moov))
    if tracks > MAX_TRACKS:
        raise ChunkerError(
            ErrorCode.LIMIT_EXCEEDED, f"{name} has {tracks} tracks; at most {MAX_TRACKS} are taken"
        )


def _unpack_within(packed: memoryview, name: str) -> None:
    unpacking, size = zlib.decompressobj(), 0
    try:
        rest = bytes(packed)
        while rest and not unpacking.eof:
            size += len(unpacking.decompress(rest, 2**20))
            rest = unpacking.unconsumed_tail
            if size > MAX_MOOV_BYTES:
                raise ChunkerError(
                    ErrorCode.LIMIT_EXCEEDED, f"{name} has a compressed index of absurd size"
                )
    except zlib.error as error:
        raise ChunkerError(ErrorCode.NOT_MEDIA, f"{name} has a broken index") from error


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
