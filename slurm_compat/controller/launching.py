"""What an agent is told to launch: the packet of the agent link (docs/architecture.md)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import het
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.views import job_fields
from slurm_compat.core.hostlist import expand
from slurm_compat.core.model import UNLIMITED

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

# What of a request no JOB_FIELD shows and an agent needs: name in the packet, field
_REQUEST = (
    ("acctg_freq", "account_gather_frequency"),
    ("cpu_freq", "cpu_freq"),
    ("oom_kill_step", "oom_kill_step"),
    ("export", "export"),
    ("get_user_env", "get_user_env"),
    ("wait_all_nodes", "wait_all_nodes"),
    ("gpu_bind", "gpu_bind"),
    ("distribution", "distribution"),
    ("hint", "hint"),
)


def end_time(job: Job) -> int:
    """When the job's time is over, 0: never. Time spent suspended doesn't count; a reservation's end does not wait."""
    own = _limit_end(job)
    return min(own or job.resv_ends_at, job.resv_ends_at) if job.resv_ends_at else own


def over_time_limit(controller: Controller, job: Job) -> int:
    """Minutes that a job may go on past its limit: its partition's, else the cluster's."""
    part = controller.cluster.partitions.get(job.partition)
    own = part.over_time_limit if part is not None else None
    return controller.conf.over_time_limit if own is None else own


def _limit_end(job: Job) -> int:
    if job.limit_ends_at and job.start_time:
        return job.limit_ends_at + job.suspended_for
    if job.time_limit == UNLIMITED or not job.start_time:
        return 0
    return job.start_time + job.time_limit * 60 + job.suspended_for


def packet(controller: Controller, job: Job, script: bytes, environment: bytes) -> dict[str, Any]:
    """`launch` for every agent of the job, but for its rank."""
    conf = controller.conf
    request = job.request
    person = controller.people.person(job.user_id, job.group_id)
    shape_tasks = [member.tasks for member in job.shape.members]
    nodes = []
    for index, (name, cpus, _, memory, gres) in enumerate(job.resources):
        nodes.append(
            {
                "name": name,
                "address": job.addresses[index] if index < len(job.addresses) else "",
                "cpus": cpus,
                "memory": memory,
                "tasks": shape_tasks[index] if index < len(shape_tasks) else 1,
                "gpus": gpu_ids(gres),
            }
        )
    return {
        "msg": "launch",
        "job": job_fields(controller, job),
        "user": {
            "name": job.user_name,
            "uid": job.user_id,
            "gid": job.group_id,
            "group": job.group_name,
            "groups": person.groups,
            "home": person.home,
            "shell": person.shell,
        },
        "role": "batch" if job.has_script else "allocation",
        "nodes": nodes,
        "het": het.groups(controller, job),
        "array": {
            "count": job.array_task_count,
            "min": job.array_task_min,
            "max": job.array_task_max,
            "step": job.array_task_step,
        },
        "script": base64.b64encode(script).decode(),
        "argv": request.argv[1:],
        "environment": base64.b64encode(environment).decode(),
        "request": {name: getattr(request, field) for name, field in _REQUEST},
        "umask": request.umask,
        "rlimits": request.rlimits,
        "open_mode": request.open_mode,
        "time_limit": job.time_limit,
        "end_time": end_time(job),
        "signal": {
            "number": request.kill_warning_signal,
            "delay": request.kill_warning_delay,
            "batch": "BATCH_JOB" in request.kill_warning_flags,
        },
        "config": {
            "cluster_name": conf.cluster_name,
            "slurm_conf": controller.cluster_file,
            "kill_wait": conf.kill_wait,
            "tmp_fs": conf.tmp_fs,
            "contain": contains(conf.prolog_flags),
            "sample_interval": conf.job_acct_gather_frequency,
            "controller_host": controller.hostname,
            "over_time_limit": over_time_limit(controller, job),
            "task_plugin": conf.task_plugin,
        },
    }


def contains(prolog_flags: str) -> bool:
    return any(flag.strip().lower() == "contain" for flag in prolog_flags.split(","))


def gpu_ids(gres: str) -> list[str]:
    """Indices of 'gpu:a100:2(IDX:0-1)': ['0', '1']."""
    found: list[str] = []
    for part in gres.split("gpu")[1:]:
        _, marker, rest = part.partition("(IDX:")
        if marker:
            indices = rest.partition(")")[0]
            if indices:
                found.extend(expand(f"[{indices}]"))
    return found
