"""The flags of a QOS, and which of them can't be kept. Source: sacctmgr(1), Flags of a QOS."""

from __future__ import annotations

from slurm_compat.core.errors import BadValue

# as sacctmgr lists them
ALL = (
    "DenyOnLimit", "EnforceUsageThreshold", "PartitionMinNodes", "PartitionMaxNodes", "PartitionTimeLimit",
    "RequiresReservation", "OverPartQOS", "NoReserve", "NoDecay", "Relative", "UsageFactorSafe",
)  # fmt: skip
# NoReserve changes nothing: no plan of future starts is kept for anybody
_REFUSED = {"relative": "limits are numbers here, not shares of the cluster; give the numbers"}
KNOWN = tuple(sorted(name for name in ALL if name.lower() not in _REFUSED))
_BY_NAME = {name.lower(): name for name in KNOWN}


def spelled(word: str) -> str:
    """A flag as Slurm spells it. Raises BadValue for one that nobody knows or that can't be kept."""
    name = word.strip().lower()
    if name in _REFUSED:
        raise BadValue(f"QOS flag {word} is not supported here: {_REFUSED[name]}")
    if name not in _BY_NAME:
        raise BadValue(f"QOS flag {word} is not known; it may be {', '.join(KNOWN)}")
    return _BY_NAME[name]
