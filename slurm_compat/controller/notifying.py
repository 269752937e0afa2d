"""scontrol notify: a line for a job's user, where he will see it: the batch script's error file, salloc's or srun's
terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurm_compat.controller.authorization import require_owner
from slurm_compat.core import errors, jobargs
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.states import FINAL, RUNNING

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session


def notify(controller: Controller, session: Session, args: jobargs.Notify) -> dict[str, Any]:
    """Of a job that waits nobody listens unless salloc or srun do: DISABLED. Of a finished one: ALREADY_DONE."""
    job = controller.table.jobs.get(args.job_id)
    if job is None or session.caller is None:
        raise SlurmError(errors.INVALID_JOB_ID)
    require_owner(session.caller, job, errors.USER_ID_MISSING)
    if job.state in FINAL:
        raise SlurmError(errors.ALREADY_DONE)
    if not job.request.batch and controller.listeners.note(job.job_id, args.text):
        return {}
    if not job.request.batch or job.state != RUNNING:
        raise SlurmError(errors.DISABLED)
    first = job.resources[0][0] if job.resources else ""
    controller.agents.tell(job.job_id, {"msg": "notify", "text": args.text}, [first])
    return {}
