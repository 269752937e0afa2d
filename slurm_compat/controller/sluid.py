"""SLUIDs: the number that one run of one job has among all clusters and times, and how it is written.

From the top: 12 bits of the cluster, 42 of milliseconds since the epoch, 10 of a counter. Written as s and 13
characters of Crockford's base 32. Observed on 26.05 (sacct's SLUID and DBIndex).
"""

from __future__ import annotations

import zlib

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}


def text(number: int) -> str:
    return "s" + "".join(_DIGITS[number >> shift & 31] for shift in range(60, -1, -5))


def number(written: str) -> int | None:
    """The number of a SLUID as written, None when it isn't one."""
    if len(written) != 14 or written[0] != "s":
        return None
    total = 0
    for char in written[1:].upper():
        value = _VALUES.get(char)
        if value is None:
            return None
        total = total << 5 | value
    return total if total < 1 << 63 else None


class Numbers:
    """Gives each run its number; never one twice, whatever the clock does."""

    def __init__(self, cluster_name: str, last: int = 0) -> None:
        # 11 bits: numbers stay below 2^63, which a database's integer holds
        self._prefix = (zlib.crc32(cluster_name.encode()) & 0x7FF) << 52
        self.last = last

    def next(self, milliseconds: int) -> int:
        self.last = max(self.last + 1, self._prefix | (milliseconds & (1 << 42) - 1) << 10)
        return self.last
