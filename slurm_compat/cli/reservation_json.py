"""The document of reservations that scontrol show reservation prints, in the shape of the published schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.jsondoc import Form
from slurm_compat.core.fields import RESERVATION_FIELDS

FIELDS = list(RESERVATION_FIELDS)
PURGE_AFTER = 300  # seconds; what Slurm has where no PURGE_COMP was asked for
# the order of the documents is another than that of the text
FLAGS = (
    "MAINT", "DAILY", "WEEKLY", "IGNORE_JOBS", "ANY_NODES", "STATIC", "PART_NODES", "OVERLAP", "SPEC_NODES",
    "TIME_FLOAT", "REPLACE", "ALL_NODES", "PURGE_COMP", "WEEKDAY", "WEEKEND", "FLEX", "NO_HOLD_JOBS_AFTER_END",
    "MAGNETIC", "HOURLY", "USER_DELETE", "FORCE_START", "REPLACE_DOWN",
)  # fmt: skip


def _place(flag: str) -> int:
    return FLAGS.index(flag) if flag in FLAGS else len(FLAGS)


def reservation(row: Mapping[str, Any], form: Form) -> dict[str, Any]:
    return {
        "accounts": row["accounts"],
        "burst_buffer": row["burst_buffer"],
        "core_count": row["core_count"],
        "core_specializations": [{"node": node, "core": _ranges(cores)} for node, cores in row["cores"]],
        "end_time": jsondoc.number(row["end_time"]),
        "features": row["features"],
        "flags": sorted((flag.partition("=")[0] for flag in row["flags"]), key=_place),
        "groups": row["groups"],
        "licenses": row["licenses"],
        "max_start_delay": row["max_start_delay"],
        "name": row["name"],
        "node_count": row["node_count"],
        "node_list": row["nodes"],
        "partition": row["partition"],
        "purge_completed": {"time": jsondoc.number(row["purge_after"] or PURGE_AFTER)},
        "start_time": jsondoc.number(row["start_time"]),
        **({"watts": {}} if form.upto("v0.0.44") else {}),
        "tres": row["tres"],
        "users": row["users"],
    }


def _ranges(cores: Iterable[int]) -> str:
    from slurm_compat.core.cpulist import cpu_text

    return cpu_text(list(cores))
