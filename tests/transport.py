"""MPEG transport streams taken apart and put together again, with changes of a test's choice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

PACKET_BYTES = 188
PAT_PID, PMT_PID, NULL_PID = 0, 0x1000, 0x1FFF


@dataclass(frozen=True)
class Pes:
    """A PES packet.

    Attributes:
        pid: of its stream.
        header: up to its payload.
        payload: of it.
        length: as its header says; None: what is true, or 0 where the header said so before.
    """

    pid: int
    header: bytes
    payload: bytes
    length: int | None = None

    def __bytes__(self) -> bytes:
        length = self.length
        if length is None:
            length = len(self.header) - 6 + len(self.payload) if any(self.header[4:6]) else 0
        return self.header[:4] + length.to_bytes(2, "big") + self.header[6:] + self.payload

    @property
    def is_video(self) -> bool:
        return self.header[3] & 0xF0 == 0xE0

    def later(self, ticks: int) -> "Pes":
        """The same, shown and decoded so much later."""
        header = bytearray(self.header)
        for at in (9, 14)[: (header[7] >> 6) - 1]:
            header[at : at + 5] = _time(header[at] >> 4, _read_time(header[at : at + 5]) + ticks)
        return replace(self, header=bytes(header))


def _read_time(field: bytes) -> int:
    return (
        (field[0] >> 1 & 7) << 30
        | field[1] << 22
        | field[2] >> 1 << 15
        | field[3] << 7
        | (field[4] >> 1)
    )


def _time(mark: int, ticks: int) -> bytes:
    ticks %= 2**33
    return bytes(
        (
            mark << 4 | ticks >> 29 & 14 | 1,
            ticks >> 22 & 255,
            ticks >> 14 & 254 | 1,
            ticks >> 7 & 255,
            ticks << 1 & 254 | 1,
        )
    )


def packets(data: bytes) -> Iterator[bytes]:
    """The packets of 188 bytes."""
    for at in range(0, len(data), PACKET_BYTES):
        yield data[at : at + PACKET_BYTES]


def payload_of(packet: bytes) -> bytes:
    """What is in a packet behind its header and adaptation field."""
    if not packet[3] & 0x10:
        return b""
    return packet[5 + packet[4] if packet[3] & 0x20 else 4 :]


def pid_of(packet: bytes) -> int:
    return (packet[1] & 31) << 8 | packet[2]


def parse(data: bytes) -> tuple[list[bytes], list[Pes]]:
    """(the packets of its first tables, all its PES packets as they end)."""
    tables: dict[int, bytes] = {}
    open_: dict[int, bytearray] = {}
    begun: list[int] = []
    found: list[Pes] = []

    def close(pid: int) -> None:
        whole = bytes(open_.pop(pid))
        header = 9 + whole[8]
        found.append(Pes(pid, whole[:header], whole[header:]))

    for packet in packets(data):
        pid, payload = pid_of(packet), payload_of(packet)
        if packet[1] & 0x40 and payload[:3] == b"\0\0\1":
            if pid in open_:
                close(pid)
            open_[pid] = bytearray(payload)
            begun.append(pid)
        elif pid in open_:
            open_[pid] += payload
        elif pid in (PAT_PID, PMT_PID):
            tables.setdefault(pid, packet)
    for pid in dict.fromkeys(begun):
        if pid in open_:
            close(pid)
    return [tables[PAT_PID], tables[PMT_PID]], found


Change = Callable[[int, Pes], list[Pes]]
"""(number of a PES packet in its stream, itself) → what comes in its place."""

Spoil = Callable[[int, bytes], list[bytes]]
"""(number of a packet of 188 bytes, itself) → what comes in its place."""


def rewrite(
    film: Path,
    path: Path,
    change: Change = lambda _, pes: [pes],
    spoil: Spoil = lambda _, packet: [packet],
    *,
    woven: bool = False,
) -> Path:
    """Write `film` again, changed.

    Args:
        film: as libav's muxer writes it.
        path: of the new one.
        change: of PES packets.
        spoil: of packets, after that.
        woven: packets of several PES packets lie between each other, as broadcasters have it.
    """
    tables, all_pes = parse(film.read_bytes())
    numbers: dict[int, int] = {}
    changed: list[Pes] = []
    for pes in all_pes:
        number = numbers[pes.pid] = numbers.get(pes.pid, -1) + 1
        changed += change(number, pes)
    counters: dict[int, int] = {}
    written = [*tables]
    queues: list[list[bytes]] = []
    for pes in changed:
        queues.append(_split(pes, counters))
        if len(queues) == (3 if woven else 1):
            written += _weave(queues)
            queues = []
    written += _weave(queues)
    path.write_bytes(
        b"".join(new for number, packet in enumerate(written) for new in spoil(number, packet))
    )
    return path


def _weave(queues: list[list[bytes]]) -> list[bytes]:
    """One of each in turn, but a stream's own in order."""
    order: dict[int, list[bytes]] = {}
    for queue in queues:
        order.setdefault(pid_of(queue[0]), []).extend(queue)
    woven = []
    while any(order.values()):
        woven += [queue.pop(0) for queue in order.values() if queue]
    return woven


def _split(pes: Pes, counters: dict[int, int]) -> list[bytes]:
    """A PES packet in packets of 188 bytes, the last one stuffed in its adaptation field."""
    left, split, first = bytes(pes), [], True
    while left or first:
        counters[pes.pid] = counter = (counters.get(pes.pid, -1) + 1) & 15
        part, left = left[:184], left[184:]
        stuffing = 184 - len(part)
        field = b""
        if stuffing:
            field = bytes([stuffing - 1]) + (b"\0" + b"\xff" * (stuffing - 2))[: stuffing - 1]
        head = bytes(
            (
                0x47,
                0x40 * first | pes.pid >> 8,
                pes.pid & 255,
                (0x30 if stuffing else 0x10) | counter,
            )
        )
        split.append(head + field + part)
        first = False
    return split
