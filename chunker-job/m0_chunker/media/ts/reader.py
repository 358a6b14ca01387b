"""A transport stream's packets in columns, a quarter of a megabyte of the film at a time."""

import ctypes
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from m0_chunker.media.direct import OddError
from m0_chunker.media.mp4.boxes import Readable
from m0_chunker.media.packets import Batch, Packets
from m0_chunker.media.ts.native import Buffer, Found, library

CODECS = {"h264": 1, "hevc": 2, "aac": 3}
"""Those that it knows, and its numbers for them."""

PACKET_BYTES = 188
READ_BYTES = 1394 * PACKET_BYTES


def read_transport(
    file: Readable, streams: Sequence[tuple[int, str]], durations: Sequence[int]
) -> Iterator[Batch]:
    """All packets of a film's streams, from its first byte to its last.

    Args:
        file: the film.
        streams: (PID, codec) of each; the codec is one of `CODECS`.
        durations: of a packet of each, ticks.

    Raises:
        OddError: what comes after those that were given is not for this reader.
    """
    functions = library()
    if functions is None:
        raise OddError("nothing was compiled")
    count = len(streams)
    numbers = ctypes.c_int * count
    handle = functions.m0_transport_open(
        count,
        numbers(*(pid for pid, _ in streams)),
        numbers(*(CODECS[codec] for _, codec in streams)),
    )
    if not handle:
        raise OddError("it has too many streams")
    try:
        order = functions.m0_transport_order(handle).contents
        sizes = functions.m0_transport_sizes(handle).contents
        found = [functions.m0_transport_found(handle, at).contents for at in range(count)]

        def take() -> Batch:
            packets = list(map(_packets, found, durations))
            return Batch(order.take(), _numbers(sizes, "I"), packets)

        position, rest, data = 0, b"", b"?"
        while data:
            file.seek(position)
            data = file.read(READ_BYTES - len(rest))
            position += len(data)
            if data:
                whole = rest + data
                odd = functions.m0_transport_read(handle, whole, len(whole))
                rest = whole[len(whole) // PACKET_BYTES * PACKET_BYTES :]
            else:  # a packet that is not whole is not there
                odd = functions.m0_transport_end(handle)
            yield take()
            if odd:
                raise OddError(odd.decode())
    finally:
        functions.m0_transport_close(handle)


def _packets(found: Found, duration: int) -> Packets:
    sizes, payloads = _numbers(found.sizes, "I"), found.payloads.take()
    return Packets(
        [payloads[begin:after] for begin, after in pairwise(accumulate(sizes, initial=0))],
        sizes,
        _numbers(found.pts, "q"),
        _numbers(found.dts, "q"),
        [duration] * len(sizes),
        list(found.keys.take()),
    )


def _numbers(buffer: Buffer, kind: str) -> list[int]:
    """What is in it as numbers; `kind` as `array` has it."""
    return array(kind, buffer.take()).tolist()
