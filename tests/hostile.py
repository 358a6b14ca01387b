"""Files that want to harm whoever opens them; each function makes one.

They are told apart by what must come of them, see `test_hostile.py`.
"""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import boxes
from av.video.frame import VideoFrame
from boxes import Box

FTYP = bytes(Box(b"ftyp", b"qt  \0\0\2\0qt  "))
MANY = 2**31 - 1
GIB = 2**30


def put(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def cut(film: Path, path: Path, part: float) -> Path:
    """The first part of a film."""
    return put(path, film.read_bytes()[: int(film.stat().st_size * part)])


def scratch(film: Path, path: Path, chance: random.Random) -> Path:
    """Some bytes in the last two thirds of a film are others."""
    data = bytearray(film.read_bytes())
    start = len(data) // 3
    for _ in range(chance.choice((1, 3, 30))):
        data[chance.randrange(start, len(data))] = chance.randrange(256)
    return put(path, bytes(data))


def sparse(path: Path, head: bytes, size: int) -> Path:
    """Zeros that take no room on the disk."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


def without_index(film: Path, path: Path) -> Path:
    data = film.read_bytes()
    return put(path, data[: data.rindex(b"moov") - 4])


def flip(film: Path, path: Path, seed: int) -> Path:
    """Thirty bytes of the index changed."""
    data, chance = bytearray(film.read_bytes()), random.Random(seed)
    start = data.rindex(b"moov")
    for _ in range(30):
        data[chance.randrange(start, len(data))] = chance.randrange(256)
    return put(path, bytes(data))


# Index bombs: each a change of a good film's moov


def table(name: str, content: bytes, kind: bytes = b"vide") -> Callable[[Box], None]:
    """Another content for a table of the first track of that kind."""

    def change(moov: Box) -> None:
        boxes.tracks(moov, kind)[0].find(f"mdia/minf/stbl/{name}").content = content

    return change


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def header(name: str, at: int, content: bytes) -> Callable[[Box], None]:
    """Bytes of a header box overwritten, in every track that has it."""

    def change(moov: Box) -> None:
        for box in moov.all(name.encode()):
            box.content = box.content[:at] + content + box.content[at + len(content) :]

    return change


def offsets(value: int) -> Callable[[Box], None]:
    def change(moov: Box) -> None:
        for box in moov.all(b"stco"):
            count = int.from_bytes(box.content[4:8], "big")
            box.content = box.content[:8] + words(*[value] * count)

    return change


def empty_samples(moov: Box) -> None:
    for box in moov.all(b"stsz"):
        count = int.from_bytes(box.content[8:12], "big")
        box.content = box.content[:12] + bytes(4 * count)


def edit(start: int, length: int, count: int = 1) -> Callable[[Box], None]:
    """Edit lists of 64 bits with absurd entries."""

    def change(moov: Box) -> None:
        for box in moov.all(b"elst"):
            entry = struct.pack(">QqI", length, start, 1 << 16)
            box.content = words(1 << 24, count) + entry * count

    return change


def external(kind: bytes, target: Path) -> Callable[[Box], None]:
    """The media is said to lie in another file."""

    def change(moov: Box) -> None:
        for box in moov.all(b"dref"):
            url = target.as_uri().encode() + b"\0"
            place = url if kind == b"url " else _alias(target)
            box.content = words(0, 1) + bytes(Box(kind, bytes(4) + place))

    return change


def _alias(target: Path) -> bytes:
    """A classic Mac alias record with the absolute path, as libav reads it."""
    name = target.name.encode()[:63]
    path = str(target).encode()
    record = bytes(10) + b"\x01/" + bytes(26 + 12) + bytes([len(name)]) + name.ljust(63, b"\0")
    record += bytes(16) + struct.pack(">hh", 1, 1) + bytes(16)
    for number, text in ((2, path), (18, path)):
        record += struct.pack(">hh", number, len(text)) + text + b"\0" * (len(text) % 2)
    return record + struct.pack(">hh", -1, 0)


def giant_sps(width: int, height: int) -> Callable[[Box], None]:
    """Pictures of an absurd size, said where the decoder believes it."""

    def change(moov: Box) -> None:
        bits = "".join(
            [
                f"{100:08b}{0:08b}{62:08b}",  # High profile, level 6.2
                *map(_golomb, (0, 1, 0, 0)),  # id, 4:2:0, 8 bits
                "00",
                *map(_golomb, (0, 2, 1)),  # frame numbers, order, references
                "0",
                _golomb(width // 16 - 1),
                _golomb(height // 16 - 1),
                "1100",  # frames only, direct 8x8, no cropping, no VUI
                "1",
            ]
        )
        bits += "0" * (-len(bits) % 8)
        sps = b"\x67" + int(bits, 2).to_bytes(len(bits) // 8, "big")
        (entry,) = [b for b in moov.all(b"stsd") if b"avcC" in b.content]
        at = entry.content.index(b"avcC") - 4
        size = int.from_bytes(entry.content[at : at + 4], "big")
        old = entry.content[at + 8 : at + size]
        length = int.from_bytes(old[6:8], "big")
        config = old[:6] + struct.pack(">H", len(sps)) + sps + old[8 + length :]
        new = entry.content[16:at] + bytes(Box(b"avcC", config))
        entry.content = entry.content[:8] + (len(new) + 8).to_bytes(4, "big") + b"avc1" + new

    return change


def _golomb(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def giant_entry(moov: Box) -> None:
    """65,535 x 65,535 pixels in the sample description, 100,000 have no room there."""
    for box in moov.all(b"stsd"):
        if b"avc1" in box.content:
            box.content = box.content[:40] + b"\xff" * 4 + box.content[44:]
    header("tkhd", 76, b"\xff" * 8)(moov)


def no_sides(moov: Box) -> None:
    """No size in the sample description, so that the decoder's word is the only one."""
    for box in moov.all(b"stsd"):
        if b"avc1" in box.content:
            box.content = box.content[:40] + bytes(4) + box.content[44:]


# Whole files


def fragment(samples: int) -> bytes:
    """A fragment of so many samples of one byte, which need no room to be spoken of."""
    header = Box(b"tfhd", words(0x02_00_18, 1, 512, 1))
    track = Box(b"traf", boxes=[header, Box(b"trun", words(0, samples))])
    inner = Box(b"moof", boxes=[Box(b"mfhd", words(0, 1)), track])
    return bytes(inner) + bytes(Box(b"mdat", bytes(8)))


def with_fragment(film: Path, path: Path, samples: int) -> Path:
    """A fragmented film with one more fragment, in front of its own."""
    data = film.read_bytes()
    start = data.index(b"moof") - 4
    return put(path, data[:start], fragment(samples), data[start:])


def compressed_index(path: Path, size: int) -> Path:
    """A compressed moov (cmov) that unpacks to zeros without end."""
    block = zlib.compressobj(9)
    first = block.compress(bytes(2**24)) + block.flush(zlib.Z_FULL_FLUSH)
    rest = block.compress(bytes(2**24)) + block.flush(zlib.Z_FULL_FLUSH)
    count = size // 2**24
    adler = (size % 65521) << 16 | 1
    data = first + rest * (count - 1) + b"\x03\0" + adler.to_bytes(4, "big")
    unpacked = Box(b"cmvd", words(size) + data)
    inner = Box(b"cmov", boxes=[Box(b"dcom", b"zlib"), unpacked])
    return put(path, FTYP, bytes(Box(b"moov", boxes=[inner])))


def reference_movie(path: Path, target: Path) -> Path:
    place = target.as_uri().encode() + b"\0"
    reference = Box(b"rdrf", words(0) + b"url " + words(len(place)) + place)
    tree = Box(b"moov", boxes=[Box(b"rmra", boxes=[Box(b"rmda", boxes=[reference])])])
    return put(path, FTYP, bytes(tree))


def many_tracks(film: Path, path: Path, count: int) -> Path:
    """One track, over and over."""

    def change(moov: Box) -> None:
        track = boxes.tracks(moov, b"vide")[0]
        for box in track.find("mdia/minf/stbl").boxes:
            if box.kind != b"stsd":
                box.content = bytes(12 if box.kind == b"stsz" else 8)
        track.boxes = [box for box in track.boxes if box.kind != b"edts"]
        once = bytes(track)
        moov.content = bytes(moov.boxes[0]) + once * count
        moov.boxes = []

    return boxes.rewrite(film, path, change)


def nested(path: Path, kind: bytes, depth: int) -> Path:
    size = 8 * depth
    return put(path, FTYP, *[(size - 8 * n).to_bytes(4, "big") + kind for n in range(depth)])


def matroska(path: Path, *elements: bytes) -> Path:
    head = bytes.fromhex("1a45dfa3 8b 4282 88") + b"matroska"
    segment = bytes.fromhex("18538067 01ffffffffffffff")
    return put(path, head, segment, *elements)


def picture(path: Path, codec: str) -> Path:
    context = av.CodecContext.create(codec, "w")
    context.width, context.height = 64, 64
    context.pix_fmt = {"png": "rgb24", "gif": "rgb8"}.get(codec, "yuvj420p")
    context.time_base = 1
    packets = context.encode(VideoFrame(64, 64, context.pix_fmt)) + context.encode(None)
    return put(path, *map(bytes, packets))


def archive(path: Path, film: Path) -> Path:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.write(film, "film.mp4")
    return put(path, content.getvalue())
