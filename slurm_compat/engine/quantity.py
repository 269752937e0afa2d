"""Kubernetes amounts: "4", "500m", "1Gi", "1e3". Kept as whole thousandths, so that comparing never rounds.

Source: the Kubernetes API conventions, "resource.Quantity".
"""

from __future__ import annotations

import re
from fractions import Fraction

SUFFIXES: dict[str, Fraction] = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1),
    "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12),
    "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40),
    "Pi": Fraction(2**50), "Ei": Fraction(2**60),
}  # fmt: skip

_SHAPE = re.compile(r"^([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i))?$")


class BadQuantity(ValueError):
    """A text that is no amount."""


def milli(text: str) -> int:
    """Thousandths of the unit, rounded up: "1" is 1000, "500m" is 500. Raises BadQuantity."""
    match = _SHAPE.match(text)
    if match is None:
        raise BadQuantity(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': " + repr(text)
        )
    sign, digits, exponent, suffix = match.groups()
    value = Fraction(digits) * SUFFIXES[suffix or ""]
    if exponent:
        value *= Fraction(10) ** int(exponent[1:])
    value *= 1000
    whole = -(-value.numerator // value.denominator)
    return -whole if sign == "-" else whole


def show(thousandths: int) -> str:
    """The shortest plain form: 1500 is "1500m", 4000 is "4"."""
    whole, rest = divmod(thousandths, 1000)
    return str(whole) if not rest else f"{thousandths}m"
