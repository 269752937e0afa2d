"""Armada's ids: a job is a lower-case ULID, ordered by time; a run is a random UUID."""

from __future__ import annotations

import os
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case as Armada writes it
RANDOM_BITS = 80


class Ulids:
    """Makes ids that rise strictly, even within one millisecond and when the clock steps back."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, now: float | None = None) -> str:
        moment = int((time.time() if now is None else now) * 1000)
        value = (moment << RANDOM_BITS) | int.from_bytes(os.urandom(RANDOM_BITS // 8), "big")
        if value <= self._last:
            value = self._last + 1
        self._last = value
        return text(value)


def text(value: int) -> str:
    """The 26 characters of a 128-bit number."""
    return "".join([ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5)])
