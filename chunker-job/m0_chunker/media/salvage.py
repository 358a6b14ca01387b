"""Takes a damaged film as far as it goes: what is there, whole, and a word on what is not."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from m0_chunker.media.source import Film


def is_half(packet: Any, size_bytes: int) -> bool:
    """Whether the film's end is in the middle of this packet.

    Args:
        packet: one that libav calls corrupt, as it does others with errors in them, too.
        size_bytes: of the film.
    """
    return packet.pos is not None and packet.pos >= 0 and packet.pos + packet.size >= size_bytes


def salvage_packets(film: "Film", streams: Sequence[Any]) -> Iterator[Any]:
    """All whole packets of a film up to where it is damaged.

    libav takes the first packet that is not there for the end of all tracks. In MP4, where
    the index knows of each packet whether it is there, it is asked again until it gave all
    that are, in whatever order they lie.

    Args:
        film: which gets notes on what is missing.
        streams: whose packets are wanted.
    """
    present, beyond = _count_packets(film, streams)
    given = half = 0
    flushes: list[Any] = []
    for _ in range(beyond + 1):
        flushes = []
        try:
            for packet in film.packets(*streams):
                if not packet.size:
                    flushes.append(packet)
                elif packet.is_corrupt and is_half(packet, film.file.size_bytes):
                    half += 1
                else:
                    given += 1
                    yield packet
        except (av.error.FFmpegError, ValueError, RuntimeError) as error:
            if film.file.failure is not None:
                raise
            if given >= present or not beyond:
                film.notes.append(f"the film can't be read any further: {error}")
                break
        if given >= present:
            break
    missing = max(beyond, half)
    if missing:
        film.notes.append(
            f"{missing} packets are not there, or not whole, and are not in the chunks"
        )
    yield from flushes


def _count_packets(film: "Film", streams: Sequence[Any]) -> tuple[int, int]:
    """(packets that are there, packets that are not), as an index knows; else (0, 0)."""
    if not film.is_mp4 or not film.missing_bytes:
        return 0, 0
    size_bytes = film.file.size_bytes
    ends = [entry.pos + entry.size for each in streams for entry in each.index_entries]
    present = sum(end <= size_bytes for end in ends)
    return present, len(ends) - present


def count_beyond(streams: Sequence[Any], size_bytes: int) -> tuple[int, Fraction]:
    """What a sample table (MP4, MOV) speaks of and the file has not.

    Returns:
        Bytes after the file's end, and the longest stretch of a stream there, seconds.
    """
    missing_bytes, missing_s = 0, Fraction(0)
    for stream in streams:
        entries = stream.index_entries
        if not len(entries):
            continue
        last = entries[-1]
        if last.pos + last.size <= size_bytes:
            continue
        missing_bytes = max(missing_bytes, last.pos + last.size - size_bytes)
        first = next(entry for entry in entries if entry.pos + entry.size > size_bytes)
        missing_s = max(missing_s, (last.timestamp - first.timestamp) * stream.time_base)
    return missing_bytes, missing_s
