"""scontrol's smaller verbs: error texts, completing jobs, jobs whose nodes are ready."""

from __future__ import annotations

import os

from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import errors, jobid, timefmt
from slurm_compat.core.errors import BadValue, SlurmError


def errnumstr(session: Session, words: list[str]) -> bool:
    try:
        number = int(words[0])
    except ValueError:
        return session.fail("numeric arguments required for keyword:errnumstr")
    if not number:
        session.ctx.out("No error")
        return True
    session.ctx.out(errors.TEXT.get(number) or (os.strerror(number) if number < 200 else f"Unknown error {number}"))
    return True


def completing(session: Session, words: list[str]) -> bool:
    rows = session.rows("jobs", ["job_id", "nodes", "state_flags", "end_time", "partition"], states=["COMPLETING"])
    for row in rows:
        ended = timefmt.clock(row["end_time"], session.time_format)
        session.ctx.out(
            f"JobId={row['job_id']} EndTime={ended} CompletingTime=00:00:00 Nodes(COMPLETING)={row['nodes']}"
        )
    return True


def wait_job(session: Session, words: list[str]) -> bool:
    """Nodes of a running job are ready here: pods start when they are."""
    try:
        job_id = jobid.parse(words[0]).job_id
    except BadValue:
        session.ctx.stderr.write(f"Invalid job_id {words[0]}")
        return False
    try:
        rows = session.rows("jobs", ["job_state"], job_ids=[job_id])
    except SlurmError:
        return session.fail(f"scontrol: Problem running job {words[0]}")
    if any(row["job_state"] != "RUNNING" for row in rows):
        return session.fail(f"scontrol: Job {words[0]} no longer running")
    return session.fail(f"scontrol: Nodes are ready for job {words[0]}") or True
