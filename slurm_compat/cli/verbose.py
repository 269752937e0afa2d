"""What -v prints first: the options that were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurm_compat.core.optionrows import OF
from slurm_compat.core.options import NONE
from slurm_compat.core.timefmt import clock, limit_text

if TYPE_CHECKING:
    from slurm_compat.cli.batchopts import Parsed

RULE = f"{'-' * 20} {'-' * 20}"


def options_given(command: str, parsed: Parsed) -> list[str]:
    rows = {row.name: row for row in OF[command]}
    lines = ["defined options", RULE]
    for name in sorted(parsed.given):
        plain = rows[name].argument == NONE
        lines.append(f"{name:<20}: {_shown(parsed, name, 'set' if plain else parsed.texts.get(name) or 'set')}")
    return [*lines, RULE, "end of defined options"]


def _shown(parsed: Parsed, name: str, text: str) -> str:
    request = parsed.request
    if name == "verbose":
        return str(parsed.attrs["verbose"])
    if name in ("time", "time-min"):
        limit = request.time_limit if name == "time" else request.time_minimum
        return limit_text(limit or 0)
    if name in ("begin", "deadline"):
        return clock(request.begin_time if name == "begin" else request.deadline)
    if name == "nodes":
        least, most = request.minimum_nodes, request.maximum_nodes
        return str(least) if least == most else f"{least}-{most}"
    if name in ("output", "error", "input", "chdir") and not text.startswith("/"):
        return f"{request.current_working_directory}/{text}"
    if name == "nice":
        return str(request.nice)
    return text
