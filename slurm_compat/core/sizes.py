"""Amounts of memory and disk as Slurm's options read and its tables show them. Standard library only."""

from __future__ import annotations

import re

from slurm_compat.core.errors import BadValue

# leading blanks and a plus pass (strtol takes them), blanks after do not; K, M, G, T, each with or without B
_SIZE = re.compile(r"[ \t]*\+?(\d+)(?:([kmgt])b?)?", re.IGNORECASE | re.ASCII)
_KIB = {"k": 1, "m": 1 << 10, "g": 1 << 20, "t": 1 << 30}
_UNITS = "MGTPEZY"


def mebibytes(text: str) -> int:
    """A size as whole MiB: "100", "100M", "1G", "2048K", "1gb". Without a unit MiB are meant; KiB are rounded up.

    Raises BadValue for anything else: fractions, "10Q", "1GiB", "".
    """
    found = _SIZE.fullmatch(text)
    if not found:
        raise BadValue(f"not a size: {text}")
    kib = int(found[1]) * _KIB[(found[2] or "m").lower()]
    return -(-kib // 1024)


def mem_text(mib: int) -> str:
    """ "500M", "1G", "1.50G", "0": the largest unit that shows the number in whole or half units.

    A number that no larger unit divides stays as it is: 1000 is "1000M", 4000 is "4000M".
    """
    if mib == 0:
        return "0"
    value, unit = float(mib), 0
    while value >= 1024 and int(value) % 512 == 0:
        value, unit = value / 1024, unit + 1
    shown = f"{value:.0f}" if value.is_integer() else f"{value:.2f}"
    return shown + _UNITS[unit]
