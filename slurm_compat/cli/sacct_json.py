"""sacct --json and --yaml: jobs with their steps, in the shape of the published schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from slurm_compat.cli import jsondoc, sacct_values
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.jsondoc import Form
from slurm_compat.cli.sacct_options import Request
from slurm_compat.cli.usagevalues import cpu_used
from slurm_compat.core import hostlist, units
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.states import SUSPENDED

Record = Mapping[str, Any]
NO_TIME = 0xFFFFFFFE  # what the schema has as the start of a job that never started

FIELDS = (
    "account", "admin_comment", "comment", "system_comment", "allocated_nodes", "array_job_id", "array_max_tasks",
    "array_task_id", "array_task_string", "association_id", "cluster", "features", "container", "sluid",
    "derived_exit_code", "elapsed", "eligible_time", "end_time", "planned", "start_time", "submit_time", "suspended",
    "time_limit", "usage", "exclusive", "exit_code", "job_state", "state_flags", "state_reason", "kill_requid", "extra",
    "failed_node", "scheduler", "group_name", "het_job_id", "het_job_offset", "job_id", "step_id", "name", "licenses",
    "mcs_label", "nodes", "node_count", "shared", "partition", "priority", "hold", "qos", "qos_req", "required_cpus",
    "memory_per_cpu", "memory_per_node", "restart_cnt", "reservation_id", "resv_name", "segment_size",
    "original_sluid", "standard_input", "standard_input_given", "standard_output", "standard_output_given",
    "standard_error", "standard_error_given", "batch_flag", "submit_line", "suspend_time", "tres_alloc_str",
    "tres_req_str", "user_name", "wckey", "current_working_directory", "tasks", "distribution",
)  # fmt: skip

PLAIN = sacct_values.View()
EXPANDED = sacct_values.View(expand_patterns=True)


def print_jobs(ctx: Context, asked: Request, records: Callable[[Iterable[str]], Iterator[Record]]) -> int:
    form = jsondoc.begin(ctx, asked.output, asked.parser, failure=0)
    if isinstance(form, int):
        return form
    numbers = {kind + (f"/{name}" if name else ""): number for number, kind, name in _resource_numbers(ctx)}
    jsondoc.stream(
        ctx, form, "jobs", _with_steps(records(FIELDS), form, numbers, int(ctx.now())), own_cluster(ctx), empty=EMPTY
    )
    return 0


# with the flag complex: "" where other missing texts are null
EMPTY = frozenset({"constraints", "label", "kill_request_user", "script", "stderr", "stdin", "stdout", "wckey"})


def _resource_numbers(ctx: Context) -> Iterator[list[Any]]:
    return ctx.controller.rows("tres", ["id", "type", "name"])


def _with_steps(
    records: Iterator[Record], form: Form, numbers: Mapping[str, int], now: int
) -> Iterator[dict[str, Any]]:
    """A job is ready when the next one comes: its steps are the records behind it."""
    waiting: dict[str, Any] | None = None
    for record in records:
        if not record["step_id"]:
            if waiting is not None:
                yield waiting
            waiting = job(record, form, numbers, now)
        elif waiting is not None:
            waiting["steps"].append(step(record, form, numbers, waiting["time"]["suspended"]))
    if waiting is not None:
        yield waiting


def _suspended(record: Record, now: int) -> int:
    """Seconds, those of a suspension that goes on among them."""
    going_on = now - record["suspend_time"] if record["job_state"] == SUSPENDED and record["suspend_time"] else 0
    return int(record["suspended"]) + going_on


def _eligible(record: Record) -> int:
    """Of tasks that wait in their array's record the accounting has none yet."""
    waiting = record["array_task_string"] and record["array_task_id"] is None and not record["eligible_time"]
    return UNLIMITED if waiting else int(record["eligible_time"])


def job(record: Record, form: Form, numbers: Mapping[str, int], now: int) -> dict[str, Any]:
    newest, new = not form.upto("v0.0.44"), not form.upto("v0.0.42")
    started = sacct_values.has_started(record)
    ended_outside = sacct_values.exit_code(record, PLAIN) == "0:0"
    text = sacct_values
    return {
        "account": record["account"],
        "comment": {
            "administrator": record["admin_comment"], "job": record["comment"], "system": record["system_comment"],
        },
        "allocation_nodes": record["allocated_nodes"],
        "array": {
            "job_id": record["array_job_id"],
            "limits": {"max": {"running": {"tasks": record["array_max_tasks"]}}},
            "task_id": jsondoc.number(record["array_task_id"]),
            "task": _task_bits(record),
        },
        "association": {
            "account": "" if new else record["account"], "cluster": record["cluster"], "partition": "",
            "user": "" if new else record["user_name"], "id": record["association_id"],
        },
        "block": "",
        "cluster": record["cluster"],
        "constraints": record["features"],
        "container": record["container"],
        **({"sluid": record["sluid"]} if newest else {}),
        "derived_exit_code": jsondoc.exit_code(record["derived_exit_code"] or 0),
        "time": {
            "elapsed": record["elapsed"],
            "eligible": _eligible(record),
            "end": record["end_time"] if sacct_values.end(record, PLAIN) != "Unknown" else 0,
            "planned": jsondoc.number(record["planned"]),
            "start": record["start_time"] if started else NO_TIME if sacct_values.has_ended(record) else 0,
            "submission": record["submit_time"],
            "suspended": _suspended(record, now),
            "system": jsondoc.cpu_time(cpu_used(record["usage"], "system_cpu")),
            "limit": jsondoc.number(record["time_limit"]),
            "total": jsondoc.cpu_time(cpu_used(record["usage"], "")),
            "user": jsondoc.cpu_time(cpu_used(record["usage"], "user_cpu")),
        },
        **({"exclusive": text.exclusive(record, PLAIN)} if newest else {}),
        "exit_code": jsondoc.exit_code(0 if ended_outside else record["exit_code"]),
        "extra": record["extra"],
        "failed_node": record["failed_node"],
        "flags": _flags(record["scheduler"]),
        "group": record["group_name"],
        "het": {
            "job_id": record["het_job_id"],
            "job_offset": jsondoc.number(record["het_job_offset"] if record["het_job_id"] else None),
        },
        "job_id": record["job_id"],
        "name": record["name"],
        "licenses": record["licenses"],
        "mcs": {"label": record["mcs_label"]},
        "nodes": text.nodes(record, PLAIN),
        **({"oversubscribe": record["shared"]} if newest else {}),
        "partition": record["partition"],
        "hold": record["priority"] == 0,
        "priority": jsondoc.number(record["priority"]),
        "qos": record["qos"],
        "qosreq": record["qos_req"],
        "required": {
            "CPUs": record["required_cpus"],
            "memory_per_cpu": jsondoc.number(record["memory_per_cpu"]),
            "memory_per_node": jsondoc.number(record["memory_per_node"]),
        },
        "kill_request_user": jsondoc.user_name(record["kill_requid"]),
        "restart_cnt": record["restart_cnt"],
        "reservation": {
            "id": record["reservation_id"] or 0, "name": record["resv_name"],
            **({"requested": record["resv_name"]} if new else {}),
        },
        "script": "",
        **({"segment_size": record["segment_size"] or 0} if new else {}),
        **({"original_sluid": record["original_sluid"]} if newest else {}),
        "stdin_expanded": text.standard_input(record, EXPANDED) or "",
        "stdout_expanded": text.standard_output(record, EXPANDED) or "",
        "stderr_expanded": text.standard_error(record, EXPANDED) or "",
        "stdout": text.standard_output(record, PLAIN) or "",
        "stderr": text.standard_error(record, PLAIN) or "",
        "stdin": text.standard_input(record, PLAIN) or "",
        "state": {"current": [record["job_state"]], "reason": text.reason(record, PLAIN)},
        "steps": [],
        "submit_line": record["submit_line"],
        "tres": {
            "allocated": _tres(record["tres_alloc_str"], numbers, energy=not text.has_ended(record)),
            "requested": _tres(record["tres_req_str"], numbers),
        },
        "used_gres": "",
        "user": record["user_name"],
        "wckey": {"wckey": record["wckey"], "flags": []},
        "working_directory": record["current_working_directory"],
    }  # fmt: skip


_SCHEDULED = {"Main": "STARTED_ON_SCHEDULE", "Backfill": "STARTED_ON_BACKFILL", "Submit": "STARTED_ON_SUBMISSION"}


def _flags(scheduler: str) -> list[str]:
    return [*([_SCHEDULED[scheduler]] if scheduler in _SCHEDULED else []), "START_RECEIVED"]


def _task_bits(record: Record) -> str:
    """The tasks that still wait, as bits of a hexadecimal number."""
    tasks = sacct_values.tasks_of(record)
    return f"0x{sum(1 << task for task in tasks):X}" if tasks else ""


def _tres(text: str, numbers: Mapping[str, int], energy: bool = False) -> list[dict[str, Any]]:
    """Memory is counted in MiB here. `energy`: with what stands for it, unknown, until the job has ended."""
    counts = []
    for pair in filter(None, (text or "").split(",")):
        name, _, count = pair.partition("=")
        mebibytes = units.mebibytes_of(count)
        counts.append((name, int(mebibytes if mebibytes is not None else count)))
    if energy and counts:
        counts.append(("energy", -2))
    return jsondoc.tres(counts, numbers)


STREAMS = ("stderr", "stdin", "stdout", "stderr_expanded", "stdin_expanded", "stdout_expanded")


def step(record: Record, form: Form, numbers: Mapping[str, int], suspended: int) -> dict[str, Any]:
    newest, new = not form.upto("v0.0.44"), not form.upto("v0.0.42")
    usage = record["usage"]
    ended = sacct_values.end(record, PLAIN) != "Unknown"
    internal = record["step_id"] in ("batch", "extern", "interactive")
    frequency = jsondoc.number(0 if internal else None)
    return {
        "time": {
            "elapsed": record["elapsed"],
            "end": jsondoc.number(record["end_time"] if ended else 0),
            "start": jsondoc.number(record["start_time"]),
            "suspended": record["suspended"] if ended else suspended,
            "system": jsondoc.cpu_time(cpu_used(usage, "system_cpu")),
            **({"limit": jsondoc.number(UNLIMITED)} if new else {}),
            "total": jsondoc.cpu_time(cpu_used(usage, "")),
            "user": jsondoc.cpu_time(cpu_used(usage, "user_cpu")),
        },
        "exit_code": jsondoc.exit_code(record["exit_code"] or 0),
        "nodes": {
            "count": record["node_count"], "range": record["nodes"], "list": hostlist.expand(record["nodes"]),
        },
        "tasks": {"count": record["tasks"]},
        **({} if newest else {"pid": ""}),
        "CPU": {
            "requested_frequency": {"min": frequency, "max": frequency},
            "governor": "0" if internal else "Unknown",
        },
        "kill_request_user": jsondoc.user_name(record["kill_requid"]),
        "state": [record["job_state"]],
        "statistics": {"CPU": {"actual_frequency": 0}, "energy": {"consumed": jsondoc.number(0)}},
        "step": {
            "id": f"{record['job_id']}.{record['step_id']}", "name": record["name"],
            **({key: "" for key in STREAMS} if new else {}),
        },
        **({"submit_line": "" if internal else record["submit_line"]} if newest else {}),
        "task": {"distribution": sacct_values.layout(record, PLAIN)},
        "tres": {
            "requested": _usage(usage, _IN, record["tasks"] or 1),
            "consumed": _usage(usage, _OUT, record["tasks"] or 1),
            "allocated": _tres(record["tres_alloc_str"], numbers, energy=record["step_id"] == "extern"),
        },
    }  # fmt: skip


# resource, key of the usage; CPU is counted in milliseconds here
_IN = (("cpu", "cpu"), ("mem", "rss"), ("energy", ""), ("fs/disk", "disk_read"), ("vmem", "vmsize"), ("pages", "pages"))
_OUT = (("energy", ""), ("fs/disk", "disk_write"))


def _usage(usage: Record, resources: Iterable[tuple[str, str]], tasks: int) -> dict[str, Any]:
    if usage.get("max_rss") is None:
        nothing = jsondoc.tres([("energy", 0)])
        return {"max": [], "min": [], "average": nothing, "total": nothing}
    extremes: list[dict[str, Any]] = []
    averages, totals = [], []
    for resource, key in resources:
        extreme = "min" if key == "cpu" else "max"
        scale = 1000 if key == "cpu" else 1
        most = int(usage.get(f"{extreme}_{key}") or 0) // scale if key else 0
        mean = int(usage.get(f"ave_{key}") or 0) // scale if key else 0
        total = cpu_used(usage, "") // scale if key == "cpu" else mean * tasks
        task = usage.get(f"{extreme}_{key}_task") if key else 0
        node = usage.get(f"{extreme}_{key}_node") if key else usage.get("max_rss_node")
        extremes += jsondoc.tres([(resource, most)], task=task or 0, node=node or "")
        averages.append((resource, mean))
        totals.append((resource, total))
    return {"max": extremes, "min": extremes, "average": jsondoc.tres(averages), "total": jsondoc.tres(totals)}
