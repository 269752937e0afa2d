"""seff: how much of its CPUs and memory a job used, from the accounting. Behaves as the tool of Slurm's contribs."""

from __future__ import annotations

import grp
import math
from collections.abc import Iterable, Iterator
from typing import Any

from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import OPERAND, REQUIRED, Opt, parsed
from slurm_compat.core import timefmt, tres
from slurm_compat.core.errors import BadValue, CommandError, SlurmError
from slurm_compat.core.jobid import parse, show

VERSION = "2.1"
OPTIONS = (
    Opt("help", "h", help="show this text, and end"),
    Opt("version", "v", help="show the version, and end"),
    Opt("debug", "d", help="show the figures first as they are"),
    Opt("file", "f", REQUIRED),
)
USAGE = """\
Usage: seff [Options] <Jobid>
       Options:
       -h    Help menu
       -v    Version
       -d    Debug mode: display raw Slurm data"""
FIELDS = [
    "step_id", "job_id", "array_job_id", "array_task_id", "cluster", "user_name", "group_id", "job_state", "exit_code",
    "allocated_cpus", "allocated_nodes", "elapsed", "tres_alloc_str", "tres_req_str", "memory_per_cpu", "usage",
    "tasks",
]  # fmt: skip
PENDING, RUNNING = "PENDING", "RUNNING"
NOT_FOUND, BAD_ARRAY = 2, 3

Record = dict[str, Any]


def main(ctx: Context) -> int:
    words: list[str] = []
    debug = False
    for key, text in parsed("seff", ctx.argv[1:], OPTIONS):
        if key == "v":
            ctx.out(f"seff Version {VERSION}")
            return 1
        if key == "h":
            ctx.out(USAGE)
            return 1
        debug = debug or key == "d"
        if key == OPERAND:
            words.append(text)
    if len(words) != 1:
        ctx.out(USAGE)
        return 1
    job, steps = _found(ctx, words[0])
    if job["array_job_id"] and job["array_task_id"] is None:
        raise CommandError(f"Badly formatted array jobid {job['array_job_id']} with task_id = -2", code=BAD_ARRAY)
    for line in lines(job, steps, debug):
        ctx.out(line)
    return 0


def _found(ctx: Context, text: str) -> tuple[Record, list[Record]]:
    """The first job that the id names, and its steps."""
    try:
        target = show(parse(text)._replace(step=""))
        rows = [
            dict(zip(FIELDS, row, strict=True)) for row in ctx.controller.rows("accounting", FIELDS, targets=[target])
        ]
    except (BadValue, SlurmError) as problem:
        if isinstance(problem, SlurmError) and "job id" not in problem.text.lower():
            raise
        rows = []
    if not rows:
        raise CommandError("Job not found.", code=NOT_FOUND)
    behind = next((place for place, row in enumerate(rows) if place and not row["step_id"]), len(rows))
    return rows[0], rows[1:behind]


def lines(job: Record, steps: Iterable[Record], debug: bool = False) -> Iterator[str]:
    """What is shown of a job and its steps."""
    state, wall = job["job_state"], job["elapsed"]
    cpus, nodes = job["allocated_cpus"] or 1, job["allocated_nodes"] or 1
    code = job["exit_code"] >> 8
    group = _group(job["group_id"])
    array = f"{job['array_job_id']}_{job['array_task_id']}" if job["array_job_id"] else ""
    used, memory, spread = _used(steps)
    per_core = job["memory_per_cpu"] is not None
    if debug:
        asked = _memory(job["tres_req_str"])
        yield (
            "Slurm data: JobID ArrayJobID User Group State Clustername Ncpus Nnodes Ntasks Reqmem PerNode Cput "
            "Walltime Mem ExitStatus"
        )
        yield (
            f"Slurm data: {job['job_id']} {array} {job['user_name']} {group} {state} {job['cluster']} {cpus} {nodes} "
            f"{asked} {int(not per_core)} {used} {wall} {memory:g} {code}"
        )
        yield ""
    yield f"Job ID: {job['job_id']}"
    if array:
        yield f"Array Job ID: {array}"
    yield f"Cluster: {job['cluster']}"
    yield f"User/Group: {job['user_name']}/{group}"
    yield f"State: {state}" + ("" if state in (PENDING, RUNNING) else f" (exit code {code})")
    if cpus == 1:
        yield f"Cores: {cpus}"
    else:
        yield f"Nodes: {nodes}"
        yield f"Cores per node: {cpus // nodes}"
    if state == PENDING:
        yield "Efficiency not available for jobs in the PENDING state."
        return
    yield f"CPU Utilized: {timefmt.duration(used)}"
    yield f"CPU Efficiency: {_percent(used, wall * cpus)} of {timefmt.duration(wall * cpus)} core-walltime"
    yield f"Job Wall-clock time: {timefmt.duration(wall)}"
    yield f"Memory Utilized: {size(memory)}"
    had = _memory(job["tres_alloc_str"])
    part = size(had / cpus) + "/core" if per_core else size(had / nodes) + "/node"
    yield f"Memory Efficiency: {_percent(memory, had)} of {size(had)} ({part})"
    if spread:
        yield (
            f"The task which had the largest memory consumption differs by {spread:.2f}% from the average task max "
            "memory consumption"
        )
    if state == RUNNING:
        yield (
            "WARNING: Efficiency statistics can only be obtained after the job has ended as seff tool is based on the "
            "accounting database data."
        )


def _used(steps: Iterable[Record]) -> tuple[int, float, float]:
    """CPU seconds of all steps; KiB of the step that had most, all its tasks' peaks together; and by how many per cent
    its largest task was above the average, 0 when it was not."""
    cpu, memory, spread = 0, 0.0, 0.0
    for step in steps:
        usage = step["usage"]
        cpu += int(usage.get("user_cpu") or 0) + int(usage.get("system_cpu") or 0)
        average, largest = int(usage.get("ave_rss") or 0), int(usage.get("max_rss") or 0)
        total = average * (step["tasks"] or 1) / 1024
        if total > memory:
            memory = total
            spread = 100 * largest / average if largest > average else 0.0
    return int(cpu / 1e6 + 0.5), memory, spread


def _memory(text: str) -> int:
    """KiB."""
    try:
        return tres.parse(text).get("mem", 0) * 1024
    except BadValue:
        return 0


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0.0:.2f}%"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def size(kib: float) -> str:
    """KiB in the largest unit of which there is one: "1.95 GB"."""
    if not kib:
        return "0.00 MB"
    power = int(math.log(kib) / math.log(1024))
    return f"{kib / 1024**power:.2f} {'KMGTPE'[power]}B"
