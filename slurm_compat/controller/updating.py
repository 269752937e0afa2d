"""scontrol update job: which keys may be changed, when, and by whom. Each row is one key.

A pending job's request is made anew with the changes and checked as a submission is, so that every number that follows
from it stays right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller import changing, crontabs, dependencies, launching, reserved
from slurm_compat.controller.authorization import require_owner
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.nodes import looked_at
from slurm_compat.controller.submission import Caller, check
from slurm_compat.controller.targets import find
from slurm_compat.controller.textlengths import check_changes, check_numbers
from slurm_compat.core import errors
from slurm_compat.core.errors import BAD_ARGUMENT, SlurmError
from slurm_compat.core.model import UNLIMITED, Depend, JobRequest
from slurm_compat.core.states import PENDING
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

Setter = Callable[["Controller", Caller, Job, Any], None]

_REQUEST_TYPES = {field.name: field.type for field in msgspec.structs.fields(JobRequest)}


def update(
    controller: Controller, caller: Caller, targets: list[str], changes: dict[str, Any], change: Change
) -> list[list[Any]]:
    def act(job: Job) -> None:
        if of_arrays_only and not whole.intersection((job.array_job_id, 0 if job.array_job_id else job.job_id)):
            raise SlurmError(errors.NOT_SUPPORTED, notes=["Update of ArrayTaskThrottle is only allowed on ArrayJobId"])
        one(controller, caller, job, changes, change)

    change.then.append(controller.reordering.soon)
    if "top" in changes:
        return top(controller, caller, targets, change)
    whole = {int(target) for target in targets if target.isdigit()}
    steps = [target for target in targets if "." in target]
    jobs = [target for target in targets if target not in steps]
    of_arrays_only = bool(changes.keys() & {"array_max_tasks", "array_task_throttle"})
    refused = changing.each_target(controller, caller, jobs, change, act, errors.USER_ID_MISSING)
    for target in steps:
        try:
            _step(controller, caller, target, changes, change)
        except SlurmError as problem:
            refused.append([target, problem.number, problem.text])
    return refused


def _step(controller: Controller, caller: Caller, target: str, changes: dict[str, Any], change: Change) -> None:
    """Of a step the time limit can be changed."""
    found = find(controller.table, target)
    if set(changes) != {"time_limit"}:
        raise SlurmError(errors.NOT_SUPPORTED)
    for job in found.jobs:
        require_owner(caller, job, errors.USER_ID_MISSING)
        step = controller.table.steps.get(job.db_index, {}).get(found.step)
        if step is None or step.end_time:
            raise SlurmError(errors.INVALID_JOB_ID)
        step.time_limit = _limit(changes["time_limit"], step.time_limit)
        controller.table.put_step(change, step)
        controller.steps.keep_limit(step)


def _limit(value: Any, now: int) -> int:
    """Minutes; "+5" and "-10" count from what the limit is."""
    try:
        if isinstance(value, str) and value[:1] in ("+", "-"):
            if now == UNLIMITED or now + int(value) < 0:
                raise SlurmError(errors.INVALID_TIME_LIMIT)
            return now + int(value)
        return int(value)
    except ValueError:
        raise SlurmError(errors.INVALID_TIME_LIMIT) from None


def one(controller: Controller, caller: Caller, job: Job, changes: dict[str, Any], change: Change) -> None:
    """Apply what may be applied. What the request says goes first: a new partition's limit is the one that counts."""
    if job.is_final:
        raise SlurmError(errors.JOB_FINISHED)
    crontabs.refuse(job)
    check_changes(changes)
    job = copy.copy(job)
    problem: SlurmError | None = None
    request_changes: dict[str, Any] = {}
    setters: list[tuple[Setter, Any]] = []
    for name, value in _in_fields(changes).items():
        try:
            setter = SETTERS.get(name)
            if setter is not None:
                setters.append((setter, value))
            elif name in _REFUSED:
                raise SlurmError(*_REFUSED[name])
            elif name == "deadline" and int(value) < controller.now():
                raise SlurmError(errors.INVALID_TIME_VALUE)
            elif name == "account" and not value:
                raise SlurmError(errors.INVALID_ACCOUNT)
            elif job.state != PENDING and name in _SAME_IS_FINE and value == _present(job, name):
                continue
            elif name in _REQUEST_TYPES and name not in _SAID_ONCE:
                if name == "reservation":
                    _reservation_there(controller, job, value)
                _allowed(caller, job, name)
                request_changes[name] = _typed(name, value)
            else:
                raise SlurmError(errors.NOT_SUPPORTED)
        except SlurmError as trouble:
            problem = problem or trouble
    try:
        if request_changes:
            job = _with_request(controller, caller, job, request_changes, change)
        for setter, value in setters:
            setter(controller, caller, job, value)
    except SlurmError as trouble:
        problem = problem or trouble
    check_numbers(job)
    controller.readiness.changed(job, change, "update", ",".join(changes))
    if problem is not None:
        raise problem


def _in_fields(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes by names of the request: what scontrol gives as ranges is a least and a most there."""
    found: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "nodes_range":
            found["minimum_nodes"], found["maximum_nodes"] = value
        elif name == "minimum_cpus":
            found["tasks"] = value[0]  # each task has its CPUs: so many CPUs are so many tasks
        elif name == "switches":
            found["required_switches"], found["wait_for_switch"] = value
        elif name == "switch_wait":
            found["wait_for_switch"] = value
        elif name == "mcs_label":
            continue  # there is no MCS plugin: Slurm takes the label and shows none
        elif name == "gpus":
            found["gpus"] = str(value).removeprefix("gres/").removeprefix("gpu").lstrip(":")
        elif name == "memory_per_node":
            found |= {"memory_per_node": value, "memory_per_cpu": None, "memory_per_gpu": None}
        elif name == "memory_per_cpu":
            found |= {"memory_per_cpu": value, "memory_per_node": None, "memory_per_gpu": None}
        else:
            found[name] = value
    return found


def _present(job: Job, name: str) -> Any:
    return job.request.licenses if name == "licenses" else getattr(job, name)


def _reservation_there(controller: Controller, job: Job, value: Any) -> None:
    """Whether there is such a reservation, and for this job, is told before whether it can be changed."""
    cluster = controller.cluster
    who = reserved.who_of(cluster, job.user_name, job.account, job.qos, job.partition)
    reserved.check_access(cluster, str(value), who, job.user_id == 0)


def _allowed(caller: Caller, job: Job, name: str) -> None:
    late = job.state != PENDING and name not in _WHILE_RUNNING
    if late and name in ("licenses", "reboot"):
        raise SlurmError(errors.ACCESS_DENIED)
    if late and name in ("memory_per_node", "memory_per_cpu", "memory_per_gpu"):
        raise SlurmError(errors.INVALID_TASK_MEMORY)
    if not late and name in _OPERATORS_ONLY and not caller.operator and not (name == "deadline" and job.is_running):
        raise SlurmError(errors.ACCESS_DENIED)
    if late:
        # the count of nodes of a running job can't be changed here; the rest is no longer pending
        raise SlurmError(errors.NOT_SUPPORTED if name in ("minimum_nodes", "maximum_nodes") else errors.JOB_NOT_PENDING)


def _typed(name: str, value: Any) -> Any:
    try:
        return msgspec.convert(value, _REQUEST_TYPES[name])
    except msgspec.ValidationError as problem:
        raise SlurmError(BAD_ARGUMENT, f"{name}: {problem}") from None


def _with_request(controller: Controller, caller: Caller, job: Job, changes: dict[str, Any], change: Change) -> Job:
    request = msgspec.structs.replace(job.request, **changes)
    if job.state != PENDING or not changes.keys() & _SHAPING:
        _plain(job, request, changes)
        job.request = request
        return job
    owner = controller.roles.caller(controller.people.person(job.user_id, job.group_id))
    owner = owner._replace(operator=owner.operator or caller.operator, admin=owner.admin or caller.admin)
    accepted = check(
        _as_is(request, job, changes), owner, controller.cluster, controller.now(), controller.usage, new=False
    )
    job = copy.copy(controller.handover.take_back(job, change, "updated"))
    job.request = request
    job.shape = accepted.shape if job.hold else looked_at(accepted.shape, job.request)
    job.partition = accepted.partition
    job.account, job.qos, job.association_id = accepted.account, accepted.qos, accepted.association_id
    job.tres_req_str = accepted.tres_req_str
    if "time_limit" in changes or "partition" in changes:
        job.time_limit = accepted.time_limit if changes.get("time_limit") is not None else job.time_limit
    if "dependency" in changes:
        _refuse_circle(controller, job, accepted.dependency)
        controller.watchers.remove(job)
        job.dependency, job.dependency_any = accepted.dependency, accepted.dependency_any
    if "begin_time" in changes:
        job.begin_time = accepted.begin_time if accepted.begin_time > controller.now() else 0
        job.eligible_time = accepted.begin_time
    if "time_minimum" in changes:
        job.time_minimum = accepted.time_minimum or 0
    if "nice" in changes:
        job.nice = accepted.nice
    if "reservation" in changes:
        job.reason, job.description = "None", ""
    _plain(job, request, changes)
    if not job.hold:
        job.priority = controller.priority(job)
    return job


def _refuse_circle(controller: Controller, job: Job, terms: list[Depend]) -> None:
    if any(term.job_id in (job.job_id, job.array_job_id or job.job_id) for term in terms):
        raise SlurmError(errors.DEPENDENCY)
    if dependencies.closes_a_circle(job, terms, controller.table):
        raise SlurmError(errors.CIRCULAR_DEPENDENCY)


def _as_is(request: JobRequest, job: Job, changes: dict[str, Any]) -> JobRequest:
    """For the check: what was decided before and is not changed now is said outright, and an array counts once.

    As one of a held job: no node that could take it is no reason to refuse the change, it is one to wait.
    """
    said: dict[str, Any] = {"array": "", "hold": True}
    if "partition" not in changes:
        said["partition"] = job.partition
    if "account" not in changes:
        said["account"] = job.account
    if "qos" not in changes:
        said["qos"] = job.qos if "account" not in changes else request.qos
    if "dependency" not in changes:
        said["dependency"] = ""
    if "begin_time" not in changes:
        said["begin_time"] = 0
    return msgspec.structs.replace(request, **said)


def _plain(job: Job, request: JobRequest, changes: dict[str, Any]) -> None:
    """Fields that the job keeps beside the request."""
    for name in ("name", "comment", "admin_comment", "extra", "deadline"):
        if name in changes:
            setattr(job, name, changes[name])
    if "requeue" in changes:
        job.requeue = bool(request.requeue)


# keys of the request that change what the job takes or when it may run: checked as a submission is
_SHAPING = frozenset(
    {
        "account", "partition", "qos", "reservation", "begin_time", "time_limit", "time_minimum", "dependency", "nice",
        "minimum_nodes", "maximum_nodes", "tasks", "cpus_per_task", "tasks_per_node", "tasks_per_socket",
        "tasks_per_core", "minimum_cpus_per_node", "sockets_per_node", "cores_per_socket", "threads_per_core",
        "memory_per_node", "memory_per_cpu", "memory_per_gpu", "temporary_disk_per_node", "exclusive", "oversubscribe",
        "required_nodes", "excluded_nodes", "constraints", "prefer", "licenses", "gres", "gpus", "gpus_per_node",
        "gpus_per_task", "gpus_per_socket", "cpus_per_gpu", "tres_per_task", "contiguous", "overcommit",
    }
)  # fmt: skip
_WHILE_RUNNING = frozenset(
    {
        "comment", "admin_comment", "extra", "name", "requeue", "mail_type", "mail_user", "nice", "deadline",
        "time_minimum", "required_switches", "wait_for_switch", "delay_boot",
    }
)  # fmt: skip
# of a running job what is so already may be said again
_SAME_IS_FINE = frozenset({"partition", "qos", "licenses"})
# what only a submission says: whose job it is, and what the script is started with
_SAID_ONCE = frozenset(
    {
        "user_id", "group_id", "het_components", "array", "batch", "argv", "submit_line", "container", "container_id",
        "export", "get_user_env", "umask", "rlimits", "allocating_node", "allocating_sid",
    }
)  # fmt: skip
_OPERATORS_ONLY = frozenset(
    {"admin_comment", "deadline", "oversubscribe", "contiguous", "exclusive", "priority", "reboot"}
)
# what Slurm refuses everybody, as this cluster is: no burst buffers, no federation, no nodes with special cores
_REFUSED: dict[str, tuple[int, str]] = {
    "burst_buffer": (errors.NOT_SUPPORTED, ""),
    "clusters": (0xFFFFFFFF, "Unspecified error"),
    "cluster_features": (0xFFFFFFFF, "Unspecified error"),
    "core_specification": (errors.ACCESS_DENIED, ""),
    "thread_specification": (errors.ACCESS_DENIED, ""),
    "tres_bind": (errors.INVALID_TRES, ""),
}


def _set_priority(controller: Controller, caller: Caller, job: Job, value: Any) -> None:
    if job.hold and value:
        raise SlurmError(errors.JOB_HELD)
    if not caller.operator and job.state != PENDING:
        raise SlurmError(errors.PRIORITY_RESET)
    if not caller.operator and int(value) > job.priority:
        raise SlurmError(errors.ACCESS_DENIED)
    job.fixed_priority = job.priority = int(value)


def _set_time_limit(controller: Controller, caller: Caller, job: Job, value: Any) -> None:
    limit = _limit(value, job.time_limit)
    if not caller.operator and limit > job.time_limit and not _partition_lets(controller, job, limit):
        raise SlurmError(errors.ACCESS_DENIED)
    job.time_limit, job.limit_ends_at = limit, 0
    job.request = msgspec.structs.replace(job.request, time_limit=limit)
    if job.is_running:
        controller.agents.tell(job.job_id, {"msg": "update", "end_time": launching.end_time(job)})


def _partition_lets(controller: Controller, job: Job, limit: int) -> bool:
    """A pending job may be given as much time as its partitions allow."""
    parts = [controller.cluster.partitions.get(name) for name in job.partition.split(",")]
    return job.state == PENDING and all(part is not None and limit <= part.max_time for part in parts)


def _set_end_time(controller: Controller, caller: Caller, job: Job, value: Any) -> None:
    if not job.is_running:
        raise SlurmError(errors.JOB_NOT_RUNNING)
    minutes = max(1, -(-(int(value) - job.start_time) // 60))
    _set_time_limit(controller, caller, job, minutes)
    # to the second, though the time limit counts in minutes; what it was suspended until now is not added to it
    job.limit_ends_at = int(value) - job.suspended_for
    controller.agents.tell(job.job_id, {"msg": "update", "end_time": launching.end_time(job)})


def _set_nice(controller: Controller, caller: Caller, job: Job, value: Any) -> None:
    nice = int(value)
    if nice < 0 and not caller.operator:
        raise SlurmError(errors.ACCESS_DENIED)
    job.nice = nice
    if job.state == PENDING and not job.hold:
        job.priority = controller.priority(job)


def _set_throttle(controller: Controller, caller: Caller, job: Job, value: Any) -> None:
    """Of the array as a whole: `update` sees to it that no task alone is meant."""
    if not job.array_job_id:
        raise SlurmError(errors.NOT_SUPPORTED)
    job.array_max_tasks = max(0, int(value))
    if job.reason == "JobArrayTaskLimit":
        job.reason = "None"
    controller.handover.offer_array(job.array_job_id)


def top(controller: Controller, caller: Caller, targets: list[str], change: Change) -> list[list[Any]]:
    """These jobs before the user's other pending ones, in the order given, by nice values that lower the others.

    For operators, as without enable_user_top.
    """
    if not caller.operator:  # whether there is such a job is not told then
        return [[target, errors.ACCESS_DENIED, errors.TEXT[errors.ACCESS_DENIED]] for target in targets]
    refused: list[list[Any]] = []
    chosen: list[Job] = []
    for target in targets:
        try:
            chosen += _to_the_top(controller, target)
        except SlurmError as problem:
            refused.append([target, problem.number, problem.text])
    for user in {job.user_id for job in chosen}:
        first = [job for job in chosen if job.user_id == user]
        pending = [controller.table.jobs[job_id] for job_id in controller.table.pending]
        others = [job for job in pending if job.user_id == user and not job.hold and job not in first]
        highest = max(job.priority for job in first + others)
        lowest = max(highest - len(first), 1)
        wanted = [(job, max(highest - place, 1)) for place, job in enumerate(first)]
        wanted += [(job, lowest) for job in others if job.priority > lowest]
        for job, priority in wanted:
            job = copy.copy(job)
            job.nice += job.priority - priority
            job.priority = controller.priority(job)
            controller.readiness.changed(job, change, "top")
    return refused


def _to_the_top(controller: Controller, target: str) -> list[Job]:
    found = find(controller.table, target)
    jobs = [*found.jobs, *([found.record] if found.record is not None else [])]
    if not any(job.state == PENDING for job in jobs):
        raise SlurmError(errors.JOB_NOT_PENDING)
    if any(job.hold for job in jobs):
        raise SlurmError(errors.JOB_HELD)
    return [job for job in jobs if job.state == PENDING]


def _reset_accrual(controller: Controller, caller: Caller, job: Job, value: Any) -> None:
    """Its age counts from now."""
    if job.state != PENDING:
        raise SlurmError(errors.JOB_NOT_PENDING)
    if job.accrue_time:
        job.accrue_time = int(controller.now())
    if not job.hold:
        job.priority = controller.priority(job)


def _set_site_factor(controller: Controller, caller: Caller, job: Job, value: Any) -> None:
    raise SlurmError(errors.NOT_SUPPORTED if caller.operator else errors.ACCESS_DENIED)


SETTERS: dict[str, Setter] = {
    "reset_accrue_time": _reset_accrual,
    "site_factor": _set_site_factor,
    "priority": _set_priority,
    "time_limit": _set_time_limit,
    "end_time": _set_end_time,
    "nice": _set_nice,
    "array_max_tasks": _set_throttle,
    "array_task_throttle": _set_throttle,
}
