"""Rows of jobs and steps: each field of the model as an expression over the record, compiled once for each list asked.

`j` is the job, `r` its request, `s` its shape, `now` the moment, `c` the controller. A query's fields become one Python
function that builds a row, so ten thousand rows cost no lookup by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import dependencies, sluid
from slurm_compat.controller.jobs import Job, Step
from slurm_compat.core import hostlist, patterns
from slurm_compat.core.cpulist import cpu_text
from slurm_compat.core.errors import BadValue
from slurm_compat.core.fields import JOB_FIELDS, STEP_FIELDS
from slurm_compat.core.model import UNLIMITED, JobRequest
from slurm_compat.core.states import PENDING, SUSPENDED

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

Row = list[Any]

MAX_SWITCH_WAIT = 300  # seconds; default of SchedulerParameters' max_switch_wait
YEAR = 365 * 24 * 3600  # the end Slurm shows for a running job without limit, after its start


def run_time(job: Job, now: int) -> int:
    """Seconds run so far, without suspension."""
    if not job.start_time or job.state == PENDING:
        return 0
    if job.state == SUSPENDED:
        return job.pre_sus_time
    return max(0, (job.end_time or now) - job.start_time - job.suspended_for)


def shown_end(job: Job) -> int:
    """The end of a finished job, the expected end of a running one."""
    if job.end_time or not job.start_time:
        return job.end_time
    if job.limit_ends_at:
        return job.limit_ends_at + job.suspended_for
    if job.time_limit == UNLIMITED:
        return job.start_time + YEAR
    return job.start_time + job.time_limit * 60 + job.suspended_for


def array_tasks(job: Job, controller: Controller) -> str:
    return controller.table.tasks_waiting(job) if job.is_array_record else ""


def dependency_text(job: Job, controller: Controller) -> str:
    return dependencies.shown(job.dependency, job.dependency_any, controller.table) if job.dependency else ""


def output_path(job: Job, given: str, default: str) -> str:
    """A file's absolute path with what can be known before the job runs put in."""
    text = given or default
    if not text:
        return ""
    known = {
        "job_id": job.job_id,
        "array_job_id": job.array_job_id,
        "array_task_id": job.array_task_id,
        "user_name": job.user_name,
        "name": job.name,
    }
    expanded = patterns.expand(text, patterns.job_values(known, job.resources[0][0] if job.resources else None))
    return expanded if expanded.startswith("/") else os.path.join(job.request.current_working_directory, expanded)


def standard_output(job: Job) -> str:
    request = job.request
    if not request.batch:
        return ""
    default = patterns.DEFAULT_ARRAY_OUTPUT if job.array_job_id else patterns.DEFAULT_OUTPUT
    return output_path(job, request.standard_output, default)


def command(job: Job) -> str:
    argv = job.request.argv
    if not argv:
        return ""
    path = argv[0] if argv[0].startswith("/") else os.path.join(job.request.current_working_directory, argv[0])
    return os.path.normpath(path)  # what it was given stands in the submit line


@lru_cache(maxsize=1024)
def node_set(text: str) -> str:
    """A list of nodes as it is shown: sorted, each once, in ranges."""
    try:
        return hostlist.compress(hostlist.expand(text))
    except BadValue:
        return text


def shared(job: Job) -> str:
    return "YES" if job.request.oversubscribe else "NO"


def given(request: JobRequest) -> list[str]:
    """What the request named itself, where the cluster would have put in a default."""
    values = (
        ("account", request.account),
        ("partition", request.partition),
        ("qos", request.qos),
        ("wckey", request.wckey),
        ("memory", request.memory_per_node is not None or request.memory_per_cpu is not None),
        ("nodes", request.minimum_nodes is not None),
    )
    return [name for name, value in values if value]


EXCLUSIVE = {"": "NO", "exclusive": "NODE", "user": "USER", "mcs": "MCS", "topo": "TOPO"}


# field: expression
JOB: dict[str, str] = {
    "job_id": "j.job_id",
    "array_job_id": "j.array_job_id",
    "array_task_id": "j.array_task_id",
    "array_task_string": "array_tasks(j, c) if j.array_job_id and j.array_task_id is None else ''",
    "array_max_tasks": "j.array_max_tasks",
    "het_job_id": "j.het_job_id",
    "het_job_offset": "j.het_offset",
    "het_job_id_set": "cpu_text(j.het_ids)",
    "sluid": "sluid.text(j.db_index)",
    "name": "j.name",
    "user_id": "j.user_id",
    "user_name": "j.user_name",
    "group_id": "j.group_id",
    "group_name": "j.group_name",
    "account": "j.account",
    "association_id": "j.association_id",
    "partition": "j.partition",
    "qos": "j.qos",
    "wckey": "r.wckey",
    "comment": "j.comment",
    "admin_comment": "j.admin_comment",
    "system_comment": "j.system_comment",
    "extra": "j.extra",
    "mcs_label": "r.mcs_label",
    "cluster": "c.conf.cluster_name",
    "job_state": "j.state",
    "state_flags": "j.flags",
    "state_reason": "j.reason",
    "state_description": "j.description",
    "exit_code": "j.exit_code",
    "derived_exit_code": "j.derived_exit_code",
    "priority": "j.priority",
    "priority_weight": "j.priority / 4294967295",
    "hold": "j.hold != ''",
    "restart_cnt": "j.restart_cnt",
    "requeue": "j.requeue",
    "batch_flag": "r.batch",
    "reboot": "r.reboot",
    "failed_node": "j.failed_node",
    "submit_time": "j.submit_time",
    "eligible_time": "j.eligible_time",
    "accrue_time": "j.accrue_time",
    "start_time": "j.start_time or c.reasons.starts.get(j.job_id, j.begin_time)",
    "end_time": "shown_end(j)",
    "suspend_time": "j.suspend_time",
    "pre_sus_time": "j.pre_sus_time",
    "preempt_time": "j.preempt_time",
    "preemptable_time": "c.preempting.shown_exempt_until(j)",
    "resize_time": "j.resize_time",
    "last_sched_evaluation": "j.last_sched_evaluation",
    "scheduler": "j.scheduler",
    "deadline": "j.deadline",
    "run_time": "run_time(j, now)",
    "time_limit": "j.time_limit",
    "time_minimum": "j.time_minimum",
    "delay_boot": "r.delay_boot or 0",
    "dependency": "dependency_text(j, c) if j.dependency else ''",
    "begin_time": "r.begin_time",
    "nodes": "j.nodes",
    "batch_host": "j.resources[0][0] if j.resources and r.batch and j.state != 'CANCELLED' else ''",
    "scheduled_nodes": "''",
    "node_count": "j.node_count or s.node_count",
    "max_nodes": "s.max_nodes",
    "cpus": "j.cpus or s.cpus",
    "max_cpus": "0",
    "tasks": "s.tasks",
    "tasks_given": "s.tasks_given or bool(r.tasks_per_node)",
    "cpus_per_task": "s.cpus_per_task",
    "cpus_per_task_given": "s.cpus_per_task_given",
    "tasks_per_node": "s.tasks_per_node",
    "tasks_per_socket": "r.tasks_per_socket",
    "tasks_per_core": "r.tasks_per_core",
    "tasks_per_board": "None",
    "tasks_per_tres": "r.tasks_per_gpu",
    "sockets_per_node": "r.sockets_per_node",
    "cores_per_socket": "r.cores_per_socket",
    "threads_per_core": "r.threads_per_core",
    "core_spec": "r.core_specification",
    "minimum_cpus_per_node": "s.minimum_cpus_per_node",
    "minimum_tmp_disk_per_node": "r.temporary_disk_per_node or 0",
    "memory_per_node": "s.memory_per_node",
    "memory_per_cpu": "s.memory_per_cpu",
    "memory_per_tres": "s.memory_per_tres",
    "tres_req_str": "j.tres_req_str or s.tres_req_str",
    "tres_alloc_str": "j.tres_alloc_str",
    "tres_per_job": "s.tres_per_job",
    "tres_per_node": "s.tres_per_node",
    "tres_per_socket": "s.tres_per_socket",
    "tres_per_task": "s.tres_per_task",
    "tres_bind": "s.tres_bind",
    "tres_freq": "s.tres_freq",
    "cpus_per_tres": "s.cpus_per_tres",
    "gres_detail": "[entry[4] for entry in j.resources if entry[4]]",
    "job_resources": "j.resources",
    "required_nodes": "node_set(r.required_nodes) if r.required_nodes else ''",
    "excluded_nodes": "node_set(r.excluded_nodes) if r.excluded_nodes else ''",
    "features": "r.constraints.replace(',', '&')",
    "prefer": "r.prefer",
    "kill_on_invalid_dependency": "r.kill_on_invalid_dependency",
    "oom_kill_step": "r.oom_kill_step",
    "batch_features": "r.batch_features",
    "cluster_features": "r.cluster_constraint",
    "contiguous": "r.contiguous",
    "spread_job": "r.spread_job",
    "overcommit": "r.overcommit",
    "shared": "shared(j)",
    "exclusive": "EXCLUSIVE.get(r.exclusive, 'NO')",
    "licenses": "r.licenses",
    "licenses_allocated": "j.licenses_allocated",
    "resv_name": "r.reservation",
    "network": "r.network",
    "burst_buffer": "r.burst_buffer",
    "container": "r.container",
    "container_id": "r.container_id",
    "profile": "r.profile",
    "power": "r.power",
    "minimum_switches": "r.required_switches or 0",
    "maximum_switch_wait_time": "min(r.wait_for_switch or 0, MAX_SWITCH_WAIT)",
    "segment_size": "r.segment_size or 0",
    "nice": "j.nice",
    "command": "command(j)",
    "submit_line": "j.submit_line",
    "current_working_directory": "r.current_working_directory",
    "standard_input": "output_path(j, r.standard_input, '/dev/null') if r.batch else ''",
    "standard_output": "standard_output(j)",
    "standard_error": "output_path(j, r.standard_error, '')",
    "standard_input_given": "r.standard_input",
    "standard_output_given": "r.standard_output",
    "standard_error_given": "r.standard_error",
    "allocating_node": "r.allocating_node",
    "allocating_sid": "r.allocating_sid",
    "mail_type": "r.mail_type",
    "mail_user": "r.mail_user",
    "kill_warning_signal": "r.kill_warning_signal",
    "kill_warning_delay": "r.kill_warning_delay",
    "kill_warning_flags": "r.kill_warning_flags",
    "given": "given(r)",
    "cron": "j.cron",
    "crontab_spec": "j.crontab_spec",
}


def step_run_time(step: Step, now: int) -> int:
    return max(0, (step.end_time or now) - step.start_time - step.suspended_for)


def _own(step: Step) -> bool:
    """batch and extern: as steps they show no CPUs or TRES of their own."""
    return step.step_id in ("batch", "extern")


# `p` is the step
STEP: dict[str, str] = {
    "job_id": "j.job_id",
    "array_job_id": "j.array_job_id",
    "array_task_id": "j.array_task_id",
    "step_id": "p.step_id",
    "name": "p.name",
    "user_id": "j.user_id",
    "user_name": "j.user_name",
    "account": "j.account",
    "partition": "j.partition",
    "job_state": "p.state",
    "start_time": "p.start_time",
    "end_time": "p.end_time",
    "run_time": "step_run_time(p, now)",
    "time_limit": "p.time_limit",
    "nodes": "p.nodes",
    "node_count": "p.node_count",
    "cpus": "0 if own(p) else p.cpus",
    "tasks": "p.tasks",
    "tres_alloc_str": "'' if own(p) else p.tres_alloc_str",
    "tres_per_step": "p.tres_per_step",
    "tres_per_node": "p.tres_per_node",
    "distribution": "p.distribution",
    "exit_code": "p.exit_code",
    "submit_line": "p.submit_line",
    "container": "p.container",
    "container_id": "p.container_id",
    "srun_host": "p.srun_host",
    "srun_pid": "p.srun_pid",
    "resv_ports": "p.resv_ports",
    "cpu_freq": "p.cpu_freq",
    "network": "p.network",
    "current_working_directory": "p.current_working_directory",
    "standard_input": "p.standard_input",
    "standard_output": "p.standard_output",
    "standard_error": "p.standard_error",
    "usage": "p.usage",
    "pids": "p.pids",
    "sluid": "sluid.text(j.db_index)",
}

_NAMES: dict[str, Any] = {
    "array_tasks": array_tasks,
    "command": command,
    "cpu_text": cpu_text,
    "dependency_text": dependency_text,
    "EXCLUSIVE": EXCLUSIVE,
    "given": given,
    "MAX_SWITCH_WAIT": MAX_SWITCH_WAIT,
    "node_set": node_set,
    "output_path": output_path,
    "own": _own,
    "run_time": run_time,
    "shared": shared,
    "shown_end": shown_end,
    "sluid": sluid,
    "standard_output": standard_output,
    "step_run_time": step_run_time,
}


class UnknownField(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(f"unknown field {name}")


def compiled(
    head: str, table: dict[str, str], fields: Iterable[str], more: dict[str, Any] | None = None
) -> Callable[..., Row]:
    """`lambda <head>: [expression, …]`. Raises UnknownField; the texts compiled are the tables', never a caller's."""
    expressions = []
    for name in fields:
        if name not in table:
            raise UnknownField(name)
        expressions.append(table[name])
    source = f"lambda {head}: [{', '.join(expressions)}]"
    function: Callable[..., Row] = eval(source, _NAMES | (more or {}))
    return function


@lru_cache(maxsize=256)
def job_row(fields: tuple[str, ...]) -> Callable[..., Row]:
    """f(job, request, shape, now, controller) -> row."""
    return compiled("j, r, s, now, c", JOB, fields)


@lru_cache(maxsize=64)
def step_row(fields: tuple[str, ...]) -> Callable[..., Row]:
    """f(step, job, now, controller) -> row."""
    return compiled("p, j, now, c", STEP, fields)


_ALL_JOB_FIELDS = tuple(JOB_FIELDS)


def job_fields(controller: Controller, job: Job) -> dict[str, Any]:
    """Every JOB_FIELD of a job, for a launch packet or a grant."""
    row = job_row(_ALL_JOB_FIELDS)(job, job.request, job.shape, controller.now(), controller)
    return dict(zip(_ALL_JOB_FIELDS, row, strict=True))


assert set(JOB) == set(JOB_FIELDS), set(JOB) ^ set(JOB_FIELDS)
assert set(STEP) == set(STEP_FIELDS), set(STEP) ^ set(STEP_FIELDS)
