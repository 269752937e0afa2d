"""Limits of TRES as sacctmgr takes and shows them: "cpu=4,mem=2G,gres/gpu=1", where -1 takes a limit away.

Unlike amounts (core/tres.py) a limit of 0 is one. Memory is MiB inside. Source: sacctmgr(1), TRES limits; observed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from slurm_compat.core.errors import BadValue
from slurm_compat.core.sizes import mem_text

NONE = -1
UNITS = "KMGTP"
_NUMBER = re.compile(r"(-?\d+)([A-Za-z]*)")


def parse(text: str, known: Iterable[str] | None = None) -> dict[str, int]:
    """ "cpu=4,mem=-1" -> {"cpu": 4, "mem": -1}. Raises BadValue in slurmdb's words; `known`: all names there are."""
    names = None if known is None else {name.lower() for name in known}
    amounts: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = part.partition("=")
        name = name.lower()
        if not equals:
            raise BadValue(f"slurmdb_format_tres_str: no TRES id found for {part}")
        if names is not None and name not in names:
            raise BadValue(f"slurmdb_format_tres_str: no TRES known by type {name}")
        amounts[name] = _amount(name, number)
    return amounts


def _amount(name: str, text: str) -> int:
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        unit = text.strip().lstrip("-0123456789")
        raise BadValue(f"Invalid unit type '{unit}'. Possible options are '{UNITS}'")
    number, unit = int(found[1]), found[2].upper()
    if number < 0:
        return NONE
    if not unit:
        return number
    if unit not in UNITS:
        raise BadValue(f"Invalid unit type '{found[2]}'. Possible options are '{UNITS}'")
    power = UNITS.index(unit) + 1
    if name != "mem":
        return int(number * 1024**power)
    return int(number * 1024 ** (power - 2)) if power >= 2 else -(-number // 1024)


def show(amounts: Mapping[str, int]) -> str:
    """ "cpu=0,gres/gpu=1,mem=4G", by name; -1 is "NONE"."""
    return ",".join(f"{name}={_text(name, amounts[name])}" for name in sorted(amounts))


def _text(name: str, number: int) -> str:
    if number == NONE:
        return "NONE"
    return mem_text(number) if name == "mem" else str(number)


def merged(old: str, new: str) -> str:
    """What a limit is after a change: what `new` doesn't name stays, and -1 takes away."""
    total = parse(old) | parse(new)
    return show({name: number for name, number in total.items() if number != NONE})


def inherited(own: str, above: str) -> str:
    """A limit beside the one that the account above has: of each resource the nearest counts."""
    return show(parse(above) | parse(own)) if above else own


def show_raw(amounts: Mapping[str, int]) -> str:
    """What `parse` reads again, what is taken away included."""
    return ",".join(
        f"{name}={number}" if number == NONE else f"{name}={_text(name, number)}" for name, number in amounts.items()
    )
