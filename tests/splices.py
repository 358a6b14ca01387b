"""Judges chunks that were cut between key frames: by the film's own pictures and packets.

As `checker`, it knows nothing of the program. The film and each chunk alone are decoded by
libav; of each picture its time, the number that it shows and its luma are kept.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import av
from demuxed import Track, film_start, read_film, reference_of

MOVED = Fraction(1, 1000)
"""Largest move in time of a packet or picture, seconds."""
TICK = Fraction(1, 100_000)
LIKE_DB = 30
"""PSNR of a picture that was encoded anew, at least."""


@dataclass
class Shown:
    """Decoded pictures of a file in the order they are shown."""

    times: list[Fraction] = field(default_factory=list)
    lumas: list[bytes] = field(default_factory=list)
    errors: int = 0


def show(path: Path) -> Shown:
    """Decode the first track of pictures of a file, from its start."""
    shown = Shown()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                shown.errors += 1
                continue
            for frame in frames:
                shown.errors += frame.is_corrupt
                shown.times.append(frame.pts * frame.time_base)
                shown.lumas.append(_luma(frame))
    return shown


def _luma(frame: Any) -> bytes:
    plane = frame.planes[0]
    view, stride = memoryview(plane), plane.line_size
    return b"".join(view[row * stride :][: plane.width] for row in range(plane.height))


def likeness(one: bytes, other: bytes) -> float:
    """PSNR in dB; infinite for the same picture. Of every third pixel: that is enough."""
    if one == other:
        return math.inf
    errors = sum((a - b) ** 2 for a, b in zip(one[::3], other[::3], strict=True))
    return 10 * math.log10(255**2 * len(one[::3]) / errors) if errors else math.inf


@dataclass
class Spliced:
    """What was found.

    Attributes:
        violations: sentences; none when all is well.
        packets: in all chunks.
        fresh: of those, pictures that are not the film's own packets.
        repeated: packets that the next chunk has as well.
    """

    violations: list[str] = field(default_factory=list)
    packets: int = 0
    fresh: int = 0
    repeated: int = 0

    @property
    def own_part(self) -> float:
        """Part of the packets that are the film's, bit for bit."""
        return 1 - self.fresh / self.packets


def check_exact(
    film: Path, messages: Sequence[dict[str, Any]], duration: float, overlap: float = 0
) -> Spliced:
    """Check the exact cut of `film` that `messages` announce."""
    found, own = Spliced(), show(film)
    tracks = read_film(film)
    zero = film_start(tracks)
    reference = reference_of(tracks)
    times = [time - zero for time in own.times]
    frame = max(b - a for a, b in pairwise(times))
    paths = [Path(unquote(urlsplit(message["cloud_stream_path"]).path)) for message in messages]
    chunks = [read_film(path) for path in paths]
    known = {packet.digest for packet in reference.packets}
    number = 0
    for at, (path, message, chunk) in enumerate(zip(paths, messages, chunks, strict=True)):
        where, start = f"chunk {at + 1}", Fraction(message["start_time"])
        late = start - at * Fraction(duration)
        if not -MOVED / 2 <= late <= frame:
            found.violations.append(f"{where}: starts {float(late):+.4f} s from where it should")
        if at and messages[at - 1]["end_time"] != message["start_time"] and not overlap:
            found.violations.append(f"{where}: the one before does not end there")
        pictures = reference_of(chunk)
        if not pictures.packets[0].key:
            found.violations.append(f"{where}: does not start with a key frame")
        fresh = {p.pts for p in pictures.packets if p.digest not in known}
        shown = show(path)
        if shown.errors:
            found.violations.append(f"{where}: {shown.errors} decoder errors")
        first = next((n for n, time in enumerate(times) if time >= start - MOVED), len(times))
        if overlap:
            common = shown.times[: number - first]
            found.fresh -= len(fresh.intersection(common))
        elif first != number:
            found.violations.append(f"{where}: {first - number} pictures between it and the last")
        number = _compare(found, where, (shown, start, fresh), (own, times, first))
        found.packets += sum(len(track.packets) for track in chunk)
        found.fresh += len(fresh)
        end = Fraction(message["end_time"])
        if number < len(times) and abs(times[number] - end) > MOVED:
            found.violations.append(f"{where}: goes on to {float(times[number])}, not {float(end)}")
    if number != len(times):
        found.violations.append(f"{len(times) - number} pictures are missing at the end")
    found.repeated = found.packets - sum(len(track.packets) for track in tracks)
    _check_sound(found, tracks, chunks, messages, zero)
    return found


def _compare(
    found: Spliced,
    where: str,
    chunk: tuple[Shown, Fraction, set[Fraction]],
    film: tuple[Shown, list[Fraction], int],
) -> int:
    """A chunk's pictures with the film's from `first` on; the number of the first one after."""
    (shown, start, fresh), (own, times, first) = chunk, film
    wrong: Counter[str] = Counter()
    for at, (time, luma) in enumerate(zip(shown.times, shown.lumas, strict=True), first):
        if at >= len(times):
            wrong["are more than the film has"] += 1
            continue
        if abs(time + start - times[at]) > MOVED:
            wrong["are moved in time"] += 1
        like = likeness(luma, own.lumas[at])
        if time in fresh and like < LIKE_DB:
            wrong[f"are unlike the film's ({like:.0f} dB)"] += 1
        elif time not in fresh and luma != own.lumas[at]:
            wrong[f"were copied and do not decode as in the film ({like:.0f} dB)"] += 1
    found.violations += [f"{where}: {count} pictures {what}" for what, count in wrong.items()]
    return first + len(shown.times)


def _check_sound(
    found: Spliced,
    tracks: list[Track],
    chunks: list[list[Track]],
    messages: Sequence[dict[str, Any]],
    zero: Fraction,
) -> None:
    """Each chunk has the sound between its start and its end, in order and in its place."""
    last = len(messages) - 1
    for number, track in enumerate(tracks):
        if track.kind != "audio" or track.is_pcm:
            continue
        for at, (chunk, message) in enumerate(zip(chunks, messages, strict=True)):
            start, end = Fraction(message["start_time"]), Fraction(message["end_time"])
            wanted = [
                packet
                for packet in track.packets
                if (at == 0 or packet.pts - zero >= start - TICK)
                and (at == last or packet.pts - zero < end - TICK)
            ]
            got = chunk[number].packets if len(chunk) == len(tracks) else []
            if [p.digest for p in wanted] != [p.digest for p in got]:
                found.violations.append(
                    f"chunk {at + 1}: {len(got)} packets of sound, "
                    f"not just the film's {len(wanted)}"
                )
                continue
            pairs = zip(wanted, got, strict=True)
            moved = sum(
                abs(b.pts + start - (a.pts - zero)) > MOVED for a, b in pairs if not b.hidden
            )
            if moved:
                found.violations.append(f"chunk {at + 1}: {moved} packets of sound are moved")
