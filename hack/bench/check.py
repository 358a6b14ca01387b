"""How many packets of a film its chunks have lost or doubled, by payload."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import av


def count_packets(paths: Iterable[Path], *, payloads: bool) -> Counter[tuple[str, int]]:
    """Audio and video packets by type and payload; by type only without `payloads`."""
    found: Counter[tuple[str, int]] = Counter()
    for path in paths:
        try:
            film = av.open(str(path))
        except av.error.FFmpegError:
            continue  # an empty chunk, as some methods leave them: all its packets count as lost
        with film:
            # A chunk may be without its picture or sound: some methods lose all of it.
            for packet in film.demux([*film.streams.video[:1], *film.streams.audio[:1]]):
                if packet.size:
                    found[packet.stream.type, hash(bytes(packet)) if payloads else 0] += 1
    return found


def compare(source: Path, chunks: list[Path]) -> tuple[int, int]:
    """(lost, doubled) packets of the first video and audio track.

    MPEG-TS changes payloads on the way into MP4 (start codes): there only the sums are compared.
    """
    payloads = source.suffix != ".ts"
    before = count_packets([source], payloads=payloads)
    after = count_packets(chunks, payloads=payloads)
    return (before - after).total(), (after - before).total()
