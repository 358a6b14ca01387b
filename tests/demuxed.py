"""Films and chunks read for the checker: every packet, and what it decodes to.

Nothing here judges, and nothing of the program is used: libav demuxes and decodes. Payloads
are hashed without what containers wrap them in (start codes and lengths, parameter sets
and delimiters, ADTS headers, AV1's temporal delimiters), so that they can be compared.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

PRIMING = Fraction(1, 5)
"""Longest start of sound before zero that counts as an encoder's priming, seconds."""


@dataclass(slots=True)
class Packet:
    """One packet; times in seconds, as the container says them."""

    digest: bytes
    pts: Fraction | None
    duration: Fraction
    key: bool
    hidden: bool
    data: bytes = b""  # PCM only


@dataclass
class Track:
    """A stream of sound or pictures, read and decoded."""

    kind: str
    codec: str
    start: Fraction | None
    tags: dict[str, str]
    packets: list[Packet] = field(default_factory=list)
    pictures: dict[Fraction, bytes] = field(default_factory=dict)
    sounds: list[tuple[Fraction, Fraction]] = field(default_factory=list)  # (time, length)
    errors: int = 0
    rate: int = 0
    block: int = 0

    @property
    def is_pcm(self) -> bool:
        return self.codec.startswith("pcm_")

    @property
    def end(self) -> Fraction:
        return max(
            (p.pts + p.duration for p in self.packets if p.pts is not None), default=Fraction(0)
        )


def read_film(path: Path) -> list[Track]:
    """Sound and pictures of a file: every packet, and what it decodes to."""
    with av.open(str(path), options={"fflags": "+genpts"}, metadata_errors="replace") as container:
        found = {stream.index: _track(stream) for stream in container.streams if _counts(stream)}
        chosen = [stream for stream in container.streams if stream.index in found]
        for stream in chosen:
            stream.codec_context.thread_count = 1
        for packet in container.demux(*chosen):
            track = found[packet.stream.index]  # a flushing packet's own index is 0
            if packet.size:
                track.packets.append(_packet(packet, track))
            _decode(packet, track)
    return list(found.values())


def _counts(stream: Any) -> bool:
    if stream.type not in {"video", "audio"} or stream.codec_context is None:
        return False
    return not stream.disposition & av.stream.Disposition.attached_pic


def _track(stream: Any) -> Track:
    context = stream.codec_context
    codec = av.codec.Codec(context.name, "r").canonical_name
    codec = "mp3" if codec == "mp2" else codec  # one MPEG-1 audio to MP4, told apart by frames
    tags = {"language": stream.metadata.get("language") or "und"}
    if stream.type == "video":
        tags |= {
            "size": f"{context.width}x{context.height}",
            "pixel shape": str(stream.sample_aspect_ratio or Fraction(1)),
            "colours": f"{context.color_primaries}/{context.color_trc}/{context.colorspace}",
            "range": str(context.color_range),
            "hvc1": str(context.codec_tag == "hvc1"),
        }
    extradata = bytes(context.extradata or b"")
    track = Track(
        stream.type,
        codec,
        None if stream.start_time is None else stream.start_time * stream.time_base,
        tags,
    )
    if codec in {"h264", "hevc"} and extradata[:1] != b"\x01":
        tags["annex b"] = "yes"
    if stream.type == "audio":
        track.rate = context.sample_rate
        track.block = context.channels * max(context.format.bits // 8, 1) if context.format else 0
        if codec.startswith("pcm_"):
            digits = "".join(filter(str.isdigit, codec.split("_")[1]))
            track.block = context.channels * int(digits or 8) // 8
    return track


def _packet(packet: Any, track: Track) -> Packet:
    data = bytes(packet)
    duration = (packet.duration or 0) * packet.time_base
    return Packet(
        hashlib.sha256(_normalise(data, track)).digest(),
        None if packet.pts is None else packet.pts * packet.time_base,
        Fraction(duration),
        packet.is_keyframe,
        packet.is_discard or _skipped(packet, track) >= duration > 0,
        data if track.is_pcm else b"",
    )


def _skipped(packet: Any, track: Track) -> Fraction:
    """How much of the packet's sound is not to be played, seconds: an encoder's priming."""
    if not track.rate or not packet.has_sidedata("skip_samples"):
        return Fraction(0)
    return Fraction(
        int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little"), track.rate
    )


def _normalise(data: bytes, track: Track) -> bytes:
    """The payload without what containers wrap it in."""
    if track.codec in {"h264", "hevc"}:
        units = _annex_b(data) if "annex b" in track.tags else _length_prefixed(data)
        if track.codec == "h264":
            kept = [unit for unit in units if unit and unit[0] & 31 not in {7, 8, 9}]
        else:
            kept = [unit for unit in units if unit and unit[0] >> 1 & 63 not in {32, 33, 34, 35}]
        return b"".join(len(unit).to_bytes(4, "big") + unit for unit in kept)
    if track.codec == "aac" and len(data) > 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        if length == len(data):
            return data[7 if data[1] & 1 else 9 :]
    if track.codec == "av1":
        return b"".join(_av1_units(data))
    return data


def _annex_b(data: bytes) -> Iterator[bytes]:
    for part in data.split(b"\x00\x00\x01"):
        yield part.rstrip(b"\x00")


def _length_prefixed(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size].rstrip(b"\x00")
        at += 4 + size


def _av1_units(data: bytes) -> Iterator[bytes]:
    """OBUs but temporal delimiters, redundant headers, tile lists and padding."""
    at = 0
    while at < len(data):
        start, header = at, data[at]
        at += 2 if header & 4 else 1
        size = shift = 0
        if header & 2:
            while True:
                byte = data[at]
                size |= (byte & 127) << shift
                at, shift = at + 1, shift + 7
                if byte < 128:
                    break
        else:
            size = len(data) - at
        at += size
        if header >> 3 & 15 not in {2, 7, 8, 15}:
            yield data[start:at]


def _decode(packet: Any, track: Track) -> None:
    try:
        frames = packet.decode()
    except av.error.FFmpegError:
        track.errors += 1
        return
    for frame in frames:
        if frame.pts is None:
            continue
        time = frame.pts * frame.time_base
        if track.kind == "video":
            track.pictures[time] = _picture_hash(frame)
            turn = frame.rotation % 360
            track.tags["rotation"] = str(turn)
        else:
            track.sounds.append((time, Fraction(frame.samples, frame.sample_rate)))


def _picture_hash(frame: Any) -> bytes:
    digest = hashlib.md5(frame.format.name.encode(), usedforsecurity=False)
    deep = 2 if frame.format.components[0].bits > 8 else 1
    for plane in frame.planes:
        view, stride, width = memoryview(plane), plane.line_size, plane.width * deep
        for row in range(plane.height):
            digest.update(view[row * stride : row * stride + width])
    return digest.digest()


def film_start(tracks: list[Track]) -> Fraction:
    """The time stamp of film time zero; see the module's docstring."""
    starts = [start for track in tracks if (start := _start(track)) is not None]
    if not starts:
        return Fraction(0)
    first, own = min(starts), _start(reference_of(tracks))
    own = first if own is None else own
    return own if first < 0 <= own <= first + PRIMING else first


def _start(track: Track) -> Fraction | None:
    if track.start is not None:
        return track.start
    return min((p.pts for p in track.packets if p.pts is not None), default=None)


def reference_of(tracks: list[Track]) -> Track:
    return next((track for track in tracks if track.kind == "video"), tracks[0])


def top_boxes(path: Path) -> list[str]:
    """Types of the outermost boxes of an MP4 file."""
    found = []
    with path.open("rb") as content:
        end = content.seek(0, 2)
        at = 0
        while at + 8 <= end:
            content.seek(at)
            head = content.read(16)
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:], "big")
            found.append(head[4:8].decode("latin-1"))
            if size < 8:
                break
            at += size
    return found
