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

    def merge(self, other: Histogram, sign: int = 1) -> None:
        """Add another histogram, or with -1 take it away."""
        if not self and sign == 1:
            dict.update(self, other)  # as fast as it gets, and mostly it is this
            return
        get = self.get
        for place, count in other.items():
            self[place] = get(place, 0) + sign * count

    def percentile(self, share: float) -> float | None:
        """The value that this share of the values does not exceed, within 1 %; None if there is none."""
        return self.percentiles(share)[0]

    def percentiles(self, *shares: float) -> tuple[float | None, ...]:
        """Several percentiles; the shares ascend."""
        found: list[float | None] = []
        following, place, seen, whole = iter(sorted(self.items())), 0, 0, self.total()
        for share in shares:
            wanted = max(1, math.ceil(share * whole))
            while seen < wanted and (one := next(following, None)):
                place, seen = one[0], seen + one[1]
            found.append(value_of(place) if seen else None)
        return tuple(found)


def bin_of(milliseconds: float) -> int:
    """The bin of a value; the first holds all up to ``SMALLEST``."""
    if milliseconds <= SMALLEST:
        return 0
    return min(math.ceil(math.log(milliseconds / SMALLEST) / _LOG), LAST)


def value_of(place: int) -> float:
    """The value that stands for all in a bin: as far from its lower end as from its upper one."""
    return SMALLEST * (GROWTH**place / _HALF if place else 1.0)
