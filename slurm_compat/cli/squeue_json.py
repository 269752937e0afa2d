"""squeue --json and --yaml: the jobs that squeue's filters leave, as one document."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_compat.cli import job_json, jsondoc
from slurm_compat.cli.context import Context

FIELDS = job_json.FIELDS


def print_jobs(ctx: Context, kind: str, parser: str, jobs: Iterable[job_json.Job], cluster: str) -> int:
    """One document of these jobs; each has at least FIELDS."""
    form = jsondoc.begin(ctx, kind, parser)
    if isinstance(form, int):
        return form
    now = jsondoc.number(int(ctx.now()))
    rows = list(jobs)
    more = {"last_backfill": now, "last_update": now, "warnings": [] if rows else [job_json.NONE]}
    jsondoc.stream(ctx, form, "jobs", job_json.documents(ctx, rows, form), cluster, more, job_json.EMPTY)
    return 0
