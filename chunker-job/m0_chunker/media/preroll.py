"""Reading a film from a little before a time, so that what is decoded from there is right."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from m0_chunker.media.packets import Packet
from m0_chunker.media.source import Film

BEFORE_S = Fraction(1)
"""Decoding begins at least this long before the time: sound needs it to settle, and open
GOPs and gradual refreshes have their first good picture some pictures after a key frame."""

SEEK_S = 10
"""A seek goes so much further back, to find two key frames; what is too early is dropped."""

HELD_BYTES = 64 * 2**20
"""More packets without a key frame are not kept back any longer, but decoded."""


def read_packets(
    film: Film, streams: list[Any], pictures: Any, resume_at: Fraction
) -> Iterator[Packet]:
    """Packets from the last key frame that is safely before `resume_at`, or all of them.

    Args:
        film: open, nothing read of it yet.
        streams: whose packets are wanted.
        pictures: the one of `streams` that has key frames.
        resume_at: seconds since the film's start; 0 for all.
    """
    container, packets = film.container, film.demux(*streams)
    if not resume_at:
        return packets
    goal = film.start + resume_at - BEFORE_S
    if "mov" in container.format.name.split(",") and len(pictures.index_entries):
        _seek(container, pictures, goal - SEEK_S)
    return _skip(packets, pictures, goal)


def _seek(container: Any, pictures: Any, goal: Fraction) -> None:
    """To the key frame before; where libav can't, reading goes on from where it is."""
    try:
        container.seek(int(goal // pictures.time_base), stream=pictures)
    except av.error.FFmpegError:
        return


def _skip(packets: Iterator[Packet], pictures: Any, goal: Fraction) -> Iterator[Packet]:
    """Drop what is before the last key frame but one before `goal`; of other streams, all before.

    But one, since a key frame of a gradual refresh has all of its picture only when the
    next one comes. Pictures are kept back until it is sure which key frames are the last.
    """
    index = pictures.index
    held: list[Packet] = []
    held_bytes = newest = 0
    waiting = True
    for packet in packets:
        stamps = [stamp for stamp in (packet.dts, packet.pts) if stamp is not None]
        if packet.stream_index != index:
            if not stamps or stamps[-1] * packet.time_base >= goal:
                yield packet
            continue
        if waiting and packet.size:
            if packet.is_keyframe and stamps and stamps[-1] * packet.time_base <= goal:
                held = held[newest:]
                newest, held_bytes = len(held), sum(earlier.size for earlier in held)
            held.append(packet)
            held_bytes += packet.size
            if held_bytes < HELD_BYTES and (not stamps or stamps[0] * packet.time_base <= goal):
                continue
        if waiting:
            waiting = False
            yield from held
            held = []
            if packet.size:
                continue
        yield packet
