"""Matroska files taken apart and put together otherwise than libav's muxer would."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

EBML, SEGMENT, CLUSTER, TIMESTAMP = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xE7
SIMPLE_BLOCK, BLOCK_GROUP, BLOCK, DURATION, REFERENCE = 0xA3, 0xA0, 0xA1, 0x9B, 0xFB
VOID, CRC, TRACKS = 0xEC, 0xBF, 0x1654AE6B
CUES, SEEK_HEAD, TAGS = 0x1C53BB6B, 0x114D9B74, 0x1254C367
MASTERS = frozenset({SEGMENT, CLUSTER, BLOCK_GROUP, TRACKS, 0xAE})
UNKNOWN = b"\x01" + b"\xff" * 7


@dataclass(frozen=True)
class Element:
    """One element; a master's content is its children.

    Attributes:
        lie: how much longer it says it is.
    """

    kind: int
    content: "bytes | tuple[Element, ...]"
    unknown_size: bool = False
    lie: int = 0

    def __bytes__(self) -> bytes:
        content = self.content
        body = content if isinstance(content, bytes) else b"".join(map(bytes, content))
        kind = self.kind.to_bytes((self.kind.bit_length() + 7) // 8, "big")
        return kind + (UNKNOWN if self.unknown_size else size_of(len(body) + self.lie)) + body

    @property
    def children(self) -> "tuple[Element, ...]":
        assert not isinstance(self.content, bytes)
        return self.content

    @property
    def data(self) -> bytes:
        assert isinstance(self.content, bytes)
        return self.content


def size_of(length: int) -> bytes:
    """A size, as short as may be."""
    width = next(width for width in range(1, 9) if length < (1 << 7 * width) - 1)
    return (length | 1 << 7 * width).to_bytes(width, "big")


def parse(data: bytes) -> Iterator[Element]:
    at = 0
    while at < len(data):
        width = 9 - data[at].bit_length()
        kind = int.from_bytes(data[at : at + width], "big")
        at += width
        width = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        at += width
        body = data[at : at + size]
        yield Element(kind, tuple(parse(body)) if kind in MASTERS else body)
        at += size


Change = Callable[[list[Element]], list[Element]]
"""A film's clusters → other ones."""


def rewrite(film: Path, path: Path, change: Change, *, live: bool = False) -> Path:
    """The film with other clusters, and without an index.

    Args:
        live: no size is known: of the segment, nor of a cluster.
    """
    head, segment = parse(film.read_bytes())
    others = [
        each for each in segment.children if each.kind not in {CLUSTER, CUES, SEEK_HEAD, TAGS, VOID}
    ]
    clusters = change([each for each in segment.children if each.kind == CLUSTER])
    if live:
        clusters = [replace(each, unknown_size=each.kind == CLUSTER) for each in clusters]
    whole = Element(SEGMENT, (*others, *clusters), unknown_size=live)
    path.write_bytes(bytes(head) + bytes(whole))
    return path


def each_block(change: Callable[[int, Element], list[Element]]) -> Change:
    """A change of each simple block, which is told its number in the film."""

    def changed(clusters: list[Element]) -> list[Element]:
        number, result = -1, []
        for cluster in clusters:
            children: list[Element] = []
            for child in cluster.children:
                if child.kind == SIMPLE_BLOCK:
                    number += 1
                    children += change(number, child)
                elif child.kind != CRC:
                    children.append(child)
            result.append(replace(cluster, content=tuple(children)))
        return result

    return changed


def grouped(block: Element, *more: Element) -> Element:
    """A simple block as a group."""
    data = block.data
    parts = [Element(BLOCK, data[:3] + bytes([data[3] & 0x7F]) + data[4:])]
    if not data[3] & 0x80:
        parts.append(Element(REFERENCE, b"\xff"))
    return Element(BLOCK_GROUP, (*parts, *more))


def at(number: int, *elements: Element) -> Change:
    """Something before a block."""
    return each_block(lambda own, block: [*elements, block] if own == number else [block])


def laced(number: int) -> Change:
    """A block becomes one of several packets, all of them its own content."""

    def change(own: int, block: Element) -> list[Element]:
        if own != number:
            return [block]
        data = block.data
        sizes = bytes([1]) + b"\xff" * (len(data[4:]) // 255) + bytes([len(data[4:]) % 255])
        flags = bytes([data[3] | 0x02])
        return [Element(SIMPLE_BLOCK, data[:3] + flags + sizes + data[4:] + data[4:])]

    return each_block(change)


def stripped(film: Path, path: Path) -> Path:
    """The film with the first byte of each picture, a zero, said once for all of them."""

    def strip(_: int, block: Element) -> list[Element]:
        data = block.data
        if data[0] != 0x81:
            return [block]
        assert data[4] == 0, "a length of four bytes"
        return [replace(block, content=data[:4] + data[5:])]

    rewrite(film, path, each_block(strip))
    head, segment = parse(path.read_bytes())
    settings = (Element(0x4254, b"\3"), Element(0x4255, b"\0"))
    encoding = Element(0x6D80, (Element(0x6240, (Element(0x5034, settings),)),))

    def said(tracks: Element) -> Element:
        first, *others = [each for each in tracks.children if each.kind != CRC]
        packed = replace(first, content=(*first.children, encoding))
        return replace(tracks, content=(packed, *others))

    children = [said(each) if each.kind == TRACKS else each for each in segment.children]
    path.write_bytes(bytes(head) + bytes(replace(segment, content=tuple(children))))
    return path


def nth_cluster(number: int, change: Callable[[Element], Element]) -> Change:
    """A change of one cluster."""
    return lambda clusters: [
        change(each) if at == number else each for at, each in enumerate(clusters)
    ]


def with_last(cluster: Element, change: Callable[[Element], Element]) -> Element:
    """The cluster, its last block changed."""
    *others, last = cluster.children
    return replace(cluster, content=(*others, change(last)))


def late(block: Element, ticks: int) -> Element:
    """The block, later after its cluster."""
    (time,) = struct.unpack_from(">h", block.data, 1)
    return replace(block, content=block.data[:1] + struct.pack(">h", time + ticks) + block.data[3:])
