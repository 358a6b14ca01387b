"""What both halves of a transcode need: the settings, and encoders that tell what they are."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
from av.codec.context import Flags
from m0_contract.request import VideoPreprocessing

from m0_chunker.media.feed import Packet


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode.

    Attributes:
        wanted: fps, width and height of the request.
        preset: libx264's.
        crf: libx264's.
        threads: for the decoder, the filters and the encoder.
    """

    wanted: VideoPreprocessing
    preset: str
    crf: int
    threads: int


def open_bench() -> Any:
    """A muxer whose output nobody sees: PyAV makes streams that others can be like only there."""
    return av.open(io.BytesIO(), "w", format="mp4")


def open_stream(stream: Any) -> Any:
    """Open the encoder now, the same every time: no version or date in the payload."""
    stream.codec_context.flags |= Flags.bitexact | Flags.frame_duration
    stream.container.start_encoding()  # completes the stream's description, too
    return stream


def encode(stream: Any, frame: Any) -> Iterator[Packet]:
    """Packets in the ticks of `stream`, of which the encoder's are a multiple."""
    packets = stream.encode(frame)
    if not packets:
        return
    base = stream.time_base
    for packet in packets:
        factor = packet.time_base / base
        if factor != 1:
            packet.pts = round(packet.pts * factor)
            packet.dts = round(packet.dts * factor)
            packet.duration = round(packet.duration * factor)
            packet.time_base = base
        yield packet
