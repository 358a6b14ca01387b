"""Finishes a chunk: its head is made, what was written is read back, checked and hashed."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from m0_contract.errors import ErrorCode

from m0_chunker.chunk import Chunk, ChunkBody
from m0_chunker.errors import ChunkerError
from m0_chunker.media.mp4.boxes import BoxError
from m0_chunker.media.mp4.build import ChunkTrack, build_head
from m0_chunker.media.mp4.verify import Written, read_written
from m0_chunker.media.spool import Spool


@dataclass(frozen=True, slots=True)
class Sealed:
    """A finished chunk and what was found in it.

    Attributes:
        chunk: to be stored.
        tracks: as its index has them, in the order given.
    """

    chunk: Chunk
    tracks: list[Written]


def seal(
    chunk_id: int,
    start: Fraction,
    end: Fraction,
    next_start: Fraction | None,
    *,
    tracks: Sequence[ChunkTrack],
    spool: Spool,
) -> Sealed:
    """Make the chunk whose media data is in `spool`, which it takes over.

    Args:
        chunk_id: from 1.
        start: seconds since the film's start.
        end: likewise.
        next_start: where the next chunk begins; None: there is none.
        tracks: those that have a sample in it.
        spool: the media data.

    Raises:
        ChunkerError: INTEGRITY: the index does not say what is in the chunk. SOURCE_CORRUPT:
            the film's times are such as no index can say.
    """
    try:
        head = build_head(tracks, spool.size)
    except (struct.error, OverflowError) as error:
        raise ChunkerError(
            ErrorCode.SOURCE_CORRUPT, f"the film's times are absurd: {error}", chunk_id=chunk_id
        ) from error
    try:
        written = read_written(head, spool.size)
    except BoxError as error:
        raise ChunkerError(
            ErrorCode.INTEGRITY, f"what was written is not sound: {error}", chunk_id=chunk_id
        ) from error
    whole, read = hashlib.sha256(head), 0
    for data in spool.buffers():
        whole.update(data)
        read += len(data)
    if read != spool.size:
        raise ChunkerError(
            ErrorCode.INTEGRITY,
            f"{spool.size} bytes were written, {read} could be read back",
            chunk_id=chunk_id,
        )
    body = ChunkBody(head, spool, 0, spool.size)
    chunk = Chunk(
        chunk_id,
        float(start),
        float(end),
        whole.hexdigest(),
        body,
        "" if next_start is None else str(next_start),
    )
    return Sealed(chunk, written)
