"""squeue --json and --yaml: the jobs that squeue's filters leave, in the shape of the published schema.

A row a key, in the order of the real documents: the fields of a job it is made of, and how. Observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from slurm_compat.cli import jsondoc
from slurm_compat.cli.context import Context
from slurm_compat.core import hostlist, patterns
from slurm_compat.core.cpulist import cpu_numbers
from slurm_compat.core.model import UNLIMITED

Job = Mapping[str, Any]

NO_THREADS = 32766  # thread_spec of a job without one


class Key(NamedTuple):
    name: str
    needs: tuple[str, ...]
    value: Callable[[Job], Any]


def same(name: str, field: str = "") -> Key:
    field = field or name
    return Key(name, (field,), lambda job: job[field])


def set_number(name: str, field: str = "") -> Key:
    """A number that is always there: 0 when nothing is known."""
    field = field or name
    return Key(name, (field,), lambda job: jsondoc.number(job[field] or 0))


def number(name: str, field: str = "") -> Key:
    """A number that may be missing or unlimited."""
    field = field or name
    return Key(name, (field,), lambda job: jsondoc.number(job[field]))


def plain(name: str, field: str = "") -> Key:
    """A bare number, 0 when there is none."""
    field = field or name
    return Key(name, (field,), lambda job: job[field] or 0)


def always(name: str, value: Any) -> Key:
    return Key(name, (), lambda job: value)


def _task_string(job: Job) -> str:
    text = str(job["array_task_string"])
    return f"{text}%{job['array_max_tasks']}" if text and job["array_max_tasks"] else text


def _tasks_per(field: str) -> Callable[[Job], dict[str, Any]]:
    """Tasks a core or a socket: unlimited unless asked for."""
    return lambda job: jsondoc.number(job[field] if job[field] else UNLIMITED)


def _billable(job: Job) -> dict[str, Any]:
    found = dict(part.partition("=")[::2] for part in str(job["tres_alloc_str"]).split(",") if part)
    return (
        jsondoc.number(float(found["billing"]))
        if "billing" in found
        else {"set": False, "infinite": False, "number": 0.0}
    )


def _flags(job: Job) -> list[str]:
    """Of the flags of the published list those that follow from what is known of the job."""
    rows = (
        ("EXACT_TASK_COUNT_REQUESTED", job["tasks_given"]),
        ("EXACT_CPU_COUNT_REQUESTED", job["cpus_per_task_given"]),
        ("SPREAD_JOB", job["spread_job"]),
        ("JOB_WAS_RUNNING", bool(job["nodes"])),
    )
    return [name for name, holds in rows if holds]


def _shared(job: Job) -> list[str]:
    if job["shared"] == "YES":
        return ["oversubscribe"]
    return {"NODE": ["none"], "USER": ["user"], "MCS": ["mcs"], "TOPO": ["topo"]}.get(job["exclusive"], [])


def _resources(job: Job) -> dict[str, Any] | None:
    entries = job["job_resources"]
    if not entries or job["job_state"] == "PENDING":
        return None
    return {
        "select_type": ["CR_CORE_MEMORY"],
        "nodes": {
            "count": len(entries),
            "select_type": ["ONE_ROW"],
            "list": hostlist.compress([entry[0] for entry in entries]),
            "whole": job["exclusive"] == "NODE",
            "allocation": [_node(place, *entry[:4]) for place, entry in enumerate(entries)],
        },
        "cpus": sum(entry[1] for entry in entries),
        "threads_per_core": jsondoc.number(job["threads_per_core"]),
    }


def _node(place: int, name: str, cpus: int, ids: str, memory_mib: int) -> dict[str, Any]:
    cores = [{"index": index, "status": ["ALLOCATED"]} for index in cpu_numbers(ids)]
    return {
        "index": place,
        "name": name,
        "cpus": {"count": cpus, "used": 0},
        "memory": {"used": 0, "allocated": memory_mib},
        "sockets": [{"index": 0, "cores": cores}],
    }


def _step_id(job: Job) -> dict[str, Any]:
    return {
        "sluid": job["sluid"],
        "job_id": jsondoc.number(job["job_id"]),
        "step_het_component": jsondoc.number(None),
        "step_id": "entire",
    }


def _given(field: str) -> Callable[[Job], str]:
    """A file's name as it was given, patterns and all; Slurm's default where none was."""
    defaults = {"standard_input": "/dev/null", "standard_error": ""}

    def text(job: Job) -> str:
        if not job["batch_flag"]:
            return ""
        array = patterns.DEFAULT_ARRAY_OUTPUT if job["array_job_id"] else patterns.DEFAULT_OUTPUT
        return str(job[f"{field}_given"] or defaults.get(field, array))

    return text


def _max_nodes(job: Job) -> dict[str, Any]:
    """What --nodes or the tasks allow a pending job; a running one has its nodes."""
    return jsondoc.number(job["max_nodes"] if job["job_state"] == "PENDING" else 0)


def _state(job: Job) -> list[str]:
    return [job["job_state"], *job["state_flags"]]


def _mail_user(job: Job) -> str:
    return str(job["mail_user"] or job["user_name"])


KEYS: tuple[Key, ...] = (
    same("account"),
    set_number("accrue_time"),
    same("admin_comment"),
    same("allocating_node"),
    set_number("array_job_id"),
    number("array_task_id"),
    set_number("array_max_tasks"),
    Key("array_task_string", ("array_task_string", "array_max_tasks"), _task_string),
    same("association_id"),
    same("batch_features"),
    same("batch_flag"),
    same("batch_host"),
    Key("flags", ("tasks_given", "cpus_per_task_given", "spread_job", "nodes"), _flags),
    same("burst_buffer"),
    always("burst_buffer_state", ""),
    same("cluster"),
    same("cluster_features"),
    same("command"),
    same("comment"),
    same("container"),
    same("container_id"),
    always("container_type", ""),
    same("contiguous"),
    plain("core_spec"),
    always("thread_spec", NO_THREADS),
    number("cores_per_socket"),
    Key("billable_tres", ("tres_alloc_str",), _billable),
    set_number("cpus_per_task"),
    always("cpu_frequency_minimum", jsondoc.number(None)),
    always("cpu_frequency_maximum", jsondoc.number(None)),
    always("cpu_frequency_governor", jsondoc.number(None)),
    same("cpus_per_tres"),
    always("cron", ""),
    set_number("deadline"),
    set_number("delay_boot"),
    same("dependency"),
    Key("derived_exit_code", ("derived_exit_code",), lambda job: jsondoc.exit_code(job["derived_exit_code"])),
    set_number("eligible_time"),
    set_number("end_time"),
    same("excluded_nodes"),
    Key("exit_code", ("exit_code",), lambda job: jsondoc.exit_code(job["exit_code"])),
    same("extra"),
    same("failed_node"),
    same("features"),
    always("federation_origin", ""),
    always("federation_siblings_active", ""),
    always("federation_siblings_viable", ""),
    same("gres_detail"),
    same("group_id"),
    same("group_name"),
    set_number("het_job_id"),
    same("het_job_id_set"),
    set_number("het_job_offset"),
    same("job_id"),
    Key("job_resources", ("job_resources", "job_state", "exclusive", "threads_per_core"), _resources),
    always("job_size_str", []),
    Key("job_state", ("job_state", "state_flags"), _state),
    set_number("last_sched_evaluation"),
    same("licenses"),
    same("licenses_allocated"),
    same("mail_type"),
    Key("mail_user", ("mail_user", "user_name"), _mail_user),
    set_number("max_cpus"),
    Key("max_nodes", ("max_nodes", "job_state"), _max_nodes),
    same("mcs_label"),
    same("memory_per_tres"),
    always("memory_update_delay", 0),
    always("memory_update_margin", 0),
    same("name"),
    same("network"),
    same("nodes"),
    same("nice"),
    Key("tasks_per_core", ("tasks_per_core",), _tasks_per("tasks_per_core")),
    always("tasks_per_tres", jsondoc.number(0)),
    set_number("tasks_per_node"),
    Key("tasks_per_socket", ("tasks_per_socket",), _tasks_per("tasks_per_socket")),
    set_number("tasks_per_board"),
    set_number("cpus"),
    set_number("node_count"),
    set_number("tasks"),
    same("partition"),
    same("prefer"),
    number("memory_per_cpu"),
    number("memory_per_node"),
    set_number("minimum_cpus_per_node"),
    set_number("minimum_tmp_disk_per_node"),
    set_number("preempt_time"),
    set_number("preemptable_time"),
    set_number("pre_sus_time"),
    same("hold"),
    set_number("priority"),
    always("priority_by_partition", []),
    Key("profile", ("profile",), lambda job: [job["profile"].upper() or "NOT_SET"]),
    same("qos"),
    same("reboot"),
    same("required_nodes"),
    plain("required_switches", "minimum_switches"),
    same("requeue"),
    set_number("resize_time"),
    same("restart_cnt"),
    same("resv_name"),
    same("scheduled_nodes"),
    plain("segment_size"),
    always("selinux_context", ""),
    Key("shared", ("shared", "exclusive"), _shared),
    Key("step_id", ("sluid", "job_id"), _step_id),
    always("sockets_per_board", 0),
    number("sockets_per_node"),
    set_number("start_time"),
    same("state_description"),
    same("state_reason"),
    Key("standard_input", ("standard_input_given", "batch_flag", "array_job_id"), _given("standard_input")),
    Key("standard_output", ("standard_output_given", "batch_flag", "array_job_id"), _given("standard_output")),
    Key("standard_error", ("standard_error_given", "batch_flag", "array_job_id"), _given("standard_error")),
    same("stdin_expanded", "standard_input"),
    same("stdout_expanded", "standard_output"),
    same("stderr_expanded", "standard_error"),
    set_number("submit_time"),
    same("submit_line"),
    set_number("suspend_time"),
    same("system_comment"),
    number("time_limit"),
    set_number("time_minimum"),
    number("threads_per_core"),
    same("tres_bind"),
    same("tres_freq"),
    same("tres_per_job"),
    same("tres_per_node"),
    same("tres_per_socket"),
    same("tres_per_task"),
    same("tres_req_str"),
    same("tres_alloc_str"),
    same("user_id"),
    same("user_name"),
    plain("maximum_switch_wait_time"),
    same("wckey"),
    same("current_working_directory"),
)

FIELDS = list(dict.fromkeys(name for key in KEYS for name in key.needs))


def print_jobs(ctx: Context, kind: str, parser: str, jobs: Iterable[Job], cluster: str) -> int:
    """One document of these jobs; each has at least FIELDS."""
    code = jsondoc.refusal(ctx, kind, parser)
    if code is not None:
        return code
    rest = jsondoc.document(ctx, "jobs", [], cluster)
    now = jsondoc.number(int(ctx.now()))
    frame = {"jobs": [entry(job) for job in jobs], "last_backfill": now, "last_update": now}
    jsondoc.write(ctx, kind, frame | {name: value for name, value in rest.items() if name != "jobs"})
    return 0


def entry(job: Job) -> dict[str, Any]:
    return {key.name: key.value(job) for key in KEYS}
