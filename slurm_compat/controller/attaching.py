"""sattach's and sbcast's calls: the agents of a job are told to dial who listens to a step or sends a file.

Nothing of the job changes, and nothing is kept: what comes of it, the agents and the command settle between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurm_compat.controller.authorization import require_self
from slurm_compat.controller.jobs import Job, Step
from slurm_compat.controller.server import Session
from slurm_compat.controller.views import shown_end
from slurm_compat.core import errors
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.hostlist import compress
from slurm_compat.core.states import COMPLETING, PENDING
from slurm_compat.core.stepargs import Broadcast, StepAttach

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

MODES = 0o777  # what of a file's mode a broadcast may set


def _job(controller: Controller, session: Session, job_id: int) -> Job:
    """The running job, if it is the caller's. Raises SlurmError."""
    job = controller.table.jobs.get(job_id)
    if job is None:
        raise SlurmError(errors.INVALID_JOB_ID)
    assert session.caller is not None
    require_self(session.caller, job)
    if job.state == PENDING:
        raise SlurmError(errors.JOB_PENDING)
    if job.is_final or COMPLETING in job.flags:
        raise SlurmError(errors.ALREADY_DONE)
    return job


def _step(controller: Controller, job: Job, step_id: str) -> Step:
    step = controller.table.steps.get(job.db_index, {}).get(step_id)
    if step is None or step.end_time:
        raise SlurmError(errors.INVALID_JOB_ID)
    return step


def attach(controller: Controller, session: Session, args: StepAttach) -> dict[str, Any]:
    job = _job(controller, session, args.job_id)
    step = _step(controller, job, args.step_id)
    if args.addresses:
        message = {
            "msg": "attach_step", "step_id": step.step_id, "addresses": args.addresses, "secret": args.secret,
        }  # fmt: skip
        controller.agents.tell(job.job_id, message, [entry[0] for entry in step.layout])
    return {"layout": step.layout, "nodes": step.nodes}


def broadcast(controller: Controller, session: Session, args: Broadcast) -> dict[str, Any]:
    job = _job(controller, session, args.job_id)
    if args.step_id:
        names = [entry[0] for entry in _step(controller, job, args.step_id).layout]
    else:
        names = [entry[0] for entry in job.resources]
    run = controller.agents.runs.get(job.job_id)
    there = {link.node for link in run.links.values()} if run is not None else set()
    reached = [name for name in names if name in there]
    message = {
        "msg": "receive_file",
        "addresses": args.addresses,
        "secret": args.secret,
        "ranks": {name: rank for rank, name in enumerate(names)},
        "path": f"{args.path}.{job.next_step}" if args.by_node else args.path,
        "by_node": args.by_node,
        "force": args.force,
        "mode": args.mode & MODES,
        "times": args.times,
    }
    controller.agents.tell(job.job_id, message, reached)
    return {
        "job_id": job.job_id,
        "step_id": job.next_step,
        "node_list": compress(names),
        "nodes": names,
        "reached": reached,
        "end_time": shown_end(job),
    }
