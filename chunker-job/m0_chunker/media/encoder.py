"""What both halves of a transcode need: the settings, and encoders that tell what they are."""

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags
from m0_contract.request import VideoPreprocessing

from m0_chunker.media.packets import Packet


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


class Encoder:
    """An open encoder, the same every time: no version or date in the payload.

    Attributes:
        stream: tells what packets are like; they are in its ticks.
    """

    def __init__(self, stream: Any) -> None:
        """Args: stream: of a bench, with everything set."""
        context = stream.codec_context
        context.flags |= Flags.bitexact | Flags.frame_duration
        stream.container.start_encoding()  # completes the stream's description, too
        self.stream = stream
        self._base = Fraction(stream.time_base)
        # The muxer halves coarse ticks until they are fine enough for it.
        self._factor = int(context.time_base / self._base)

    def encode(self, frame: Any) -> list[Packet]:
        """Packets that are ready after one more picture or piece of sound; the last at None."""
        packets: list[Packet] = self.stream.encode(frame)
        if self._factor != 1:
            for packet in packets:
                packet.pts *= self._factor
                packet.dts *= self._factor
                packet.duration *= self._factor
                packet.time_base = self._base
        return packets
