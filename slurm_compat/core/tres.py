"""Trackable resources as Slurm writes them: "cpu=4,mem=2G,node=1,billing=4,gres/gpu=2". Memory is MiB inside.

Source: slurm.conf(5), AccountingStorageTRES; observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Mapping

from slurm_compat.core.errors import BadValue
from slurm_compat.core.sizes import mebibytes, mem_text

# shown in this order; what is not listed comes behind, in the order it was put in
ORDER = ("cpu", "mem", "energy", "node", "billing", "fs/disk", "vmem", "pages")


def parse(text: str) -> dict[str, int]:
    """ "cpu=2,mem=1G" -> {"cpu": 2, "mem": 1024}; "" -> {}. Raises BadValue."""
    amounts: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, equals, number = part.partition("=")
        if not name or not equals:
            raise BadValue(f"not a TRES: {part}")
        if name == "mem":
            amounts[name] = _memory(number)
        elif number.isascii() and number.isdigit():
            amounts[name] = int(number)
        else:
            raise BadValue(f"not a number of {name}: {number}")
    return amounts


def _memory(text: str) -> int:
    """MiB of what `mem_text` wrote, which has halves of larger units: "1.50G" is 1536. Raises BadValue."""
    whole, half, unit = text.partition(".50")
    if half and unit in ("G", "T") and whole.isascii() and whole.isdigit():
        return mebibytes(whole + unit) + mebibytes("1" + unit) // 2
    return mebibytes(text)


def show(amounts: Mapping[str, int]) -> str:
    """What `parse` reads. Amounts of nothing are left out, as Slurm does."""
    names = [name for name in ORDER if name in amounts] + [name for name in amounts if name not in ORDER]
    return ",".join(f"{name}={_amount(name, amounts[name])}" for name in names if amounts[name])


def _amount(name: str, number: int) -> str:
    return mem_text(number) if name == "mem" else str(number)


def add(total: dict[str, int], more: Mapping[str, int], sign: int = 1) -> None:
    """Add `more` to `total` in place; sign -1 takes it away again."""
    for name, number in more.items():
        total[name] = total.get(name, 0) + sign * number
