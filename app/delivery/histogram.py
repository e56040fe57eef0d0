"""A histogram from which percentiles are read within one percent, however many values it holds. Pure.

All its counts stand side by side in one long number, 32 bits each: adding two histograms is one addition, and
pages add up hundreds of them.
"""

from __future__ import annotations

import math
import struct
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

SMALLEST = 0.001
"""Milliseconds: what took less took this long."""
GROWTH = 1.0195
"""Each bin ends so much higher than the one before; its middle is then within 1 % of all in it."""
LAST = 2047
"""The last bin, which holds all that took millions of years."""
FEW = 24
"""So many bins are kept one by one."""
_LOG = math.log(GROWTH)
_HALF = math.sqrt(GROWTH)
_PAIR = struct.Struct("<HI")
_RUN = 0xFFFF
"""Stands for the bin of a first pair, after which all counts follow compressed, from the bin in its count."""
_BITS = 32


class Histogram:
    """Milliseconds, counted by bin. Histograms add up exactly, and can be taken from each other."""

    __slots__ = ("_lanes",)

    def __init__(self, lanes: int = 0) -> None:
        self._lanes = lanes

    @classmethod
    def of(cls, values: Iterable[float]) -> Histogram:
        """The histogram of these milliseconds."""
        return cls.of_bins(Counter(map(bin_of, values)))

    @classmethod
    def of_bins(cls, counts: Mapping[int, int]) -> Histogram:
        """The histogram of so many values in each bin."""
        if not counts:
            return cls()
        first = min(counts)
        lanes = [0] * (max(counts) - first + 1)
        for place, count in counts.items():
            lanes[place - first] = count
        return cls(int.from_bytes(_in_a_row(lanes), "little") << _BITS * first)

    @classmethod
    def unpacked(cls, packed: bytes) -> Histogram:
        """What ``packed`` gave."""
        if not packed:
            return cls()
        place, count = _PAIR.unpack_from(packed)
        if place == _RUN:
            row = zlib.decompress(packed[_PAIR.size :])
            return cls(int.from_bytes(row, "little") << _BITS * count)
        return cls.of_bins(dict(_PAIR.iter_unpack(packed)))

    def packed(self) -> bytes:
        """As bytes, for a row: bins with their counts where they are few, else all counts in a row.

        Such a row is read many times as fast, and compressed it is no longer.
        """
        first, lanes = self._trimmed()
        pairs = [(first + place, count) for place, count in enumerate(lanes) if count]
        if len(pairs) <= FEW:
            return b"".join(_PAIR.pack(*pair) for pair in pairs)
        return _PAIR.pack(_RUN, first) + zlib.compress(_in_a_row(lanes), 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._lanes == other._lanes

    def __hash__(self) -> int:
        return hash(self._lanes)

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def merge(self, other: Histogram, sign: int = 1) -> None:
        """Add another histogram, or with -1 take it away."""
        if other._lanes:  # a long number is copied even where nothing is added to it
            self._lanes += sign * other._lanes

    def percentile(self, share: float) -> float | None:
        """The value that this share of the values does not exceed, within 1 %; None if there is none."""
        return self.percentiles(share)[0]

    def percentiles(self, *shares: float) -> tuple[float | None, ...]:
        """Several percentiles."""
        first, lanes = self._trimmed()
        if not lanes:
            return (None,) * len(shares)
        up_to = list(accumulate(lanes))
        return tuple(
            value_of(first + bisect_left(up_to, max(1, math.ceil(share * up_to[-1])))) for share in shares
        )

    def _trimmed(self) -> tuple[int, Sequence[int]]:
        """The first bin that holds anything, and the counts from there to the last one that does."""
        if not self._lanes:
            return 0, ()
        first = ((self._lanes & -self._lanes).bit_length() - 1) // _BITS
        rest = self._lanes >> _BITS * first
        long = (rest.bit_length() + _BITS - 1) // _BITS
        return first, struct.unpack(f"<{long}I", rest.to_bytes(4 * long, "little"))


def _in_a_row(counts: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(counts)}I", *counts)


def bin_of(milliseconds: float) -> int:
    """The bin of a value; the first holds all up to ``SMALLEST``."""
    if milliseconds <= SMALLEST:
        return 0
    return min(math.ceil(math.log(milliseconds / SMALLEST) / _LOG), LAST)


def value_of(place: int) -> float:
    """The value that stands for all in a bin: as far from its lower end as from its upper one."""
    return SMALLEST * (GROWTH**place / _HALF if place else 1.0)
