"""Finishes a chunk: its head is made, what was written is read back, checked and hashed.

The head can be made before there is any media data: it is held to what then comes.
"""

import hashlib
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from m0_contract.errors import ErrorCode

from m0_chunker.chunk import Chunk, ChunkBody
from m0_chunker.errors import ChunkerError
from m0_chunker.media.mp4.boxes import BoxError
from m0_chunker.media.mp4.build import ChunkTrack, build_head
from m0_chunker.media.mp4.verify import Written, read_written
from m0_chunker.media.spool import Spool


class Head(NamedTuple):
    """What comes before a chunk's media data.

    Attributes:
        data: as it is written.
        payload_bytes: how long the media data must be.
        tracks: as the index has them, read back from `data`, in the order given.
    """

    data: bytes
    payload_bytes: int
    tracks: list[Written]


def make_head(chunk_id: int, tracks: Sequence[ChunkTrack], payload_bytes: int) -> Head:
    """Make the head of a chunk, and see that it says what is to be in it.

    Args:
        chunk_id: from 1.
        tracks: those that have a sample in it.
        payload_bytes: length of the media data.

    Raises:
        ChunkerError: INTEGRITY: the index does not say what is in the chunk. SOURCE_CORRUPT:
            the film's times are such as no index can say.
    """
    try:
        head = build_head(tracks, payload_bytes)
    except (struct.error, OverflowError) as error:
        raise ChunkerError(
            ErrorCode.SOURCE_CORRUPT, f"the film's times are absurd: {error}", chunk_id=chunk_id
        ) from error
    try:
        return Head(head, payload_bytes, read_written(head, payload_bytes))
    except BoxError as error:
        raise ChunkerError(
            ErrorCode.INTEGRITY, f"what was written is not sound: {error}", chunk_id=chunk_id
        ) from error


def seal(
    chunk_id: int,
    start: Fraction,
    end: Fraction,
    next_start: Fraction | None,
    *,
    head: Head,
    spool: Spool,
) -> Chunk:
    """Make the chunk whose media data is in `spool`, which it takes over.

    Args:
        chunk_id: from 1.
        start: seconds since the film's start.
        end: likewise.
        next_start: where the next chunk begins; None: there is none.
        head: of it.
        spool: the media data.

    Raises:
        ChunkerError: INTEGRITY: the media data is not what the head was made for.
    """
    whole, read = hashlib.sha256(head.data), 0
    for data in spool.buffers():
        whole.update(data)
        read += len(data)
    if not read == spool.size == head.payload_bytes:
        raise ChunkerError(
            ErrorCode.INTEGRITY,
            f"{head.payload_bytes} bytes belong into it, {spool.size} were written, "
            f"{read} could be read back",
            chunk_id=chunk_id,
        )
    body = ChunkBody(head.data, spool, 0, spool.size)
    return Chunk(
        chunk_id,
        float(start),
        float(end),
        whole.hexdigest(),
        body,
        "" if next_start is None else str(next_start),
    )
