"""H.264's parameter sets, as far as splicing needs to know them. ISO/IEC 14496-15, 5.3.3."""

import struct
from dataclasses import dataclass, replace
from typing import Any

from m0_chunker.media.mp4.template import TrackTemplate

_IDR, _SLICE, _SPS, _PPS = 5, 1, 7, 8


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """What a decoder must know before the first picture.

    Attributes:
        sequence: SPS NAL units.
        picture: PPS NAL units.
    """

    sequence: tuple[bytes, ...]
    picture: tuple[bytes, ...]

    @classmethod
    def read(cls, extradata: bytes | None) -> "ParameterSets | None":
        """From a codec's extra data, `avcC` or Annex B; None: it has none of use."""
        if not extradata or len(extradata) < 8:
            return None
        units = _avcc_units(extradata) if extradata[0] == 1 else extradata.split(b"\0\0\1")
        units = [unit.rstrip(b"\0") for unit in units if unit]
        found = cls(
            tuple(unit for unit in units if unit and unit[0] & 31 == _SPS),
            tuple(unit for unit in units if unit and unit[0] & 31 == _PPS),
        )
        usable = found.sequence and found.picture
        return found if usable and (extradata[0] != 1 or extradata[4] & 3 == 3) else None

    @property
    def profile(self) -> int:
        """profile_idc of the first SPS."""
        return self.sequence[0][1]

    def free_id(self) -> int | None:
        """An id that none of the sets has; None: all are taken."""
        used = {_first_number(unit[4:]) for unit in self.sequence}
        used |= {_first_number(unit[1:]) for unit in self.picture}
        return next((number for number in range(31, -1, -1) if number not in used), None)


def _avcc_units(record: bytes) -> list[bytes]:
    units, at = [], 5
    for mask in (31, 255):
        count, at = record[at] & mask, at + 1
        for _ in range(count):
            (length,) = struct.unpack_from(">H", record, at)
            units.append(record[at + 2 : at + 2 + length])
            at += 2 + length
    return units


def _first_number(data: bytes) -> int:
    """The ue(v) that `data` begins with."""
    bits = "".join(f"{byte:08b}" for byte in data[:8])
    zeros = len(bits) - len(bits.lstrip("0"))
    return int(bits[zeros : 2 * zeros + 1] or "1", 2) - 1


def is_idr(packet: Any, *, lengths: bool) -> bool:
    """Whether a picture is an IDR: none after it refers to one before.

    Args:
        packet: its payload, or enough of its beginning.
        lengths: NAL units have lengths before them, not start codes.
    """
    data = bytes(packet)
    if not lengths:
        kinds = [unit[0] & 31 for unit in data.split(b"\0\0\1")[1:] if unit]
        return _IDR in kinds
    at = 0
    while at + 5 <= len(data):
        kind = data[at + 4] & 31
        if kind in {_IDR, _SLICE}:
            return kind == _IDR
        at += 4 + int(struct.unpack_from(">I", data, at)[0])
    return False


def add_parameter_sets(template: TrackTemplate, more: ParameterSets) -> TrackTemplate:
    """A track whose description holds `more` as well."""
    box = bytearray(template.descriptions)
    at = box.index(b"avcC") - 4
    (size,) = struct.unpack_from(">I", box, at)
    record = bytes(box[at + 8 : at + size])
    own = _avcc_units(record)
    sequence = [unit for unit in own if unit[0] & 31 == _SPS] + list(more.sequence)
    picture = [unit for unit in own if unit[0] & 31 == _PPS] + list(more.picture)
    rest = record[6 + sum(2 + len(unit) for unit in own) + 1 :]
    changed = b"".join(
        (
            record[:5],
            bytes([0xE0 | len(sequence)]),
            *(struct.pack(">H", len(unit)) + unit for unit in sequence),
            bytes([len(picture)]),
            *(struct.pack(">H", len(unit)) + unit for unit in picture),
            rest,
        )
    )
    box[at + 8 : at + size] = changed
    grown = len(changed) - len(record)
    for place in (at, _ENTRY, 0):
        (size,) = struct.unpack_from(">I", box, place)
        struct.pack_into(">I", box, place, size + grown)
    return replace(template, descriptions=bytes(box))


_ENTRY = 16
"""Where in a `stsd` box its first entry begins."""
