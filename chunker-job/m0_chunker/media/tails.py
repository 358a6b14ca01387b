"""How much of a film is missing at its end, as far as its own headers know: pure parsing.

libav reads a file that is cut off to where it ends and calls that its end. Matroska, AVI and
WAV say at their start how long they are; what was written without knowing (a live recording,
a pipe) says so too and is never cut off. MP4 says it in its index (`source`); a transport
stream and a fragmented film have no end to miss.
"""

import struct

from m0_chunker.media.mp4.boxes import Readable, read_exactly

_HEAD_BYTES = 4096
_MAX_CHUNKS = 64
"""Outer parts that are looked at; an AVI has one a GB."""

_SLACK_BYTES = 8
"""Some writers count a RIFF's own header in, others forget the pad byte."""

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def count_missing(file: Readable, size_bytes: int) -> int:
    """Bytes that the film should have after its end; 0 where none are known to be missing.

    Args:
        file: the film; it is left anywhere.
        size_bytes: its length.
    """
    head = read_exactly(file, 0, min(_HEAD_BYTES, size_bytes))
    end = None
    if head.startswith(_EBML):
        end = _matroska_end(head)
    elif head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:12] == b"WAVE":
        end = _wave_end(file, size_bytes)
    elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        end = _riff_end(file, size_bytes)
    return 0 if end is None else max(0, end - size_bytes)


def _matroska_end(head: bytes) -> int | None:
    """Where the first segment ends; None when it doesn't say."""
    at = len(_EBML)
    size = _ebml_size(head, at)
    while size is not None:
        at += _width(head, at) + size
        if head[at : at + 4] == _SEGMENT:
            at += len(_SEGMENT)
            size = _ebml_size(head, at)
            return None if size is None else at + _width(head, at) + size
        if head[at : at + 1] != b"\xec":  # padding
            return None
        at += 1
        size = _ebml_size(head, at)
    return None


def _width(head: bytes, at: int) -> int:
    """Bytes of the size that begins at `at`."""
    return 9 - head[at].bit_length()


def _ebml_size(head: bytes, at: int) -> int | None:
    """The size at `at`; None when it is unknown or not there."""
    if at >= len(head) or not head[at]:
        return None
    width = _width(head, at)
    mask = (1 << 7 * width) - 1
    size = int.from_bytes(head[at : at + width], "big") & mask
    return None if size == mask or at + width > len(head) else size


def _is_known(size: int) -> bool:
    """Whether a RIFF size is meant: who writes to a pipe puts 0 or the most there is."""
    return 0 < size < 0xFFFFF000 and not 0x7FFFF000 <= size <= 0x80000000


def _riff_end(file: Readable, size_bytes: int) -> int | None:
    """Where the last of an AVI's outer parts ends."""
    at = 0
    for _ in range(_MAX_CHUNKS):
        header = read_exactly(file, at, 8)
        if len(header) < 8 or header[:4] != b"RIFF":
            return None
        (size,) = struct.unpack_from("<I", header, 4)
        if not _is_known(size):
            return None
        at += 8 + size + size % 2
        if at + 8 > size_bytes:
            return at if at > size_bytes + _SLACK_BYTES else None
    return None


def _wave_end(file: Readable, size_bytes: int) -> int | None:
    """Where a WAV's sound ends."""
    at, long_size = 12, 0
    for _ in range(_MAX_CHUNKS):
        header = read_exactly(file, at, 24)
        if len(header) < 8:
            return None
        (size,) = struct.unpack_from("<I", header, 4)
        if header[:4] == b"ds64" and len(header) == 24:
            (long_size,) = struct.unpack_from("<Q", header, 16)
        if header[:4] == b"data":
            if size == 0xFFFFFFFF and 0 < long_size < 2**63:
                size = long_size
            elif not _is_known(size):
                return None
            end = at + 8 + size
            return end if end > size_bytes + _SLACK_BYTES else None
        at += 8 + size + size % 2
        if at >= size_bytes:
            return None
    return None
