"""The benchmark's films, made once into `.m0/bench/films` and kept.

Every payload of audio and video is unique (counters and noise in the picture, noise in the
sound), so that a packet's hash identifies it.
"""

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from bench.tools import HOME

FILMS = HOME / "films"
GOP = 60
FPS = 30


@dataclass(frozen=True)
class Film:
    """One film.

    Attributes:
        path: of the file.
        seconds: its length.
        note: what is special about it, for the table's caption.
    """

    path: Path
    seconds: float
    note: str

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self.path.stat().st_size


class FilmMaker:
    """Makes films with ffmpeg; the same film only once."""

    def __init__(self, ffmpeg: str, seconds: int) -> None:
        """`seconds` is the length of the packet-bound film; the byte-bound one has at most 60."""
        self._ffmpeg, self._seconds = ffmpeg, seconds
        FILMS.mkdir(parents=True, exist_ok=True)

    def tiny(self) -> Film:
        """One second: a run of it is all start-up."""
        return self._encode("tiny", 1, "640k", "start-up")

    def packets(self) -> Film:
        """Little in each packet: what costs is their number."""
        return self._encode("a", self._seconds, "640k", "720p30 H.264 with B-frames, 0.7 Mbit/s")

    def bytes(self) -> Film:
        """Much in each packet, like real material."""
        return self._encode("u", min(60, self._seconds), "7M", "720p30, 7 Mbit/s")

    def remuxed(self, suffix: str) -> Film:
        """The packet-bound film in another container."""
        source = self.packets()
        path = source.path.with_suffix(f".{suffix}")
        self._make(path, lambda part: self._run("-i", source.path, "-c", "copy", part))
        return Film(path, source.seconds, f"the same in {suffix.upper()}")

    def separate(self) -> Film:
        """All pictures first, then all sound: the worst order for reading in one pass."""
        source = self.bytes()
        path = source.path.with_name(f"w-{source.seconds}.mp4")
        self._make(path, lambda part: _write_separately(source.path, part))
        return Film(path, source.seconds, "720p30, 7 Mbit/s, tracks not interleaved")

    def big(self, size_bytes: int) -> Film:
        """Noise of this size in valid packets; needs no encoder, so only the disk limits it."""
        seed = self.tiny()
        path = FILMS / f"big-{size_bytes // 10**9}.mp4"
        seconds = size_bytes / (BIG_PACKET_BYTES * FPS)
        self._make(path, lambda part: _write_big(seed.path, part, size_bytes))
        return Film(path, seconds, f"{size_bytes / 1e9:.0f} GB of noise")

    def _encode(self, name: str, seconds: int, rate: str, note: str) -> Film:
        path = FILMS / f"{name}-{seconds}.mp4"
        picture = f"testsrc2=s=1280x720:r={FPS}:d={seconds},noise=alls=6:allf=t"
        video = f"-c:v libx264 -preset ultrafast -bf 2 -g {GOP} -keyint_min {GOP} -sc_threshold 0"
        limits = f"-b:v {rate} -maxrate {rate} -bufsize {rate} -pix_fmt yuv420p"
        self._make(
            path,
            lambda part: self._run(
                *("-f", "lavfi", "-i", picture),
                *("-f", "lavfi", "-i", f"anoisesrc=r=48000:a=0.1:d={seconds}"),
                *f"{video} {limits} -c:a aac -b:a 64k -shortest".split(),
                part,
            ),
        )
        return Film(path, seconds, note)

    def _run(self, *arguments: str | Path) -> None:
        command = [self._ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
        subprocess.run([*command, *arguments], check=True)

    @staticmethod
    def _make(path: Path, write: Callable[[Path], None]) -> None:
        if path.exists():
            return
        print(f"── making {path.name}", file=sys.stderr, flush=True)
        part = path.with_name(f".part-{path.name}")
        write(part)
        part.replace(path)


def _write_separately(source: Path, path: Path) -> None:
    # With this option the muxer gives up waiting for the other track at once.
    options = {"max_interleave_delta": "1"}
    with av.open(str(source)) as film, av.open(str(path), "w", options=options) as out:
        packets = [packet for packet in film.demux() if packet.dts is not None]
        targets = {stream.index: out.add_stream_from_template(stream) for stream in film.streams}
        for packet in sorted(packets, key=lambda p: p.stream.type != "video"):
            packet.stream = targets[packet.stream.index]
            out.mux(packet)


BIG_PACKET_BYTES = 250_000
_POOL_BYTES = 8 * 2**20


def _write_big(seed: Path, path: Path, size_bytes: int) -> None:
    """Real pictures, each with a filler NAL unit behind it; decoders skip those."""
    pool = random.Random(1).randbytes(_POOL_BYTES).translate(bytes([1, *range(1, 256)]))
    with av.open(str(seed)) as film, av.open(str(path), "w") as out:
        track = film.streams.video[0]
        target = out.add_stream_from_template(track)
        base = track.time_base or Fraction(1, 15_360)
        pictures = [
            (bytes(p), p.pts or 0, p.dts or 0, p.is_keyframe) for p in film.demux(track) if p.size
        ]
        turn = round(Fraction(len(pictures), FPS) / base)
        for number in range(size_bytes // BIG_PACKET_BYTES):
            lap, index = divmod(number, len(pictures))
            data, pts, dts, key = pictures[index]
            packet = av.Packet(data + _filler(pool, number, BIG_PACKET_BYTES - len(data)))
            packet.pts, packet.dts = pts + lap * turn, dts + lap * turn
            packet.time_base, packet.stream, packet.is_keyframe = base, target, key
            out.mux(packet)


def _filler(pool: bytes, number: int, length: int) -> bytes:
    """A NAL unit of type 12, unique by its number, `length` bytes with its length field."""
    offset = number * 4099 % (len(pool) - length)
    mark = f"{number:09d}".encode()
    body = b"\x0c" + mark + pool[offset : offset + length - 6 - len(mark)] + b"\x80"
    return len(body).to_bytes(4, "big") + body
