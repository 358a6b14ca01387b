"""How a picture is shown: turned, mirrored, with pixels that are not square. Arithmetic.

`read_display_matrix` alone touches libav: PyAV shows a stream's matrix only on decoded
pictures, but a MOV header made from the stream has it, too, and needs no reading.
"""

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from m0_contract.errors import ErrorCode
from m0_contract.request import VideoPreprocessing

from m0_chunker.errors import ChunkerError

Matrix = tuple[int, ...]
"""The nine numbers of ISO/IEC 14496-12, row by row, of which 0, 1, 3, 4 turn and mirror."""

MAX_SIDE = 16_384
MAX_MACROBLOCKS = 139_264
"""A picture in H.264's highest level, 6.2; a macroblock is 16 x 16 pixels."""

_TKHD_MATRIX = 4 + 4 + 20 + 16  # after the name: version, times and ids, layer … volume


def read_display_matrix(stream: Any) -> Matrix | None:
    """The matrix that a stream's header holds; None where there is none or it says nothing."""
    header = io.BytesIO()
    try:
        with av.open(header, "w", format="mov", options={"movflags": "empty_moov"}) as muxer:
            muxer.add_stream_from_template(stream, opaque=True)
            muxer.start_encoding()
            data = header.getvalue()
    except (av.error.FFmpegError, ValueError):
        return None  # a codec that MOV can't hold; its pictures tell when they are decoded
    at = data.find(b"tkhd")
    return None if at < 0 else parse_matrix(data[at + _TKHD_MATRIX : at + _TKHD_MATRIX + 36], ">")


def parse_matrix(data: bytes, order: str = "=") -> Matrix | None:
    """Nine numbers from bytes; None when they leave the picture as it is."""
    if len(data) < 36:
        return None
    matrix = struct.unpack(f"{order}9i", data[:36])
    return matrix if build_turns(matrix) else None


def swaps_sides(matrix: Matrix | None) -> bool:
    """Whether width becomes height."""
    return matrix is not None and abs(matrix[1]) > abs(matrix[0])


def build_turns(matrix: Matrix | None) -> list[tuple[str, str | None]]:
    """The filters that show a picture upright; quarters and mirrors, as all cameras write."""
    if matrix is None:
        return []
    across, down = matrix[1], matrix[3]
    if swaps_sides(matrix):
        if across > 0:
            return [("transpose", "cclock_flip" if down > 0 else "clock")]
        return [("transpose", "clock_flip" if down < 0 else "cclock")]
    turns: list[tuple[str, str | None]] = []
    if matrix[0] < 0:
        turns.append(("hflip", None))
    if matrix[4] < 0:
        turns.append(("vflip", None))
    return turns


@dataclass(frozen=True, slots=True)
class Target:
    """What pictures become.

    Attributes:
        width: pixels, even.
        height: pixels, even.
        aspect: of one pixel, width by height.
        scaled: whether it takes scaling; otherwise at most a row or a column is cut off.
        notes: what was done otherwise than asked, for people.
    """

    width: int
    height: int
    aspect: Fraction
    scaled: bool
    notes: tuple[str, ...] = ()


def compute_target(
    width: int,
    height: int,
    aspect: Fraction,
    matrix: Matrix | None,
    wanted: VideoPreprocessing,
) -> Target:
    """The size that pictures of a coded size become.

    Args:
        width: as coded, pixels.
        height: as coded, pixels.
        aspect: of one coded pixel, width by height.
        matrix: how it is shown.
        wanted: the request's width and height, which mean the picture as shown; for a
            turned film its coded size asked for means its own size, too.

    Raises:
        ChunkerError: UNSUPPORTED_MEDIA.
    """
    asked = (wanted.width, wanted.height)
    if swaps_sides(matrix):
        if asked == (width, height):
            asked = (None, None)
        width, height, aspect = height, width, 1 / aspect
    if all(side in {None, own} for side, own in zip(asked, (width, height), strict=True)) and (
        aspect == 1 or None not in asked or asked == (None, None)
    ):
        return _checked(_keep_size(width, height, aspect))
    shown = width * aspect / height
    new_width, new_height = asked
    if new_width is None:
        assert new_height is not None  # noqa: S101 - one of them was asked for
        new_width = _even(new_height * shown)
    elif new_height is None:
        new_height = _even(new_width / shown)
    even_width, even_height = max(2, new_width & ~1), max(2, new_height & ~1)
    notes: tuple[str, ...] = ()
    if (even_width, even_height) != (new_width, new_height):
        instead = f"{even_width} x {even_height} instead of {new_width} x {new_height}"
        notes = (f"H.264 needs even sizes: {instead}.",)
    square = None in asked
    pixel = Fraction(1) if square else shown * even_height / even_width
    return _checked(Target(even_width, even_height, pixel, scaled=True, notes=notes))


def _keep_size(width: int, height: int, aspect: Fraction) -> Target:
    even_width, even_height = max(2, width & ~1), max(2, height & ~1)
    if (even_width, even_height) == (width, height):
        return Target(width, height, aspect, scaled=False)
    note = f"H.264 needs even sizes: {width} x {height} was cut to {even_width} x {even_height}."
    return Target(even_width, even_height, aspect, scaled=min(width, height) < 2, notes=(note,))


def _even(length: Fraction) -> int:
    return max(2, 2 * round(length / 2))


def _checked(target: Target) -> Target:
    width, height = target.width, target.height
    macroblocks = -(-width // 16) * -(-height // 16)
    if max(width, height) > MAX_SIDE or macroblocks > MAX_MACROBLOCKS:
        raise ChunkerError(
            ErrorCode.UNSUPPORTED_MEDIA,
            f"pictures of {width} x {height} are more than H.264 can hold "
            f"({MAX_MACROBLOCKS * 256} pixels, {MAX_SIDE} a side); ask for a smaller size",
        )
    return target
