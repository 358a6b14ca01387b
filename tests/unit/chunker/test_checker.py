"""The outside checker sees each kind of wrong chunk; right ones, made by hand, it lets pass."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import checker
import films
import pytest

CUTS = [Fraction(0), Fraction(2), Fraction(4), Fraction(7)]
VIDEO, AUDIO = 0, 1


@dataclass
class Wrong:
    """How chunks are made wrong.

    Attributes:
        packets: gets (stream, [packets of chunk 2]) and changes the list.
        shift: seconds that chunk 2's packets of a stream are late by.
        cuts: other boundaries.
        lag: seconds that the sound is cut later than the pictures.
        duration: what was asked for.
        message: changes the messages.
        options: of the muxer.
        language: of the sound.
    """

    packets: Callable[[int, list], None] = lambda _stream, _packets: None
    shift: dict[int, Fraction] = field(default_factory=dict)
    cuts: list[Fraction] = field(default_factory=lambda: CUTS)
    lag: Fraction = Fraction(0)
    duration: float = 2
    message: Callable[[list[dict]], None] = lambda _messages: None
    options: dict[str, str] = field(default_factory=lambda: {"movflags": "faststart"})
    language: str = "fin"


def cut_by_hand(film: Path, directory: Path, wrong: Wrong) -> list[dict]:
    """Chunks of `film` at `wrong.cuts`, by presentation time, and their messages."""
    messages = []
    for place in ("out", "cache/temp/101"):
        (directory / place).mkdir(parents=True)
    for number in range(1, len(wrong.cuts)):
        start, end = wrong.cuts[number - 1 : number + 1]
        path = directory / f"out/chunk_{number:03d}.mp4"
        _write_chunk(film, path, number, (start, end), wrong)
        cached = directory / f"cache/temp/101/{path.name}"
        cached.write_bytes(path.read_bytes())
        messages.append(
            {
                "process_id": 101,
                "chunk_id": number,
                "chunk_hash": hashlib.sha256(path.read_bytes()).hexdigest(),
                "cloud_stream_path": path.as_uri(),
                "cache_path": cached.as_uri(),
                "start_time": float(start),
                "end_time": float(end),
                "duration": float(end - start),
                "time_offset": float(start),
                "inference_config": {},
                "inference_modality": "batch",
            }
        )
    wrong.message(messages)
    return messages


def _write_chunk(
    film: Path, path: Path, number: int, span: tuple[Fraction, Fraction], wrong: Wrong
) -> None:
    start, end = span
    first, last = number == 1, number == len(wrong.cuts) - 1
    with av.open(str(film)) as source, av.open(str(path), "w", options=wrong.options) as out:
        streams = [out.add_stream_from_template(stream) for stream in source.streams]
        streams[AUDIO].metadata["language"] = wrong.language if number == 2 else "fin"
        chosen: list[list[Any]] = [[], []]
        for packet in source.demux():
            if not packet.size:
                continue
            time = packet.pts * packet.time_base - wrong.lag * packet.stream_index
            if (first or time >= start) and (last or time < end):
                chosen[packet.stream_index].append(packet)
        for stream, packets in enumerate(chosen):
            if number == 2:
                wrong.packets(stream, packets)
            late = wrong.shift.get(stream, Fraction(0)) if number == 2 else Fraction(0)
            for packet in packets:
                shift = round((late - start) / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[stream]
        for packet in sorted(
            [*chosen[VIDEO], *chosen[AUDIO]], key=lambda packet: packet.dts * packet.time_base
        ):
            out.mux(packet)


def drop(stream: int, at: int) -> Callable[[int, list], None]:
    def change(number: int, packets: list) -> None:
        if number == stream:
            del packets[at]

    return change


def double(number: int, packets: list) -> None:
    """The last sound packet once more, when it is over."""
    if number == AUDIO:
        twin = av.Packet(bytes(packets[-1]))
        twin.time_base = packets[-1].time_base
        twin.pts = twin.dts = packets[-1].pts + 1024
        twin.duration = 1024
        packets.append(twin)


def swap(number: int, packets: list) -> None:
    """Two sound packets in each other's place."""
    if number == AUDIO:
        one, other = packets[10], packets[11]
        one.pts, other.pts = other.pts, one.pts
        one.dts, other.dts = other.dts, one.dts
        packets[10], packets[11] = other, one


def damage(number: int, packets: list) -> None:
    if number == VIDEO:
        content = bytearray(bytes(packets[5]))
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        bad = av.Packet(bytes(content))
        bad.time_base, bad.pts, bad.dts = packets[5].time_base, packets[5].pts, packets[5].dts
        bad.duration = packets[5].duration
        packets[5] = bad


def tell(number: int, **values: Any) -> Callable[[list[dict]], None]:
    return lambda messages: messages[number - 1].update(values)


CASES = [
    pytest.param(Wrong(packets=drop(AUDIO, 30)), "1 of 330 packets lost", id="a sound packet lost"),
    pytest.param(Wrong(packets=drop(VIDEO, -1)), "of 210 packets lost", id="a picture lost"),
    pytest.param(Wrong(packets=double), "1 packets doubled", id="a packet doubled"),
    pytest.param(Wrong(packets=swap), "packets out of order", id="two packets swapped"),
    pytest.param(Wrong(packets=damage), "are none of the film's", id="a payload changed"),
    pytest.param(Wrong(packets=damage), "do not decode as in the film", id="a picture broken"),
    pytest.param(Wrong(packets=drop(VIDEO, 0)), "does not start with a key frame", id="no key"),
    pytest.param(
        Wrong(shift={AUDIO: Fraction(5, 1000)}), "audio stream 1 are moved by", id="sound 5 ms late"
    ),
    pytest.param(
        Wrong(shift={VIDEO: Fraction(1, 15), AUDIO: Fraction(1, 15)}),
        "ms, not at 0",
        id="a chunk that does not start at zero",
    ),
    pytest.param(
        Wrong(shift={AUDIO: Fraction(-100, 1000)}), "muted", id="sound hidden by an edit list"
    ),
    pytest.param(Wrong(options={}), "moov comes after mdat", id="index last"),
    pytest.param(Wrong(language="swe"), "language of audio stream 1 is swe, not fin", id="tongue"),
    pytest.param(
        Wrong(cuts=[CUTS[0], Fraction(4), CUTS[-1]]),
        "chunk 1: runs over the key frame at 2.000",
        id="a boundary left out",
    ),
    pytest.param(
        Wrong(cuts=[*CUTS[:3], Fraction(6), Fraction(13, 2), CUTS[-1]]),
        "lasts only 0.500 s",
        id="a runt",
    ),
    pytest.param(
        Wrong(duration=3),
        "chunk 2: starts at 2.000; the first key frame at or after 0.000 is at 0.000",
        id="a boundary before its time",
    ),
    pytest.param(
        Wrong(lag=Fraction(1, 10)), "belong to another chunk", id="sound cut later than pictures"
    ),
    pytest.param(
        Wrong(message=tell(2, end_time=4.1, duration=2.1)),
        "chunk 2 ends at 4.1, the next starts at 4.0",
        id="times that do not meet",
    ),
    pytest.param(
        Wrong(message=tell(2, start_time=2.001, time_offset=2.001, duration=1.999)),
        "its first key frame is at 2.000000",
        id="a start that is not true",
    ),
    pytest.param(
        Wrong(message=tell(3, end_time=7.5, duration=3.5)),
        "the film is said to end at 7.500",
        id="an end that is not true",
    ),
    pytest.param(Wrong(message=tell(2, duration=2.5)), "duration is 2.5", id="a wrong duration"),
    pytest.param(Wrong(message=tell(2, time_offset=0.0)), "time_offset is 0.0", id="no offset"),
    pytest.param(Wrong(message=tell(2, chunk_id=3)), "chunk_id is 3", id="a wrong number"),
    pytest.param(Wrong(message=tell(2, chunk_hash="0" * 64)), "chunk_hash is not", id="hash"),
    pytest.param(Wrong(message=tell(2, chunk_hash=None)), "chunk_hash is None", id="no hash"),
    pytest.param(
        Wrong(message=lambda messages: messages.pop()), "packets lost", id="a chunk not announced"
    ),
    pytest.param(
        Wrong(message=lambda messages: Path(messages[1]["cache_path"][7:]).write_bytes(b"")),
        "the cached copy is not the same",
        id="another file in the cache",
    ),
]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """7 s, closed GOPs of 2 s, the sound in Finnish."""
    plain = tmp_path_factory.mktemp("checker") / "film.mp4"
    films.make_film(plain, films.Film(seconds=7.0, languages=("fin",)))
    return plain


def test_right_chunks_pass(film, tmp_path):
    report = checker.check_copy(film, cut_by_hand(film, tmp_path, Wrong()), chunk_duration=2)
    assert report.violations == []
    assert (report.chunks, report.packets, report.leading) == (3, 540, 0)


@pytest.mark.parametrize(("wrong", "sentence"), CASES)
def test_each_wrong_is_seen(film, tmp_path, wrong, sentence):
    messages = cut_by_hand(film, tmp_path, wrong)
    report = checker.check_copy(film, messages, chunk_duration=wrong.duration)
    assert any(sentence in said for said in report.violations), str(report)


def test_as_a_command(film, tmp_path):
    messages = cut_by_hand(film, tmp_path, Wrong(packets=drop(AUDIO, 30)))
    lines = tmp_path / "messages.jsonl"
    lines.write_text("".join(json.dumps(message) + "\n" for message in messages))
    command = [sys.executable, checker.__file__, str(film), str(tmp_path / "out"), str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "packets lost" in done.stdout
