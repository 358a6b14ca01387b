"""Run-length coded tables, the way MP4 stores times."""

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from operator import mul
from typing import NamedTuple

from m0_chunker.media.mp4.boxes import table


class Runs(NamedTuple):
    """Equal values in a row.

    Attributes:
        counts: how many there are of each.
        values: what they are.
    """

    counts: Sequence[int]
    values: Sequence[int]

    @classmethod
    def of(cls, values: Iterable[int]) -> "Runs":
        """The runs of at least one value."""
        counts: list[int] = []
        found: list[int] = []
        current, count = None, 0
        for value in values:
            if value == current:
                count += 1
                continue
            if current is not None:
                counts.append(count)
                found.append(current)
            current, count = value, 1
        assert current is not None  # noqa: S101 - there is one
        return cls([*counts, count], [*found, current])

    def scaled(self, factor: int) -> "Runs":
        """The runs of so many times the values."""
        return self if factor == 1 else Runs(self.counts, [value * factor for value in self.values])

    @property
    def total(self) -> int:
        """The sum of all values."""
        return sum(map(mul, self.counts, self.values))

    def expanded(self) -> Iterator[int]:
        """Each value as often as it is there."""
        return chain.from_iterable(map(repeat, self.values, self.counts))

    def to_box(self, kind: bytes) -> bytes:
        """A `stts` or `ctts`; version 1, which has signs, only where there are any."""
        signed, count = min(self.values) < 0, len(self.counts)
        entries = [0] * (2 * count)
        entries[0::2], entries[1::2] = self.counts, self.values
        packed = struct.pack(f">{2 * count}{'i' if signed else 'I'}", *entries)
        return table(kind, count, packed, int(signed))


def big_endian(values: "array[int]") -> bytes:
    """The numbers as MP4 has them."""
    if sys.byteorder == "big":
        return values.tobytes()
    swapped = array(values.typecode, values)
    swapped.byteswap()
    return swapped.tobytes()
