"""Amounts with a unit letter, as the accounting commands print them: 30452K, 1.50G, 0.04M.

By default an amount moves to a larger unit only while nothing is lost: 1536M becomes 1.50G, 1000M stays. Source:
sacct(1), --units and --noconvert; observed on 26.05.
"""

from __future__ import annotations

from typing import NamedTuple

LETTERS = ("", "K", "M", "G", "T", "P")
NONE, KILO, MEGA = 0, 1, 2  # positions in LETTERS


class Units(NamedTuple):
    """How amounts are to be shown: in one unit (a position in LETTERS), as they come, or in the largest exact one."""

    unit: int | None = None
    convert: bool = True


EXACT = Units()


def amount(value: float, of: int, units: Units = EXACT) -> str:
    """`value`, counted in LETTERS[of], as text."""
    if not value:
        return "0"
    if units.unit is not None:
        value = value * 1024.0 ** (of - units.unit)
        of = units.unit
    elif units.convert:
        # half a unit more is still exact enough for Slurm: 1536M is 1.50G
        while value >= 1024 and int(value) % 512 == 0 and of < len(LETTERS) - 1:
            value /= 1024
            of += 1
    return f"{int(value)}{LETTERS[of]}" if value == int(value) else f"{value:.2f}{LETTERS[of]}"


def mebibytes_of(text: str) -> float | None:
    """MiB of "500M", "1.50G" or "2T" as other rows show them; None for what is no such amount."""
    if not text or text[-1] not in LETTERS[1:]:
        return None
    try:
        return float(text[:-1]) * 1024.0 ** (LETTERS.index(text[-1]) - MEGA)
    except ValueError:
        return None
