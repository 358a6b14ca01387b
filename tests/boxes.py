"""MP4 surgery: a file's boxes as a tree that can be changed and written again.

For what libav's muxers do not write: edit lists that trim, turned pictures, two sample
descriptions, and the lies of hostile files. Files must have their index last, so that a
change of its size moves no media.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

CONTAINERS = frozenset(b"moov trak mdia minf stbl edts dinf".split())


@dataclass
class Box:
    """One box: bytes, or boxes."""

    kind: bytes
    content: bytes = b""
    boxes: list["Box"] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        content = b"".join(map(bytes, self.boxes)) or self.content
        return (len(content) + 8).to_bytes(4, "big") + self.kind + content

    def find(self, path: str) -> "Box":
        """The box at a path such as `mdia/minf/stbl/stsz`; the first of each name."""
        box = self
        for name in path.split("/"):
            box = next(inner for inner in box.boxes if inner.kind == name.encode())
        return box

    def all(self, kind: bytes) -> Iterator["Box"]:
        """Every box of that kind, however deep."""
        for inner in self.boxes:
            if inner.kind == kind:
                yield inner
            yield from inner.all(kind)


def parse(data: bytes) -> list[Box]:
    """The boxes of a file or of a container's content."""
    found, at = [], 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        content = data[at + head : at + size]
        if kind in CONTAINERS:
            found.append(Box(kind, boxes=parse(content)))
        else:
            found.append(Box(kind, content))
        at += size
    return found


def rewrite(film: Path, path: Path, *changes: Callable[[Box], None]) -> Path:
    """Write `film` to `path` with its index (moov) changed."""
    data = film.read_bytes()
    start = data.rindex(b"moov") - 4
    (moov,) = parse(data[start : start + int.from_bytes(data[start : start + 4], "big")])
    for change in changes:
        change(moov)
    path.write_bytes(data[:start] + bytes(moov))
    return path


def tracks(moov: Box, kind: bytes = b"") -> list[Box]:
    """The tracks, all or of a kind (`vide`, `soun`)."""
    found = [box for box in moov.boxes if box.kind == b"trak"]
    return [t for t in found if t.find("mdia/hdlr").content[8:12].startswith(kind)]


def timescale(track: Box) -> int:
    content = track.find("mdia/mdhd").content
    return int.from_bytes(content[20:24] if content[0] else content[12:16], "big")


# What films may have


def turn(moov: Box) -> None:
    """Pictures turned by 90°, as a phone held upright writes them."""
    for track in tracks(moov, b"vide"):
        box = track.find("tkhd")
        at = 52 if box.content[0] else 40
        matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 120 << 16, 0, 1 << 30)
        box.content = box.content[:at] + matrix + box.content[at + 36 :]


def trim(seconds: float) -> Callable[[Box], None]:
    """An edit list that hides the film's first seconds, as trimming in an editor does."""

    def change(moov: Box) -> None:
        for track in tracks(moov):
            box = track.find("edts/elst")
            _, _, length, start, rate = struct.unpack(">IIIiI", box.content[:20])
            start += round(seconds * timescale(track))
            length -= round(seconds * 1000)
            box.content = struct.pack(">IIIiI", 0, 1, length, start, rate)

    return change


def without_edits(moov: Box) -> None:
    """No edit list, as many cameras write it: B-frames make the pictures start late."""
    for track in tracks(moov):
        track.boxes = [box for box in track.boxes if box.kind != b"edts"]


def join(first: Path, second: Path, path: Path) -> Path:
    """Two films of one track each as one track with two sample descriptions."""
    data = first.read_bytes()
    start = data.rindex(b"moov") - 4
    (moov,) = parse(data[start:])
    other_data = second.read_bytes()
    other_start = other_data.rindex(b"moov") - 4
    (other,) = parse(other_data[other_start:])
    (table,), (more,) = (list(tree.all(b"stbl")) for tree in (moov, other))
    count = int.from_bytes(table.find("stsz").content[8:12], "big")
    chunks = int.from_bytes(table.find("stco").content[4:8], "big")
    for name, width in (("stts", 8), ("ctts", 8), ("stss", 4), ("stsc", 12), ("stco", 4)):
        box = table.find(name)
        entries = more.find(name).content[8:]
        numbers = list(struct.unpack(f">{len(entries) // 4}I", entries))
        if name == "stss":
            numbers = [number + count for number in numbers]
        elif name == "stco":
            numbers = [number + start for number in numbers]
        elif name == "stsc":
            numbers[0::3] = [number + chunks for number in numbers[0::3]]
            numbers[2::3] = [2] * len(numbers[2::3])
        total = (len(box.content) - 8) // width + len(entries) // width
        box.content = (
            box.content[:4]
            + total.to_bytes(4, "big")
            + box.content[8:]
            + struct.pack(f">{len(numbers)}I", *numbers)
        )
    sizes, more_sizes = table.find("stsz"), more.find("stsz").content
    total = count + int.from_bytes(more_sizes[8:12], "big")
    sizes.content = (
        sizes.content[:8] + total.to_bytes(4, "big") + sizes.content[12:] + more_sizes[12:]
    )
    entries = table.find("stsd")
    entries.content = entries.content[:4] + b"\0\0\0\2" + entries.content[8:]
    entries.content += more.find("stsd").content[8:]
    for track in tracks(moov):
        track.boxes = [box for box in track.boxes if box.kind != b"edts"]
    # The second film whole, its own boxes made to be skipped.
    tail = other_data[:other_start].replace(b"ftyp", b"free", 1)
    path.write_bytes(data[:start] + tail + bytes(moov))
    return path
