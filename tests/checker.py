"""Judges chunks from outside: the film, the files, the messages, and nothing of the program's.

It demuxes and decodes film and chunks with libav alone and says in words what is wrong:
packets lost, doubled, out of order or moved in time; chunks that do not start on a key
frame or do not decode to the film's own pictures; sound that is there but not heard; times,
boundaries, names and hashes in the messages that are not true; tags that got lost.

    python tests/checker.py FILM OUTDIR MESSAGES.jsonl [--chunk-duration 60]

Film time zero is the earliest of the streams' start times, except that audio priming (up
to 0.2 s before zero) does not move it when the pictures start by then.
"""

import argparse
import hashlib
import json
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from demuxed import Packet, Track, film_start, read_film, reference_of, top_boxes

TOLERANCE = Fraction(1, 1000)
"""Largest move in time of a packet, seconds."""
EXACT = Fraction(1, 1_000_000)
"""What a float in JSON and a rounded tick may differ by, seconds."""
ASTRAY = Fraction(1, 20)
"""Sound that starts this much outside of its chunk belongs to another one, seconds."""
OUTLAST = Fraction(1)
"""Sound this much longer than the pictures must be in the reported end, seconds."""

FIELDS = {
    "process_id": (int, str),
    "chunk_id": int,
    "chunk_hash": str,
    "cloud_stream_path": str,
    "cache_path": str,
    "start_time": (int, float),
    "end_time": (int, float),
    "duration": (int, float),
    "time_offset": (int, float),
    "inference_config": dict,
    "inference_modality": str,
}


@dataclass
class Report:
    """What was found.

    Attributes:
        violations: sentences, one for each broken promise; none when all is well.
        packets: of the film's sound and pictures.
        chunks: files looked at.
        leading: pictures of open GOPs, shown before the key frame their chunk starts
            with; they can't be decoded alone.
        undecoded: how many of those really did not come out as in the film.
    """

    violations: list[str] = field(default_factory=list)
    packets: int = 0
    chunks: int = 0
    leading: int = 0
    undecoded: int = 0

    def say(self, sentence: str) -> None:
        self.violations.append(sentence)

    def __bool__(self) -> bool:
        return not self.violations

    def __str__(self) -> str:
        facts = (
            f"{self.packets} packets, {self.chunks} chunks, {self.leading} leading pictures "
            f"({self.undecoded} not decodable alone)"
        )
        return "\n".join([facts, *(f"- {sentence}" for sentence in self.violations)])


def check_copy(
    film: Path,
    messages: Sequence[dict[str, Any]],
    *,
    chunk_duration: float | None = None,
    directory: Path | None = None,
) -> Report:
    """Check the stream copy of `film` that `messages` announce.

    Args:
        film: the source.
        messages: as published, in order.
        chunk_duration: what was asked for; without it boundaries are not judged.
        directory: where the chunks lie now, if not where the messages say.
    """
    report = Report()
    tracks = read_film(film)
    report.packets = sum(len(track.packets) for track in tracks)
    if not messages:
        report.say("there is not a single message")
        return report
    zero = film_start(tracks)
    chunks = []
    for number, message in enumerate(messages, 1):
        path = _check_message(report, number, message, directory)
        if path is None:
            return report
        chunks.append(_assign(read_film(path), tracks, chunks))
    report.chunks = len(chunks)
    _check_packets(report, tracks, chunks)
    _check_times(report, tracks, chunks, messages, zero)
    _check_starts(report, tracks, chunks, messages, zero)
    _check_decoding(report, tracks, chunks)
    _check_sound(report, tracks, chunks)
    _check_places(report, tracks, chunks, messages, zero)
    _check_tags(report, tracks, chunks)
    _check_tiling(report, tracks, messages, zero)
    if chunk_duration is not None:
        _check_boundaries(report, tracks, messages, zero, Fraction(str(chunk_duration)))
    return report


Chunk = dict[int, Track]
"""A chunk's tracks by the number of the film's track that they continue."""


def _assign(found: list[Track], tracks: list[Track], before: list[Chunk]) -> Chunk:
    """A film's track without a packet in this chunk is not in it: find out which is which."""
    kinds = [track.kind for track in tracks]
    chunk: Chunk = {}
    for kind in ("video", "audio"):
        wanted = [number for number, name in enumerate(kinds) if name == kind]
        there = [track for track in found if track.kind == kind]
        if len(there) == len(wanted):
            chunk |= dict(zip(wanted, there, strict=True))
            continue
        for track in there:
            free = [number for number in wanted if number not in chunk]
            if free:
                chunk[_best(track, free, tracks, before)] = track
    return chunk


def _best(track: Track, free: list[int], tracks: list[Track], before: list[Chunk]) -> int:
    digest = track.packets[0].digest if track.packets else b""
    for number in free:
        at = sum(len(chunk[number].packets) for chunk in before if number in chunk)
        packets = tracks[number].packets
        if at < len(packets) and packets[at].digest == digest:
            return number
    return next((n for n in free if tracks[n].codec == track.codec), free[0])


# Judging


def _name(number: int, tracks: list[Track]) -> str:
    return f"{tracks[number].kind} stream {number}"


def _check_message(
    report: Report, number: int, message: dict[str, Any], directory: Path | None
) -> Path | None:
    """Fields and names; the chunk's file, unless there is none to go on with."""
    where = f"message {number}"
    for name, kind in FIELDS.items():
        if not isinstance(message.get(name), kind):
            report.say(f"{where}: {name} is {message.get(name)!r}")
            return None
    if message["chunk_id"] != number:
        report.say(f"{where}: chunk_id is {message['chunk_id']}")
    stored, cached = (
        Path(unquote(urlsplit(message[name]).path)) for name in ("cloud_stream_path", "cache_path")
    )
    if not stored.name == cached.name == f"chunk_{number:03d}.mp4":
        report.say(f"{where}: names are {stored.name} and {cached.name}")
    if f"temp/{message['process_id']}" not in str(cached.parent):
        report.say(f"{where}: cache path is {cached}")
    path = directory / stored.name if directory else stored
    if not path.is_file():
        report.say(f"{where}: {path} is not there")
        return None
    if not directory and (not cached.is_file() or cached.read_bytes() != path.read_bytes()):
        report.say(f"{where}: the cached copy is not the same file")
    _check_file(report, number, path, message["chunk_hash"])
    return path


def _check_file(report: Report, number: int, path: Path, told: str) -> None:
    with path.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != told:
            report.say(f"message {number}: chunk_hash is not the file's")
    boxes = top_boxes(path)
    if boxes[:1] != ["ftyp"] or "mdat" not in boxes or "moov" not in boxes:
        report.say(f"chunk {number}: its boxes are {boxes}")
    elif boxes.index("moov") > boxes.index("mdat"):
        report.say(f"chunk {number}: moov comes after mdat")


def _check_packets(report: Report, tracks: list[Track], chunks: list[Chunk]) -> None:
    """Each of the film's packets once, in order."""
    for number, track in enumerate(tracks):
        name = _name(number, tracks)
        if track.is_pcm:
            _check_pcm(report, name, track, [c[number] for c in chunks if number in c])
            continue
        wanted = [packet.digest for packet in track.packets]
        got = [p.digest for chunk in chunks if number in chunk for p in chunk[number].packets]
        if got == wanted:
            continue
        lost, more = Counter(wanted) - Counter(got), Counter(got) - Counter(wanted)
        if lost:
            first = next(p for p in track.packets if p.digest in lost)
            report.say(
                f"{name}: {lost.total()} of {len(wanted)} packets lost, "
                f"the first at {_seconds(first.pts)}"
            )
        known = set(wanted)
        doubled = sum(count for digest, count in more.items() if digest in known)
        foreign = more.total() - doubled
        if doubled:
            report.say(f"{name}: {doubled} packets doubled")
        if foreign:
            report.say(f"{name}: {foreign} packets are none of the film's")
        if not lost and not more:
            at = next(n for n, (a, b) in enumerate(zip(got, wanted, strict=True)) if a != b)
            report.say(f"{name}: packets out of order from number {at} on")


def _check_pcm(report: Report, name: str, track: Track, parts: list[Track]) -> None:
    """Containers slice PCM as they like: its bytes count."""
    wanted = b"".join(packet.data for packet in track.packets)
    got = b"".join(packet.data for part in parts for packet in part.packets)
    if parts and parts[0].codec != track.codec and len(got) == len(wanted):
        got = _swapped(got, track.block // max(track.rate and 1, 1), parts[0])
    if got != wanted:
        shift = len(got) - len(wanted)
        report.say(f"{name}: PCM bytes are not the film's ({len(wanted)} in, {shift:+d} out)")


def _swapped(data: bytes, _block: int, part: Track) -> bytes:
    digits = "".join(filter(str.isdigit, part.codec.split("_")[1]))
    width = int(digits or 8) // 8
    out = bytearray(len(data))
    for place in range(width):
        out[place::width] = data[width - 1 - place :: width]
    return bytes(out)


def _pairs(track: Track, number: int, chunks: list[Chunk]) -> Iterator[tuple[int, Packet, Packet]]:
    """(chunk's position, film's packet, chunk's packet) of those that belong together."""
    waiting: dict[bytes, list[Packet]] = {}
    for packet in reversed(track.packets):
        waiting.setdefault(packet.digest, []).append(packet)
    for at, chunk in enumerate(chunks):
        for packet in chunk[number].packets if number in chunk else ():
            if sources := waiting.get(packet.digest):
                yield at, sources.pop() if len(sources) > 1 else sources[0], packet


def _pcm_pairs(
    track: Track, number: int, chunks: list[Chunk]
) -> Iterator[tuple[int, Packet, Packet]]:
    """As `_pairs`: each PCM packet of a chunk with a film's packet made for its first byte."""
    places, total = [], 0
    for packet in track.packets:
        places.append(total)
        total += len(packet.data)
    per_second, at = track.rate * track.block, 0
    for position, chunk in enumerate(chunks):
        for packet in chunk[number].packets if number in chunk else ():
            if at < total:
                index = max(bisect_left(places, at + 1) - 1, 0)
                source = track.packets[index]
                shift = Fraction(at - places[index], per_second)
                pts = None if source.pts is None else source.pts + shift
                yield position, Packet(b"", pts, Fraction(0), True, source.hidden), packet
            at += len(packet.data)


def _all_pairs(track: Track, number: int, chunks: list[Chunk]) -> Iterable[Any]:
    return (_pcm_pairs if track.is_pcm else _pairs)(track, number, chunks)


def _check_times(
    report: Report,
    tracks: list[Track],
    chunks: list[Chunk],
    messages: Sequence[dict[str, Any]],
    zero: Fraction,
) -> None:
    """Each packet where it was, in film time."""
    offsets = [Fraction(message["time_offset"]) for message in messages]
    for number, track in enumerate(tracks):
        moved: dict[int, list[Fraction]] = {}
        for at, source, packet in _all_pairs(track, number, chunks):
            if source.pts is None or packet.pts is None:
                continue
            if packet.hidden:  # never heard; libav says its time otherwise behind a delay
                continue
            error = packet.pts + offsets[at] - (source.pts - zero)
            if abs(error) > TOLERANCE:
                moved.setdefault(at, []).append(error)
        for at, errors in list(moved.items())[:3]:
            worst = max(errors, key=abs)
            report.say(
                f"chunk {at + 1}: {len(errors)} packets of {_name(number, tracks)} are moved "
                f"by up to {float(worst) * 1000:+.1f} ms"
            )
        if len(moved) > 3:
            report.say(f"{_name(number, tracks)}: packets moved in {len(moved)} chunks")


def _check_starts(
    report: Report,
    tracks: list[Track],
    chunks: list[Chunk],
    messages: Sequence[dict[str, Any]],
    zero: Fraction,
) -> None:
    """A chunk begins with a key frame, at its own time zero, and says truly when that is."""
    reference = tracks.index(reference_of(tracks))
    pairs: dict[int, tuple[Packet, Packet]] = {}
    for at, source, packet in _all_pairs(tracks[reference], reference, chunks):
        pairs.setdefault(at, (source, packet))
    for at, chunk in enumerate(chunks):
        if reference not in chunk or at not in pairs:
            report.say(f"chunk {at + 1}: has nothing of {_name(reference, tracks)}")
            continue
        source, packet = pairs[at]
        if not chunk[reference].packets[0].key or not source.key:
            report.say(f"chunk {at + 1}: does not start with a key frame")
        if source.pts is None or packet.pts is None or (at == 0 and packet.hidden):
            continue
        start = Fraction(messages[at]["start_time"])
        true = source.pts - zero
        if at == 0:
            if start != 0:
                report.say(f"chunk 1: start_time is {float(start)}, not 0")
            continue
        if abs(packet.pts) > TOLERANCE:
            report.say(
                f"chunk {at + 1}: its first key frame is at {float(packet.pts) * 1000:.1f} ms, "
                "not at 0"
            )
        if abs(start - true) > EXACT:
            report.say(
                f"chunk {at + 1}: start_time is {float(start):.6f}, its first key frame is at "
                f"{float(true):.6f}"
            )


def _check_decoding(report: Report, tracks: list[Track], chunks: list[Chunk]) -> None:
    """Alone, each chunk shows the film's own pictures."""
    for number, track in enumerate(tracks):
        if track.kind != "video":
            continue
        leading: Counter[int] = Counter()
        for (at, kind), count in _pictures(track, number, chunks).items():
            if kind.startswith("leading"):
                report.leading += count
                leading[at] += count
                report.undecoded += count if kind.endswith("undecoded") else 0
            elif kind:
                report.say(f"chunk {at + 1}: {count} pictures of {_name(number, tracks)} {kind}")
        for at, chunk in enumerate(chunks):
            errors = chunk[number].errors if number in chunk else 0
            if errors > leading[at] + track.errors:
                report.say(f"chunk {at + 1}: {errors} decoder errors")


def _pictures(track: Track, number: int, chunks: list[Chunk]) -> Counter[tuple[int, str]]:
    """How many pictures of each chunk are of each kind; "" is as it should be."""
    kinds: Counter[tuple[int, str]] = Counter()
    keys: dict[int, Fraction] = {}
    for at, source, packet in _pairs(track, number, chunks):
        if packet.pts is None or source.pts is None:
            continue
        shown = chunks[at][number].pictures.get(packet.pts)
        wanted = track.pictures.get(source.pts)
        if packet.pts < keys.setdefault(at, packet.pts):
            kind = "leading" if shown == wanted else "leading, undecoded"
        elif shown == wanted:
            kind = ""
        elif shown is None:
            kind = "are not shown"
        elif wanted is not None:
            kind = "do not decode as in the film"
        else:
            kind = "are shown that the film hides" if source.hidden else ""
        kinds[at, kind] += 1
    return kinds


def _check_sound(report: Report, tracks: list[Track], chunks: list[Chunk]) -> None:
    """As much is heard of each chunk as of the same packets in the film."""
    for number, track in enumerate(tracks):
        if track.kind != "audio":
            continue
        firsts: dict[int, Fraction] = {}
        for at, source, _ in _all_pairs(track, number, chunks):
            if source.pts is not None:
                firsts.setdefault(at, source.pts)
        order = sorted(firsts)
        times = [time for time, _ in track.sounds]
        for position, at in enumerate(order):
            start = 0 if position == 0 else bisect_left(times, firsts[at] - TOLERANCE / 2)
            if position + 1 == len(order):
                stop = len(times)
            else:
                stop = bisect_left(times, firsts[order[position + 1]] - TOLERANCE / 2)
            wanted = sum((length for _, length in track.sounds[start:stop]), Fraction(0))
            heard = sum((length for _, length in chunks[at][number].sounds), Fraction(0))
            more = heard - wanted
            if position + 1 == len(order) and 0 < more <= max(
                packet.duration for packet in track.packets
            ):
                continue  # the film hides its encoder's padding at the end; no harm
            if abs(more) > TOLERANCE:
                what = "muted" if more < 0 else "too much heard"
                report.say(
                    f"chunk {at + 1}: {float(abs(more)) * 1000:.1f} ms of "
                    f"{_name(number, tracks)} {what}"
                )


def _check_places(
    report: Report,
    tracks: list[Track],
    chunks: list[Chunk],
    messages: Sequence[dict[str, Any]],
    zero: Fraction,
) -> None:
    """Sound lies where the pictures of its time are."""
    for number, track in enumerate(tracks):
        if track.kind != "audio":
            continue
        astray: Counter[int] = Counter()
        for at, source, _ in _all_pairs(track, number, chunks):
            if source.pts is None:
                continue
            time, message = source.pts - zero, messages[at]
            astray[at] += (at > 0 and time < Fraction(message["start_time"]) - ASTRAY) or (
                at + 1 < len(chunks) and time > Fraction(message["end_time"]) + ASTRAY
            )
        for at, count in astray.items():
            if count:
                report.say(
                    f"chunk {at + 1}: {count} packets of {_name(number, tracks)} "
                    "belong to another chunk"
                )


def _check_tags(report: Report, tracks: list[Track], chunks: list[Chunk]) -> None:
    for at, chunk in enumerate(chunks):
        for number, track in chunk.items():
            source = tracks[number]
            if source.is_pcm != track.is_pcm or (not source.is_pcm and source.codec != track.codec):
                report.say(f"chunk {at + 1}: {source.codec} has become {track.codec}")
            for tag, value in source.tags.items():
                lost = track.tags.get(tag) != value
                if tag in {"annex b", "size"} or (tag == "hvc1" and value == "False") or not lost:
                    continue
                if tag == "colours" and value == "2/2/2":
                    continue
                if tag == "range" and value in {"0", "ColorRange.UNSPECIFIED"}:
                    continue
                report.say(
                    f"chunk {at + 1}: {tag} of {_name(number, tracks)} is "
                    f"{track.tags.get(tag)}, not {value}"
                )


def _check_tiling(
    report: Report, tracks: list[Track], messages: Sequence[dict[str, Any]], zero: Fraction
) -> None:
    """Times in messages meet exactly and end where the film does."""
    for before, after in pairwise(messages):
        if before["end_time"] != after["start_time"]:
            report.say(
                f"chunk {before['chunk_id']} ends at {before['end_time']}, "
                f"the next starts at {after['start_time']}"
            )
    for message in messages:
        length = message["end_time"] - message["start_time"]
        if abs(message["duration"] - length) > EXACT:
            report.say(f"chunk {message['chunk_id']}: duration is {message['duration']}")
        if message["time_offset"] != message["start_time"]:
            report.say(f"chunk {message['chunk_id']}: time_offset is {message['time_offset']}")
    told = Fraction(messages[-1]["end_time"])
    ends = _film_ends(tracks, zero)
    slack = max(TOLERANCE, _last_gap(reference_of(tracks)))
    if all(abs(told - end) > slack for end in ends):
        report.say(
            f"the film is said to end at {float(told):.3f}; it ends at "
            + " or ".join(f"{float(end):.3f}" for end in ends)
        )


def _film_ends(tracks: list[Track], zero: Fraction) -> list[Fraction]:
    """Its pictures' end, and its sound's where that is no more than a little longer."""
    reference = reference_of(tracks).end - zero
    longest = max(track.end for track in tracks) - zero
    return [longest] if longest - reference > OUTLAST else [reference, longest]


def _last_gap(track: Track) -> Fraction:
    """What the last packet's length may be wrong by: nothing, where the film says it."""
    if track.packets and track.packets[-1].duration:
        return Fraction(0)
    times = sorted(p.pts for p in track.packets if p.pts is not None)[-2:]
    return times[1] - times[0] if len(times) == 2 else Fraction(1)


def _check_boundaries(
    report: Report,
    tracks: list[Track],
    messages: Sequence[dict[str, Any]],
    zero: Fraction,
    wanted: Fraction,
) -> None:
    """Each boundary is the first key frame at or after a k·D, and none is left out.

    The film's first key frame may be left out: a chunk before it would have no picture.
    """
    reference = reference_of(tracks)
    keys = sorted(p.pts - zero for p in reference.packets if p.key and p.pts is not None)
    ends = _film_ends(tracks, zero)
    near, shortest = TOLERANCE, wanted / 2
    cuts = [Fraction(message["start_time"]) for message in messages]
    stops = [*cuts[1:], Fraction(messages[-1]["end_time"])]
    for at, (start, stop) in enumerate(zip(cuts, stops, strict=True), 1):
        if stop - start < shortest - near and len(cuts) > 1:
            report.say(f"chunk {at}: lasts only {float(stop - start):.3f} s")
        nominal = (start + near) // wanted * wanted
        first = next((key for key in keys if key >= nominal - near), None)
        if at > 1 and first is not None and abs(first - start) > near:
            report.say(
                f"chunk {at}: starts at {float(start):.3f}; the first key frame at or after "
                f"{float(nominal):.3f} is at {float(first):.3f}"
            )
        is_last = at == len(cuts)
        step = (start + near) // wanted + 1
        while step * wanted <= stop and step * wanted <= keys[-1]:
            nominal = step * wanted
            key = keys[bisect_left(keys, nominal - near)] if keys[-1] >= nominal - near else None
            step += 1
            if key is None or key >= stop - near or nominal - start < shortest + near:
                continue
            if key == keys[0] or key - start < shortest + near or min(ends) - key < shortest + near:
                continue
            report.say(
                f"chunk {at}: {'the last ' if is_last else ''}runs over the key frame at "
                f"{float(key):.3f}, which is the first one after {float(nominal):.3f}"
            )
            break


def _seconds(time: Fraction | None) -> str:
    return "an unknown time" if time is None else f"{float(time):.3f} s"


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("messages", type=Path)
    parser.add_argument("--chunk-duration", type=float)
    values = parser.parse_args()
    messages = [json.loads(line) for line in values.messages.read_text().splitlines() if line]
    report = check_copy(
        values.film, messages, chunk_duration=values.chunk_duration, directory=values.outdir
    )
    print(report)
    sys.exit(not report)


if __name__ == "__main__":
    main()
