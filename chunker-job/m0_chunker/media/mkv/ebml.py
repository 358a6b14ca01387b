"""Elements, the bricks of Matroska: an id, a size, a content. RFC 8794 and RFC 9559."""

from collections.abc import Iterator
from typing import NamedTuple

from m0_chunker.media.direct import OddError

EBML, SEGMENT = 0x1A45DFA3, 0x18538067
SEEK_HEAD, INFO, TRACKS, CUES = 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B
TAGS, CHAPTERS, ATTACHMENTS = 0x1254C367, 0x1043A770, 0x1941A469
CLUSTER, TIMESTAMP, POSITION, PREVIOUS_SIZE = 0x1F43B675, 0xE7, 0xA7, 0xAB
SIMPLE_BLOCK, BLOCK_GROUP, BLOCK = 0xA3, 0xA0, 0xA1
DURATION, REFERENCE, PRIORITY, DISCARD_PADDING = 0x9B, 0xFB, 0xFA, 0x75A2
TRACK_ENTRY, TRACK_NUMBER, TRACK_TYPE = 0xAE, 0xD7, 0x83
VOID, CRC = 0xEC, 0xBF

HEADER_BYTES = 12
"""The longest header: an id of 4 bytes, a size of 8."""


class Header(NamedTuple):
    """The beginning of an element.

    Attributes:
        kind: its id.
        size: of its content, bytes; None: unknown.
        begin: where its content is.
    """

    kind: int
    size: int | None
    begin: int


def read_header(data: bytes, at: int) -> Header | None:
    """The header at `at`; None where the data ends before it does.

    Raises:
        OddError: it is none.
    """
    left = len(data) - at
    if left < 2:
        return None
    width = 9 - data[at].bit_length()
    if width > 4:
        raise OddError("no element begins here")
    if left <= width:
        return None
    begin = at + width
    size_width = 9 - data[begin].bit_length()
    if size_width > 8:
        raise OddError("an element's size is too long")
    if left < width + size_width:
        return None
    after = begin + size_width
    mask = (1 << 7 * size_width) - 1
    size = int.from_bytes(data[begin:after], "big") & mask
    return Header(int.from_bytes(data[at:begin], "big"), None if size == mask else size, after)


def children(data: bytes, at: int, after: int) -> Iterator[Header]:
    """What is in the content of an element.

    Args:
        data: all of it is there.
        at: where it begins.
        after: where it ends.

    Raises:
        OddError: an element is longer than what it is in.
    """
    while at < after:
        header = read_header(data, at)
        if header is None or header.size is None or header.begin + header.size > after:
            raise OddError("an element is longer than what it is in")
        yield header
        at = header.begin + header.size


def read_number(content: bytes) -> int:
    """An unsigned number.

    Raises:
        OddError: it is too long.
    """
    if len(content) > 8:
        raise OddError("a number is too long")
    return int.from_bytes(content, "big")
