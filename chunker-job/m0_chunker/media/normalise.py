"""Payloads as MP4 wants them: most go in as they are, some change their wrapping.

MPEG-TS and AVI put start codes before NAL units (Annex B of H.264) where MP4 has lengths,
and a header before each AAC frame (ADTS) where MP4 has one for all.
"""

import struct
from collections.abc import Callable
from typing import Any

Normalise = Callable[[Any], bytes]
"""A packet's payload → what goes into the chunk."""

_NAL_CODECS = frozenset({"h264", "hevc", "libx264", "libx265", "vvc"})


_length = struct.Struct(">I").pack


def choose_normalise(stream: Any) -> Normalise | None:
    """How payloads of `stream` must be changed; None: they go in as they are."""
    name, extra = stream.codec_context.name, stream.codec_context.extradata
    if name in _NAL_CODECS and not (extra and extra[0] == 1):
        return lengths_for_start_codes
    if name == "aac" and not extra:
        return without_adts
    return None


def lengths_for_start_codes(packet: Any) -> bytes:
    """Annex B → a 4-byte length before each NAL unit."""
    pieces: list[bytes] = []
    for unit in bytes(packet).split(b"\0\0\1"):
        unit = unit.rstrip(b"\0")  # noqa: PLW2901 - no NAL unit ends with a zero
        if unit:
            pieces += (_length(len(unit)), unit)
    return b"".join(pieces)


def without_adts(packet: Any) -> bytes:
    """An AAC frame without its ADTS header; one without such a header as it is."""
    data = bytes(packet)
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return data
    return data[7 if data[1] & 1 else 9 :]
