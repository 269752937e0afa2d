"""The document of running steps that scontrol show step and squeue --steps print, in the published schema's shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slurm_compat.cli import jsondoc
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.jsondoc import Form
from slurm_compat.core.states import SUSPENDED

FIELDS = [
    "job_id", "array_job_id", "array_task_id", "step_id", "name", "user_name", "partition", "job_state", "start_time",
    "run_time", "time_limit", "nodes", "cpus", "tasks", "tres_alloc_str", "tres_per_step", "tres_per_node",
    "distribution", "submit_line", "container", "container_id", "srun_host", "srun_pid", "resv_ports", "network",
    "standard_input", "standard_output", "standard_error", "sluid",
]  # fmt: skip
EMPTY = frozenset({"stdin_expanded", "stdout_expanded", "stderr_expanded"})
NO_TASK = 0xFFFFFFFE  # of a step whose job is no array's
NONE = jsondoc.warning("Zero steps to dump")
WARNING = jsondoc.warning("Dumping (0xfffffffe) as place holder for null")


def print_steps(ctx: Context, kind: str, parser: str, rows: Iterable[Mapping[str, Any]]) -> int:
    form = jsondoc.begin(ctx, kind, parser)
    if isinstance(form, int):
        return form
    print_form(ctx, form, rows)
    return 0


def print_form(ctx: Context, form: Form, rows: Iterable[Mapping[str, Any]]) -> None:
    cluster = own_cluster(ctx)
    entries = [step(row, cluster, form) for row in rows]
    # the versions that have a number there say so, once for each
    said = not form.complex and not form.upto("v0.0.42")
    warnings = [WARNING for entry in entries if said and entry["array"]["task_id"] == NO_TASK]
    if not entries:
        warnings = [NONE]
    more = {"last_update": jsondoc.number(int(ctx.now())), "warnings": warnings}
    jsondoc.stream(ctx, form, "steps", entries, cluster, more, EMPTY)


def step(row: Mapping[str, Any], cluster: str, form: Form) -> dict[str, Any]:
    internal = row["step_id"] in ("batch", "extern", "interactive")
    frequency = jsondoc.number(0 if internal else None)
    task = row["array_task_id"]
    nothing = None if form.complex else NO_TASK
    newest, files = form.version > "v0.0.44", not form.upto("v0.0.42")
    streams = {"stderr": row["standard_error"], "stdin": row["standard_input"], "stdout": row["standard_output"]}
    return {
        "array": {"job_id": row["array_job_id"], "task_id": nothing if task is None else task},
        "cluster": cluster,
        "container": row["container"],
        "container_id": row["container_id"],
        **({"container_type": ""} if newest else {}),
        "cpu": {"frequency": {"min": frequency, "max": frequency, "governor": frequency}},
        "tres": {
            "per": {
                "cpu": "", "memory": "", "step": row["tres_per_step"], "node": row["tres_per_node"], "socket": "",
                "task": "",
            },
            "allocation": row["tres_alloc_str"], "binding": "", "frequency": "",
        },
        "name": row["name"],
        "network": row["network"],
        "nodes": row["nodes"],
        "number_cpus": row["cpus"],
        "number_tasks": row["tasks"],
        "partition": row["partition"],
        "reserved_ports": row["resv_ports"],
        "time": {
            "running": jsondoc.number(row["run_time"]), "start": jsondoc.number(row["start_time"]),
            "limit": jsondoc.number(row["time_limit"]),
        },
        "srun": {"host": row["srun_host"], "pid": row["srun_pid"]},
        "state": ["RUNNING" if row["job_state"] == SUSPENDED else row["job_state"]],  # its job is stopped, not the step
        **({"sluid": row["sluid"]} if newest else {}),
        "id": f"{row['job_id']}.{row['step_id']}",
        **(streams if files else {}),
        **({key: "" for key in ("stdin_expanded", "stdout_expanded", "stderr_expanded")} if files else {}),
        "submit_line": "" if internal else row["submit_line"],
        "task": {"distribution": row["distribution"] or "Unknown"},
        "user": row["user_name"],
    }  # fmt: skip
