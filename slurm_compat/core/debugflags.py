"""The levels and flags of SlurmctldDebug and DebugFlags: their names, as they are read and as they are shown."""

from __future__ import annotations

from slurm_compat.core.errors import BadValue

LEVELS = ("quiet", "fatal", "error", "info", "verbose", "debug", "debug2", "debug3", "debug4", "debug5")
# in the order in which they are shown
FLAGS = (
    "Accrue", "JobAccountGather", "Agent", "AuditRPCs", "AuditTLS", "Backfill", "BackfillMap", "BurstBuffer", "Cgroup",
    "CpuFrequency", "CPU_Bind", "Data", "DBD_Agent", "Dependency", "Energy", "Federation", "Gang", "GLOB_SILENCE",
    "Gres", "Hetjob", "Interconnect", "JobComp", "Namespace", "NodeFeatures", "License", "Metrics", "MPI", "Network",
    "NetworkRaw", "NO_CONF_HASH", "Power", "Priority", "Profile", "Protocol", "Reservation", "Route", "Script",
    "SelectType", "Steps", "Switch", "thread", "TLS", "TraceJobs", "Triggers", "ConMgr",
)  # fmt: skip
ALSO = {"netraw": "NetworkRaw", "workq": "thread", "elasticsearch": "JobComp"}  # other spellings
_BY_NAME = {flag.lower(): flag for flag in FLAGS} | ALSO


def level(text: str) -> str:
    """A level by its name in any case, or its number; "" is 0. Raises BadValue for anything else."""
    if text.lower() in LEVELS:
        return text.lower()
    if text and not (text.isascii() and text.isdigit() and int(text) < len(LEVELS)):
        raise BadValue(text)
    return LEVELS[int(text or 0)]


def flags(text: str) -> list[str]:
    """Flags by comma, in any case. Raises BadValue with the one that is none."""
    found = []
    for word in filter(None, text.split(",")):
        if word.lower() not in _BY_NAME:
            raise BadValue(word)
        found.append(_BY_NAME[word.lower()])
    return found
