"""Records of steps: made when a job starts or srun asks, changed by what agents tell, ended with their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurm_compat.controller import usages
from slurm_compat.controller.jobs import Job, Step
from slurm_compat.controller.launching import contains
from slurm_compat.controller.machine import OOM_STATUS
from slurm_compat.controller.steps import fold
from slurm_compat.core import states
from slurm_compat.core.states import CANCELLED, COMPLETED, FAILED, OUT_OF_MEMORY, RUNNING, TIMEOUT
from slurm_compat.store.changes import Change

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

SIGTERM = 15


def begin(controller: Controller, job: Job, change: Change) -> None:
    """The steps every job has from its start on: `extern` where PrologFlags says so, `batch` of a batch job."""
    if contains(controller.conf.prolog_flags):
        controller.table.put_step(change, _own_step(job, "extern", len(job.resources), job.cpus, job.tres_alloc_str))
    if job.has_script and job.resources:
        first = job.resources[0]
        parts = controller.cluster.tres_of([first]).split(",")
        tres = ",".join(part for part in parts if not part.startswith("billing="))
        controller.table.put_step(change, _own_step(job, "batch", 1, first[1], tres))


def _own_step(job: Job, step_id: str, nodes: int, cpus: int, tres: str) -> Step:
    return Step(
        job_id=job.job_id,
        db_index=job.db_index,
        step_id=step_id,
        name=step_id,
        start_time=job.start_time,
        nodes=job.resources[0][0] if nodes == 1 and job.resources else job.nodes,
        node_count=nodes,
        cpus=cpus,
        tasks=nodes,
        tres_alloc_str=tres,
        submit_line=job.submit_line if step_id == "batch" else "",
    )


def ended_as(status: int) -> str:
    """A step's state by its exit code, as slurmdbd records it."""
    number = status & 0x7F
    if number == OOM_STATUS:
        return OUT_OF_MEMORY
    if number:
        return CANCELLED
    return FAILED if status else COMPLETED


def end(controller: Controller, step: Step, status: int, at: int, change: Change, state: str = "") -> None:
    step.state = state or ended_as(status)
    step.exit_code = status
    step.end_time = max(at, step.start_time)
    step.pids = []
    controller.table.put_step(change, step)


def batch_started(controller: Controller, db_index: int, node: str, pid: int, change: Change) -> None:
    step = controller.table.steps.get(db_index, {}).get("batch")
    if step is not None and not step.end_time:
        step.pids = [(node, 0, pid)]
        controller.table.put_step(change, step)


def batch_ended(
    controller: Controller, db_index: int, status: int, reason: str, at: int, usage: Any, change: Change
) -> None:
    step = controller.table.steps.get(db_index, {}).get("batch")
    if step is None or step.end_time:
        return
    if isinstance(usage, dict):
        step.usage = usage
    if reason == "OUT OF MEMORY":
        end(controller, step, OOM_STATUS, at, change, OUT_OF_MEMORY)
    elif reason == "TIME LIMIT" and not status:
        end(controller, step, SIGTERM, at, change, CANCELLED)
    else:
        end(controller, step, status, at, change)


def extern_ended(controller: Controller, db_index: int, message: dict[str, Any], change: Change) -> None:
    step = controller.table.steps.get(db_index, {}).get("extern")
    if step is None or step.end_time:
        return
    usage = message.get("usage")
    if isinstance(usage, dict):
        step.usage = usage
    controller.table.put_step(change, step)


def started(controller: Controller, db_index: int, node: str, message: dict[str, Any], change: Change) -> Step | None:
    step = controller.table.steps.get(db_index, {}).get(str(message["step_id"]))
    if step is None:
        return None
    known = {rank for _, rank, _ in step.pids}
    step.pids = step.pids + [(node, int(rank), int(pid)) for rank, pid in message["pids"] if rank not in known]
    controller.table.put_step(change, step)
    return step


def tasks_ended(
    controller: Controller, job: Job, db_index: int, message: dict[str, Any], change: Change
) -> Step | None:
    """Tasks of one node have ended; with the last of all the step has."""
    step = controller.table.steps.get(db_index, {}).get(str(message["step_id"]))
    if step is None or step.end_time:
        return step
    parts = usages.parts_of(message.get("usage"))
    if parts:
        step.usage = usages.fold([step.usage, *parts] if step.usage and step.ended else parts)
    if message.get("cancelled") and step.cancelled_by is None:
        step.cancelled_by = job.user_id  # by srun, which only the job's user can have started
    step.ended = step.ended | {int(rank): int(status) for rank, status in message["tasks"]}
    if len(step.ended) < step.tasks:
        controller.table.put_step(change, step)
        return step
    at = int(message.get("time") or controller.now())
    finish(controller, job, step, fold(step.ended.values()), at, change)
    return step


def finish(controller: Controller, job: Job, step: Step, status: int, at: int, change: Change) -> None:
    """An srun's step is over; the job remembers the worst of its steps."""
    state = TIMEOUT if step.timed_out else CANCELLED if step.cancelled_by is not None else ""
    end(controller, step, status, at, change, state if status else "")
    if status > job.derived_exit_code and job.db_index == step.db_index:
        job.derived_exit_code = status
        controller.put(change, job)


def sampled(controller: Controller, db_index: int, message: dict[str, Any]) -> None:
    """A sample while it runs: kept in memory, for sstat; the end's report is what is stored."""
    step = controller.table.steps.get(db_index, {}).get(str(message["step_id"]))
    usage = usages.fold(usages.parts_of(message.get("usage")) or [{}])
    if step is not None and not step.end_time and usage:
        step.usage = usage


def any_running(controller: Controller, db_index: int) -> bool:
    """Whether a step that srun made still has tasks."""
    return any(
        step.state == RUNNING and step.step_id not in ("batch", "extern")
        for step in controller.table.steps.get(db_index, {}).values()
    )


def close_all(controller: Controller, db_index: int, at: int, change: Change) -> None:
    """The job is over: what no agent reported the end of ends now."""
    for step in list(controller.table.steps.get(db_index, {}).values()):
        if step.end_time:
            continue
        if step.step_id == "extern":
            end(controller, step, 0, at, change, COMPLETED)
        else:
            end(controller, step, step.exit_code, at, change, CANCELLED)


def suspended(controller: Controller, job: Job, running: bool, change: Change) -> None:
    for step in list(controller.table.steps_of(job)):
        if not step.end_time:
            step.state = RUNNING if running else states.SUSPENDED
            controller.table.put_step(change, step)
