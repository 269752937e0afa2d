"""The entries of jobs in the documents of squeue and scontrol show job, in the shape of the published schema.

A row a key, in the order of the real documents: the fields of a job it is made of, how, and of which versions of the
schema it is. Observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from slurm_compat.cli import jsondoc
from slurm_compat.cli.allocation_json import in_use, nodes_inside, resources
from slurm_compat.cli.context import Context
from slurm_compat.core import patterns
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.states import CANCELLED, FINAL, PENDING, SUSPENDED

Job = Mapping[str, Any]

NO_THREADS = 32766  # thread_spec of a job without one


class Key(NamedTuple):
    name: str
    needs: tuple[str, ...]
    value: Callable[[Job], Any]
    since: str = ""  # the versions of the schema that have it
    until: str = "v1"


def same(name: str, field: str = "", since: str = "", until: str = "v1") -> Key:
    field = field or name
    return Key(name, (field,), lambda job: job[field], since, until)


def set_number(name: str, field: str = "") -> Key:
    """A number that is always there: 0 when nothing is known."""
    field = field or name
    return Key(name, (field,), lambda job: jsondoc.number(job[field] or 0))


def number(name: str, field: str = "") -> Key:
    """A number that may be missing or unlimited."""
    field = field or name
    return Key(name, (field,), lambda job: jsondoc.number(job[field]))


def plain(name: str, field: str = "", since: str = "") -> Key:
    """A bare number, 0 when there is none."""
    field = field or name
    return Key(name, (field,), lambda job: job[field] or 0, since)


def always(name: str, value: Any, since: str = "", until: str = "v1") -> Key:
    return Key(name, (), lambda job: value, since, until)


def _task_string(job: Job) -> str:
    text = str(job["array_task_string"])
    return f"{text}%{job['array_max_tasks']}" if text and job["array_max_tasks"] else text


def _tasks_per(field: str) -> Callable[[Job], dict[str, Any]]:
    """Tasks a core or a socket: unlimited unless asked for."""
    return lambda job: jsondoc.number(job[field] if job[field] else UNLIMITED)


def _billable(job: Job) -> dict[str, Any]:
    found = dict(part.partition("=")[::2] for part in str(job["tres_alloc_str"]).split(",") if part)
    billed = float(found.get("billing", 0.0))
    return {"set": "billing" in found or bool(job["het_job_id"]), "infinite": False, "number": billed}


def _flags(job: Job) -> list[str]:
    """Of the flags of the published list those that follow from what is known of the job, in the list's order."""
    given, state = job["given"], job["job_state"]
    started = bool(job["nodes"]) and state != PENDING
    over = state in FINAL
    partition = "partition" in given
    alone = "nodes" in given or job["spread_job"] or job["tasks_per_node"]
    rows = (
        ("SPREAD_JOB", job["spread_job"]),
        ("SKIP_TRES_STRING_ACCOUNTING", over and started),
        ("EXACT_TASK_COUNT_REQUESTED", job["tasks_given"] and (job["tasks"] > job["node_count"] or not alone)),
        ("EXACT_CPU_COUNT_REQUESTED", job["cpus_per_task_given"]),
        ("ACCRUE_COUNT_CLEARED", started),
        ("JOB_WAS_RUNNING", started and not over),
        ("CRON_JOB", job["cron"]),
        ("EXACT_MEMORY_REQUESTED", "memory" in given),
        ("USING_DEFAULT_ACCOUNT", "account" not in given),
        ("USING_DEFAULT_PARTITION", not partition),
        ("USING_DEFAULT_QOS", "qos" not in given),
        ("USING_DEFAULT_WCKEY", "wckey" not in given),
        ("DEPENDENT", bool(job["dependency"]) or (state == CANCELLED and not started)),
        ("PARTITION_ASSIGNED", not partition),
        ("BACKFILL_ATTEMPTED", bool(job["last_sched_evaluation"])),
        ("SCHEDULING_ATTEMPTED", state == PENDING and bool(job["last_sched_evaluation"])),
        (IMPLICIT, job["tasks_given"] and not alone and (started or job["max_nodes"] > 0)),
    )
    return [name for name, holds in rows if holds]


IMPLICIT = "JOB_IMPLICIT_MAX_NODES"  # the newest version's alone
FLAGS_NEED = (
    "given", "job_state", "nodes", "tasks_given", "tasks", "node_count", "cpus_per_task_given", "spread_job",
    "tasks_per_node", "cron", "dependency", "last_sched_evaluation", "max_nodes",
)  # fmt: skip


def _shared(job: Job) -> list[str]:
    if job["shared"] == "YES":
        return ["oversubscribe"]
    return {"USER": ["user"], "MCS": ["mcs"], "TOPO": ["topo"]}.get(job["exclusive"], [])


def _shared_once(job: Job) -> list[str]:
    """As the older versions have it: a whole node's job shares with none."""
    return ["none"] if job["exclusive"] == "NODE" else _shared(job)


def _withdrawn(job: Job) -> bool:
    """Cancelled before it started."""
    return bool(job["job_state"] == CANCELLED and not job["nodes"])


def _tasks(job: Job) -> dict[str, Any]:
    return jsondoc.number(None if _withdrawn(job) else job["tasks"] or 0)


def _batch_host(job: Job) -> str:
    first = job["job_resources"][0][0] if job["job_resources"] and job["batch_flag"] else ""
    return str(job["batch_host"] or first)


def _memory_per_node(job: Job) -> dict[str, Any]:
    """Memory of a GPU stands here, too, as long as nothing says how many of them a node is to give."""
    words = str(job["memory_per_tres"]).rpartition(":")[2]
    if job["memory_per_node"] is None and job["memory_per_cpu"] is None and words.isdigit():
        return jsondoc.number(int(words))
    return jsondoc.number(job["memory_per_node"])


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


# of a job that waits for these its nodes have not been counted yet
UNCOUNTED = frozenset({"BeginTime", "Dependency", "DependencyNeverSatisfied", "JobArrayTaskLimit"})


def _max_nodes(job: Job) -> dict[str, Any]:
    """What --nodes or the tasks allow a pending job; a running one has its nodes."""
    waits = job["job_state"] == PENDING or _withdrawn(job)
    counted = waits and job["state_reason"] not in UNCOUNTED
    return jsondoc.number(job["max_nodes"] if counted else 0)


def _held(job: Job) -> bool:
    return bool(job["hold"]) or job["job_state"] == SUSPENDED


def _state(job: Job) -> list[str]:
    return [job["job_state"], *job["state_flags"]]


def _mail_user(job: Job) -> str:
    return str(job["mail_user"] or job["user_name"])


GIVEN_NEED = ("batch_flag", "array_job_id")
RESOURCES_NEED = ("job_resources", "job_state", "exclusive", "threads_per_core")

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
    Key("batch_host", ("batch_host", "job_resources", "batch_flag"), _batch_host),
    Key("flags", FLAGS_NEED, _flags, since="v0.0.45"),
    Key("flags", FLAGS_NEED, lambda job: [flag for flag in _flags(job) if flag != IMPLICIT], until="v0.0.44"),
    same("burst_buffer"),
    always("burst_buffer_state", ""),
    same("cluster"),
    same("cluster_features"),
    same("command"),
    same("comment"),
    same("container"),
    same("container_id"),
    always("container_type", "", since="v0.0.45"),
    same("contiguous"),
    plain("core_spec"),
    always("thread_spec", NO_THREADS),
    number("cores_per_socket"),
    Key("billable_tres", ("tres_alloc_str", "het_job_id"), _billable),
    set_number("cpus_per_task"),
    always("cpu_frequency_minimum", jsondoc.number(None)),
    always("cpu_frequency_maximum", jsondoc.number(None)),
    always("cpu_frequency_governor", jsondoc.number(None)),
    same("cpus_per_tres"),
    Key("cron", ("crontab_spec",), lambda job: job["crontab_spec"]),
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
    Key("job_resources", RESOURCES_NEED, resources, since="v0.0.45"),
    Key("job_resources", RESOURCES_NEED, lambda job: resources(job, "CORE"), until="v0.0.44"),
    always("job_size_str", []),
    Key("job_state", ("job_state", "state_flags"), _state),
    set_number("last_sched_evaluation"),
    same("licenses"),
    same("licenses_allocated", since="v0.0.43"),
    same("mail_type"),
    Key("mail_user", ("mail_user", "user_name"), _mail_user),
    set_number("max_cpus"),
    Key("max_nodes", ("max_nodes", "job_state", "state_reason", "nodes"), _max_nodes),
    same("mcs_label"),
    same("memory_per_tres"),
    always("memory_update_delay", 0, since="v0.0.45"),
    always("memory_update_margin", 0, since="v0.0.45"),
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
    Key(
        "tasks", ("tasks", "job_state", "nodes"), lambda job: jsondoc.number(None if _withdrawn(job) else job["tasks"])
    ),
    same("partition"),
    same("prefer"),
    number("memory_per_cpu"),
    Key("memory_per_node", ("memory_per_node", "memory_per_cpu", "memory_per_tres"), _memory_per_node),
    set_number("minimum_cpus_per_node"),
    set_number("minimum_tmp_disk_per_node"),
    always("power", {"flags": []}, until="v0.0.44"),
    set_number("preempt_time"),
    set_number("preemptable_time"),
    set_number("pre_sus_time"),
    Key("hold", ("hold", "job_state"), _held),
    Key(
        "priority",
        ("priority", "job_state"),
        lambda job: jsondoc.number(0 if job["job_state"] == SUSPENDED else job["priority"]),
    ),
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
    plain("segment_size", since="v0.0.43"),
    always("selinux_context", ""),
    Key("shared", ("shared", "exclusive"), _shared, since="v0.0.45"),
    Key("shared", ("shared", "exclusive"), _shared_once, until="v0.0.44"),
    Key("step_id", ("sluid", "job_id"), _step_id, since="v0.0.44"),
    always("sockets_per_board", 0),
    number("sockets_per_node"),
    set_number("start_time"),
    same("state_description"),
    same("state_reason"),
    same("standard_error", until="v0.0.42"),
    same("standard_input", until="v0.0.42"),
    same("standard_output", until="v0.0.42"),
    Key("standard_input", ("standard_input_given", *GIVEN_NEED), _given("standard_input"), since="v0.0.43"),
    Key("standard_output", ("standard_output_given", *GIVEN_NEED), _given("standard_output"), since="v0.0.43"),
    Key("standard_error", ("standard_error_given", *GIVEN_NEED), _given("standard_error"), since="v0.0.43"),
    same("stdin_expanded", "standard_input", since="v0.0.43"),
    same("stdout_expanded", "standard_output", since="v0.0.43"),
    same("stderr_expanded", "standard_error", since="v0.0.43"),
    set_number("submit_time"),
    same("submit_line", since="v0.0.44"),
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


def keys_of(version: str) -> tuple[Key, ...]:
    return tuple(key for key in KEYS if key.since <= version <= key.until)


NONE = jsondoc.warning("Zero jobs to dump")
EMPTY = frozenset({"stderr_expanded"})  # with the flag complex: "" where other texts that are missing are null


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """As slurmctld's list has them: a task that leaves its array's record takes its place, and the record goes last."""
    jobs = list(jobs)
    left: dict[int, list[int]] = {}
    for job in jobs:
        if job["array_job_id"] and job["array_task_id"] is not None:
            left.setdefault(job["array_job_id"], []).append(job["job_id"])
    places: dict[int, float] = {job["job_id"]: job["job_id"] for job in jobs}
    for array_id, ids in left.items():
        places.update(zip(sorted(ids), [array_id, *(job_id + 0.5 for job_id in sorted(ids))], strict=False))
        if array_id not in ids:
            places[array_id] = max(ids) + 0.5
    return sorted(jobs, key=lambda job: places[job["job_id"]])


def documents(ctx: Context, jobs: Iterable[Job], form: jsondoc.Form) -> Iterator[dict[str, Any]]:
    """The entries, in slurmctld's order."""
    places, used = nodes_inside(ctx), in_use(ctx)
    rows = [(key.name, key.value) for key in keys_of(form.version)]
    for job in in_order(jobs):
        known = {**job, "places": places, "used": used.get(job["job_id"], ())}
        found = {name: value(known) for name, value in rows}
        if form.complex and not found["shared"]:
            found["shared"] = None
        yield found
