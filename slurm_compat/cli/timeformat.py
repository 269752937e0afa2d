"""SLURM_TIME_FORMAT, as the commands heed it that write times in it."""

from __future__ import annotations

from slurm_compat.cli.context import Context
from slurm_compat.core import timefmt


def time_format(ctx: Context) -> str:
    """What it says, with a complaint about one that says nothing; "standard" without it."""
    chosen = ctx.env.get("SLURM_TIME_FORMAT", "")
    if complaint := timefmt.time_format_error(chosen):
        ctx.error(complaint)
    return chosen or "standard"
