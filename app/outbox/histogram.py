"""A histogram from which percentiles are read within one percent, however many values it holds. Pure."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterable

SMALLEST = 0.001
"""Milliseconds: what took less took this long."""
GROWTH = 1.0195
"""Each bin ends so much higher than the one before; its middle is then within 1 % of all in it."""
LAST = 2047
"""The last bin, which holds all that took millions of years."""
_LOG = math.log(GROWTH)
_HALF = math.sqrt(GROWTH)
_PAIR = struct.Struct("<HI")


class Histogram(Counter[int]):
    """Milliseconds, counted by bin. Histograms add up exactly, and can be taken from each other."""

    @classmethod
    def of(cls, values: Iterable[float]) -> Histogram:
        """The histogram of these milliseconds."""
        return cls(map(bin_of, values))

    @classmethod
    def unpacked(cls, packed: bytes) -> Histogram:
        """What ``packed`` gave."""
        return cls(dict(_PAIR.iter_unpack(packed)))

    def packed(self) -> bytes:
        """As bytes, for a row."""
        return b"".join(_PAIR.pack(place, count) for place, count in sorted(self.items()) if count)

    def percentile(self, share: float) -> float | None:
        """The value that this share of the values does not exceed, within 1 %; None if there is none."""
        wanted, seen = max(1, math.ceil(share * self.total())), 0
        for place, count in sorted(self.items()):
            seen += count
            if seen >= wanted:
                return value_of(place)
        return None


def bin_of(milliseconds: float) -> int:
    """The bin of a value; the first holds all up to ``SMALLEST``."""
    if milliseconds <= SMALLEST:
        return 0
    return min(math.ceil(math.log(milliseconds / SMALLEST) / _LOG), LAST)


def value_of(place: int) -> float:
    """The value that stands for all in a bin: as far from its lower end as from its upper one."""
    return SMALLEST * (GROWTH**place / _HALF if place else 1.0)
