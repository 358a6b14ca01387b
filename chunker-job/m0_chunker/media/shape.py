"""What must be known of a stream to put its packets into an MP4 file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from m0_chunker.media.clock import Clock
from m0_chunker.media.mp4.template import TrackTemplate, borrow_template
from m0_chunker.media.packets import Packet

FINE_TICKS = 10_000
"""Ticks a second in a chunk, at least."""


@dataclass(frozen=True, slots=True)
class StreamShape:
    """What the writer must know of a stream.

    Attributes:
        timescale: ticks a second in the chunk.
        base: seconds in a tick of the stream's packets.
        origin: the time stamp of the film's start, seconds.
        template: None until its first packet has come.
        frame_bytes: of uncompressed sound, bytes of one sample of all channels; else 0.
        sample_rate: of uncompressed sound.
        priming: what an encoder put before the sound proper, ticks of the chunk.
        factor: how many of the chunk's ticks one of the stream's is; 0 where that is no whole
            number.
        clock: of the stream's ticks.
        chunk_clock: of the chunk's.
    """

    timescale: int
    base: Fraction
    origin: Fraction
    template: TrackTemplate | None
    frame_bytes: int = 0
    sample_rate: int = 0
    priming: int = 0
    factor: int = field(init=False)
    clock: Clock = field(init=False)
    chunk_clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        """Work out what follows from these, once for all chunks."""
        factor, rest = divmod(self.base.numerator * self.timescale, self.base.denominator)
        tick = Fraction(1, self.timescale)
        object.__setattr__(self, "factor", 0 if rest else factor)
        object.__setattr__(self, "clock", Clock.of(self.origin, self.base))
        object.__setattr__(self, "chunk_clock", Clock.of(self.origin, tick))

    def rescale(self, times: Sequence[int]) -> list[int]:
        """The stream's ticks as the chunk's, to the nearest."""
        factor = self.factor
        if factor:
            return list(times) if factor == 1 else [time * factor for time in times]
        over, under = self.base.numerator * self.timescale, self.base.denominator
        return [(2 * time * over + under) // (2 * under) for time in times]


def shape_of(stream: Any, origin: Fraction, packet: Packet = None) -> StreamShape:
    """What the writer must know of a stream.

    Args:
        stream: an `av` stream.
        origin: the time stamp of the film's start, seconds.
        packet: one of its packets; without it there is no template.
    """
    base = Fraction(stream.time_base)
    name = stream.codec_context.name
    bits = re.fullmatch(r"pcm_[a-z]+?(\d+)?(?:[lb]e)?", name)
    frame_bytes = 0
    if bits:
        frame_bytes = int(bits[1] or 8) // 8 * stream.codec_context.layout.nb_channels
    # Coarse ticks (1 ms in Matroska, a whole frame in AVI) could not say where a cut is, and
    # libav takes the ticks that an edit list hides of sound for samples.
    timescale = base.denominator * -(-FINE_TICKS // base.denominator)
    if stream.type == "audio":
        timescale = stream.codec_context.sample_rate
    return StreamShape(
        timescale=timescale,
        base=base,
        origin=origin,
        template=None if packet is None else borrow_template(stream, packet),
        frame_bytes=frame_bytes,
        sample_rate=stream.codec_context.sample_rate if bits else 0,
        priming=0 if packet is None else _priming(stream, packet),
    )


def _priming(stream: Any, packet: Packet) -> int:
    """How much of its first packet's sound a container says to skip, samples."""
    if stream.type != "audio" or not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")


def usual_duration(stream: Any) -> int:
    """How long a packet lasts that doesn't say so, ticks."""
    context, base = stream.codec_context, Fraction(stream.time_base)
    if stream.type == "audio":
        return max(round(Fraction(context.frame_size or 1024, context.sample_rate) / base), 1)
    return max(round(1 / (stream.average_rate or Fraction(25)) / base), 1)
