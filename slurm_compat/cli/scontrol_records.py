"""scontrol show, of what the controller keeps a list of: jobs, steps, nodes, partitions, licences."""

from __future__ import annotations

from typing import Any

from slurm_compat.cli import scontrol_show as show
from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import hostlist, jobid, taskids
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.nodestates import FUTURE

ANY_TASK = 1 << 32  # no task's id is above it


def wanted_jobs(session: Session, words: list[str], fields: list[str]) -> list[dict[str, Any]]:
    """Rows of the job or task named, or of all. Raises BadValue for what is no job's id, SlurmError for no job's."""
    job_ids: list[int] = []
    task: jobid.JobExpression | None = None
    if words:
        task = jobid.parse(words[0])
        if task.step or (task.tasks and task.task is None):
            raise BadValue(words[0])  # of tasks one is shown, or all with their array
        job_ids = [task.job_id]
    rows = session.rows("jobs", fields, job_ids=job_ids)
    if task is not None and task.offset is not None:
        rows = [row for row in rows if row["het_job_id"] == task.job_id and row["het_job_offset"] == task.offset]
    return [row for row in rows if _of_task(row, task)] if task is not None and task.tasks else rows


def show_job(session: Session, words: list[str]) -> bool:
    try:
        rows = wanted_jobs(session, words, show.JOB_NEEDS)
    except BadValue:
        if words[0] in ("", "0"):
            return session.fail("Job 0 not found")
        if words[0].isascii() and words[0].isdigit():
            return session.fail("slurm_load_jobs error: Invalid job id specified")
        return session.fail("scontrol_print_job error: Invalid job id specified")
    except SlurmError as problem:
        return session.fail(f"slurm_load_jobs error: {problem.text}")
    if words and not rows:
        return session.fail(f"Job {words[0]} not found")
    for row in rows:
        session.ctx.stdout.write(
            show.record(show.job_lines(row, session.time_format, bool(session.details)), session.one_line)
        )
    if not rows:
        session.say("No jobs in the system")
    return True


def _of_task(row: dict[str, Any], wanted: jobid.JobExpression) -> bool:
    """Whether this row is the task's; of an array's record the task alone is left in it."""
    task = wanted.task
    assert task is not None
    if row["array_task_id"] is not None or not row["array_task_string"]:
        return bool(row["array_task_id"] == task)
    waiting = taskids.parse(row["array_task_string"], ANY_TASK).ranges
    row["array_task_string"] = str(task)
    for field in ("standard_output", "standard_error"):
        if isinstance(row.get(field), str):  # the record has its own number where a task's stands
            row[field] = row[field].replace(str(taskids.NO_TASK), str(task))
    row["one_task"] = True
    return taskids.contains(waiting, task)


def show_step(session: Session, words: list[str]) -> bool:
    job_ids: list[int] = []
    step_id = ""
    if words:
        job, _, step_id = words[0].partition(".")
        try:
            job_ids = [jobid.parse(job).job_id]
        except BadValue:
            return _no_steps(session, words[0], "JobID can not be zero")
        if step_id and not (step_id.isascii() and step_id.isdigit()) and step_id not in jobid.NAMED_STEPS:
            return _no_steps(session, words[0], "StepID includes unexpected non-numeric characters")
    try:
        rows = session.rows("steps", show.STEP_NEEDS, job_ids=job_ids)
    except SlurmError as problem:
        return _no_steps(session, words[0] if words else "(null)", problem.text)
    rows = [row for row in rows if not step_id or row["step_id"] == step_id]
    for row in rows:
        session.ctx.stdout.write(show.record(show.step_lines(row, session.time_format), session.one_line))
    if not rows:
        if words:
            session.say(f"Job step {job}.{step_id} not found")
            return False
        session.say("No job steps in the system")
    return True


def _no_steps(session: Session, text: str, why: str) -> bool:
    session.ctx.error(f"scontrol_print_step: slurm_get_job_steps({text}) failed: {why}")
    return False


def show_node(session: Session, words: list[str]) -> bool:
    if words:
        try:
            wanted = hostlist.expand(words[0])
        except BadValue:
            session.fail(f"unable to parse node list {words[0]}")
            session.ctx.error("hostlist_shift_dims: no hostlist given")
            return False
    else:
        wanted = []
    rows = {row["name"]: row for row in session.rows("nodes", show.NODE_NEEDS)}
    good = True
    for name in wanted or rows:
        row = rows.get(name)
        if row is not None and row["state"] == FUTURE and not session.all:
            if not wanted:
                continue
            row = None
        if row is None:
            session.say(f"Node {name} not found")
            good = False
            continue
        lines = show.node_lines(row, session.time_format, bool(session.details))
        session.ctx.stdout.write(show.record(lines, session.one_line))
    if not rows:
        session.say("No nodes in the system")
    return good


def show_partition(session: Session, words: list[str]) -> bool:
    rows = session.rows("partitions", show.PARTITION_NEEDS)
    wanted = [row for row in rows if not words or row["name"] == words[0]]
    for row in wanted:
        if not row["hidden"] or session.all or words:
            session.ctx.stdout.write(show.record(show.partition_lines(row, session.time_format), session.one_line))
    if words and not wanted:
        session.say(f"Partition {words[0]} not found")
        return False
    if not rows:
        session.say("No partitions in the system")
    return True


def show_license(session: Session, words: list[str]) -> bool:
    rows = session.rows("licenses", show.LICENSE_NEEDS)
    wanted = [row for row in rows if not words or row["name"] == words[0]]
    for row in wanted:
        session.ctx.stdout.write(show.license_text(row, session.one_line))
    if not wanted:
        if words:
            session.ctx.error(f'query "{words[0]}" matched zero licenses.')
            return False
        session.say("No licenses configured in Slurm.")
    return True
