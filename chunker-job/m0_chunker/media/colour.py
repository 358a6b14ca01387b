"""Colours of pictures: what they mean, and what becomes of them. Decisions only.

Numbers are those of ISO/IEC 23091-2, which libav uses. HDR becomes SDR by libswscale's
own tone mapping (`intent=perceptual`), which the wheels' FFmpeg 8 has; zscale it has not.
Its table takes some 4 s of CPU to make, once a film.
"""

from dataclasses import dataclass
from typing import Any

RGB, BT709, UNKNOWN = 0, 1, 2
LIMITED, FULL = 1, 2
PQ, HLG = 16, 18
INTENT = "perceptual"
"""Of tone mapping; the others keep highlights, but make middle tones darker or clip."""

HDR_NAMES = {PQ: "PQ", HLG: "HLG"}


@dataclass(frozen=True, slots=True)
class Colours:
    """What the encoded pictures' colours are, and how they get so.

    Attributes:
        range: 1 limited, 0 unknown, which means the same.
        matrix: from RGB to YUV.
        primaries: of the light.
        transfer: from light to signal.
        source_arguments: of the `buffer` filter, each with a colon before.
        scale_arguments: of the `scale` filter, likewise; none where nothing changes.
        notes: for people.
    """

    range: int
    matrix: int
    primaries: int
    transfer: int
    source_arguments: str
    scale_arguments: str
    notes: tuple[str, ...] = ()

    @property
    def is_dear(self) -> bool:
        """Whether the conversion costs more than scaling does."""
        return bool(self.notes)


def build_colours(frame: Any, height: int) -> Colours:
    """Decide on a picture's colours.

    Args:
        frame: a decoded picture.
        height: of the encoded ones, pixels: unmarked RGB becomes BT.601 or BT.709 by it.
    """
    matrix, primaries, transfer = frame.colorspace, frame.color_primaries, frame.color_trc
    full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
    source = f":colorspace={matrix}:range={FULL if full else frame.color_range}"
    if transfer in HDR_NAMES:
        note = f"The film is HDR ({HDR_NAMES[transfer]}): it was tone-mapped to SDR, BT.709."
        arguments = (
            ":out_primaries=bt709:out_transfer=bt709:out_color_matrix=bt709:out_range=limited"
            f":intent={INTENT}"
        )
        return Colours(LIMITED, BT709, BT709, BT709, source, arguments, (note,))
    if frame.format.is_rgb:
        matrix = BT709 if height >= 720 else 6
        name = "bt709" if height >= 720 else "smpte170m"
        arguments = f":out_color_matrix={name}:out_range=limited"
        return Colours(LIMITED, matrix, primaries, transfer, source, arguments)
    if full:
        return Colours(LIMITED, matrix, primaries, transfer, source, ":out_range=limited")
    return Colours(frame.color_range, matrix, primaries, transfer, source, "")
