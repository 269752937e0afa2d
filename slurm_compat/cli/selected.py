"""The one job or step that sattach and sbcast are given, and the running job it is."""

from __future__ import annotations

from slurm_compat.cli.context import Context
from slurm_compat.core import jobid
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.jobid import JobExpression


def selected(command: str, text: str) -> JobExpression:
    """Raises CommandError for what is no job or step, in the real commands' words."""
    try:
        return jobid.parse(text)
    except BadValue:
        digits = text.strip().lstrip("+")
        _, dot, step = text.partition(".")
        if not digits[:1].isdigit() or not int(digits.split(".")[0].split("_")[0].split("+")[0] or 0):
            why = "JobID can not be zero"
        elif dot and not step.isdigit():
            why = "StepID includes unexpected non-numeric characters"
        else:
            why = "JobID includes unexpected characters"
        raise CommandError(f"{command}: fatal: Bad job/step specified: {text}: {why}") from None


def job_id_of(ctx: Context, wanted: JobExpression) -> int:
    """The number of the job that an array's task or a component of a heterogeneous job is; 0 when there is none.

    Raises SlurmError, as the controller does for a number that is no job's.
    """
    fields = ["job_id", "array_task_id", "het_job_id", "het_job_offset"]
    rows = list(ctx.controller.rows("jobs", fields, job_ids=[wanted.job_id]))
    for job_id, task, het_job_id, offset in rows:
        if wanted.offset is not None:
            if het_job_id == wanted.job_id and offset == wanted.offset:
                return int(job_id)
        elif wanted.tasks:
            if task is not None and wanted.has_task(task):
                return int(job_id)
        elif job_id == wanted.job_id:
            return int(job_id)
    return 0 if wanted.tasks or wanted.offset is not None or not rows else int(rows[0][0])
