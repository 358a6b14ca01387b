"""Boxes, the bricks of MP4: finding them in bytes, and making them. ISO/IEC 14496-12, 4.2."""

import struct
from collections.abc import Iterator
from typing import IO, Protocol

Span = tuple[int, int]
"""(offset, length) in a file, bytes."""


_HEADER = struct.Struct(">I4s")
_read_header = _HEADER.unpack_from
_FULL_HEADER = struct.Struct(">I4sI")
_TABLE_HEADER = struct.Struct(">I4sII")


class BoxError(ValueError):
    """The bytes are not well-formed boxes; says where."""


class Readable(Protocol):
    """What the box reader needs of a file."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As files do."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """As files do; may give less than asked before the end."""
        ...


def box(kind: bytes, *parts: bytes | bytearray) -> bytes:
    """A box of `kind` around `parts`."""
    content = b"".join(parts)
    return _HEADER.pack(len(content) + 8, kind) + content


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version and flags."""
    content = b"".join(parts)
    return _FULL_HEADER.pack(len(content) + 12, kind, version << 24 | flags) + content


def table(kind: bytes, count: int, entries: bytes, version: int = 0) -> bytes:
    """A box that holds so many entries of one kind."""
    return _TABLE_HEADER.pack(len(entries) + 16, kind, version << 24, count) + entries


def children(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """(kind, content) of the boxes that `data` consists of.

    Raises:
        BoxError: a box is longer than what it is in.
    """
    at, end = 0, len(data)
    while at + 8 <= end:
        size, kind = _read_header(data, at)
        begin, after = at + 8, at + size
        if size < 8 or after > end:
            begin, after = _measure(data, at, end)
        yield kind, data[begin:after]
        at = after


def find(data: memoryview, *path: bytes) -> memoryview | None:
    """The content of the first box at `path`, or None."""
    begin, end = 0, len(data)
    for name in path:
        kind, after = b"", begin
        while kind != name:
            at = after
            if at + 8 > end:
                return None
            size, kind = _read_header(data, at)
            begin, after = at + 8, at + size
            if size < 8 or after > end:
                begin, after = _measure(data, at, end)
        end = after
    return data[begin:end]


def _measure(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """Where the content of a box of unusual size begins and ends that is at `at`, up to `end`.

    The usual ones are measured in the loops above: a call for each of the boxes that are read
    back of each small chunk would be seen in what cutting costs.
    """
    size, kind = _read_header(data, at)
    begin = at + 8
    if size == 1 and at + 16 <= end:
        (size,) = struct.unpack_from(">Q", data, begin)
        begin = at + 16
    elif size == 0:
        size = end - at
    after = at + size
    if not begin <= after <= end:
        raise BoxError(f"box {kind!r} at {at} has a bad size")
    return begin, after


def first_of_each(data: memoryview) -> dict[bytes, memoryview]:
    """Kind → content of the first box of each kind: for who needs several of them."""
    found: dict[bytes, memoryview] = {}
    for kind, content in children(data):
        found.setdefault(kind, content)
    return found


def need(data: memoryview, *path: bytes) -> memoryview:
    """As `find`.

    Raises:
        BoxError: it is not there.
    """
    found = find(data, *path)
    if found is None:
        raise BoxError(f"there is no box {b'/'.join(path).decode('latin-1')}")
    return found


def read_exactly(file: Readable | IO[bytes], offset: int, length: int) -> bytes:
    """Bytes of a file, fewer only at its end."""
    file.seek(offset)
    pieces = []
    while length > 0 and (piece := file.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def top_level(file: Readable | IO[bytes], size_bytes: int) -> dict[bytes, Span]:
    """Kind → (offset, length), headers included, of the first outermost box of each kind.

    Raises:
        BoxError: a box goes on after the file's end, or there are absurdly many.
    """
    places: dict[bytes, Span] = {}
    at = 0
    for _ in range(MAX_TOP_LEVEL):
        if at + 8 > size_bytes:
            return places
        header = read_exactly(file, at, 16)
        size, kind = struct.unpack_from(">I4s", header)
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
        elif size == 0:
            size = size_bytes - at
        if size < 8 or at + size > size_bytes:
            raise BoxError(f"box {kind!r} at {at} goes on after the end of the file")
        places.setdefault(bytes(kind), (at, size))
        if kind in FRAGMENT:
            return places
        at += size
    raise BoxError("too many boxes")


MAX_TOP_LEVEL = 1000
FRAGMENT = (b"moof", b"sidx")
"""Where one of these comes, the index is spread over the file: no need to look on."""
