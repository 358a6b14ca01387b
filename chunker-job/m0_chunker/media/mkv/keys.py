"""Whether a picture that is said to be a key frame is one, by its own words.

Of H.264, libav believes the picture rather than the muxer, and is right: a chunk that begins
with another one can't be decoded.
"""

from collections.abc import Callable, Iterator

IsKey = Callable[[bytes], bool]

_SLICE, _IDR, _SEI = 1, 5, 6
_RECOVERY_POINT = 6


def key_check(codec: str, extradata: bytes) -> IsKey | None:
    """How a picture of this codec is asked; None: libav doesn't ask it either."""
    if codec != "h264":
        return None
    width = (extradata[4] & 3) + 1 if len(extradata) > 4 else 4
    return lambda payload: _is_key(payload, width)


def _units(payload: bytes, width: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of each NAL unit that has a byte, as far as their lengths are true."""
    at = 0
    while at + width < len(payload):
        begin = at + width
        at = begin + int.from_bytes(payload[at:begin], "big")
        if begin < at <= len(payload):
            yield begin, at


def _is_key(payload: bytes, width: int) -> bool:
    """An IDR picture, or one from which on decoding recovers."""
    recovers = False
    for begin, end in _units(payload, width):
        kind = payload[begin] & 31
        if kind == _SEI:
            recovers = recovers or _has_recovery_point(payload[begin + 1 : end])
        elif _SLICE <= kind <= _IDR:
            return recovers or kind == _IDR
    return False


def _has_recovery_point(data: bytes) -> bool:
    """Whether a message of that kind is among those of a SEI unit."""
    at = 0
    while at + 2 < len(data):
        values = []
        for _ in range(2):  # its kind, and its length
            value = 0
            while at < len(data) and data[at] == 0xFF:
                value, at = value + 255, at + 1
            if at >= len(data):
                return False
            values.append(value + data[at])
            at += 1
        if values[0] == _RECOVERY_POINT:
            return True
        at += values[1]
    return False
