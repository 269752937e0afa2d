"""What a job is billed for: its resources, each weighed by its partition's TRESBillingWeights; else its CPUs.

"CPU=1.0,Mem=0.25G,GRES/gpu=2.0": a memory weight is of a MiB, or of the unit behind it. Source: slurm.conf(5);
observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from slurm_compat.core.errors import BadValue

_WEIGHT = re.compile(r"(-?\d+(?:\.\d*)?|\.\d+)([KMGTP]?)", re.ASCII | re.IGNORECASE)
_MIB = {"K": 1 / 1024, "": 1.0, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}  # of memory
_OTHER = {"": 1.0, "K": 1024.0, "M": 1024.0**2, "G": 1024.0**3, "T": 1024.0**4, "P": 1024.0**5}


@lru_cache(256)
def weights(text: str) -> Mapping[str, float]:
    """By TRES name, of one of it (a MiB of memory). Raises BadValue."""
    found = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        name, equals, number = part.partition("=")
        match = _WEIGHT.fullmatch(number)
        if not name or not equals or match is None:
            raise BadValue(f"TRESBillingWeights: {part} is no weight, as CPU=1.5 or Mem=0.25G")
        name = name.lower()
        units = _MIB if name == "mem" else _OTHER
        found[name] = float(match[1]) / units[match[2].upper()]
    return found


def billed(amounts: Mapping[str, int], text: str) -> int:
    """`amounts` by TRES name, memory in MiB; without weights what has been counted already."""
    if not text:
        return amounts.get("billing", 0)
    return int(sum(amounts.get(name, 0) * weight for name, weight in weights(text).items()))
