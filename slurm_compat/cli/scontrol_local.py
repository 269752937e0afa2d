"""scontrol's smaller verbs: error texts, scripts, completing jobs, and processes on this node."""

from __future__ import annotations

import base64
import os

from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import errors, jobid, timefmt
from slurm_compat.core.errors import BadValue, SlurmError


def errnumstr(session: Session, words: list[str]) -> bool:
    try:
        number = int(words[0])
    except ValueError:
        return session.fail(f"invalid value for keyword:errnumstr:{words[0]}")
    session.ctx.out(errors.TEXT.get(number) or (os.strerror(number) if number < 200 else f"Unknown error {number}"))
    return True


def write(session: Session, words: list[str]) -> bool:
    if words[0].lower() == "config":
        session.ctx.error("write config: the configuration is the cluster file; scontrol show config prints it")
        return False
    if words[0].lower() != "batch_script" or len(words) < 2:
        return session.fail(f"invalid write argument:{words[0]}")
    try:
        job = jobid.parse(words[1]).job_id
        script = session.ctx.controller.call("job_script", job_id=job)["script"]
    except BadValue:
        return session.fail(f"job script retrieval failed: {errors.TEXT[errors.INVALID_JOB_ID]}")
    except SlurmError as problem:
        # Slurm counts this as done: its exit code stays 0
        session.fail(f"job script retrieval failed: {problem.text}")
        return True
    content = base64.b64decode(script)
    if len(words) > 2 and words[2] == "-":
        session.ctx.stdout.write(content.decode("utf-8", "surrogateescape"))
        return True
    path = words[2] if len(words) > 2 else f"slurm-{words[1]}.sh"
    try:
        with open(os.path.join(session.ctx.cwd, path), "wb") as file:
            file.write(content)
    except OSError as problem:
        return session.fail(f"failed to open file `{path}`: {problem.strerror}")
    session.ctx.out(f"batch script for job {words[1]} written to {path}")
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
        rows = session.rows("jobs", ["job_state"], job_ids=[jobid.parse(words[0]).job_id])
    except (BadValue, SlurmError):
        return session.fail(f"scontrol: Problem running job {words[0]}")
    return all(row["job_state"] == "RUNNING" for row in rows)


def listpids(session: Session, words: list[str]) -> bool:
    wanted = words[0].partition(".") if words else ("", "", "")
    here = os.uname().nodename
    fields = ["job_id", "step_id", "pids"]
    rows = [
        row
        for row in session.rows("steps", fields)
        if wanted[0] in ("", str(row["job_id"])) and wanted[2] in ("", row["step_id"])
    ]
    lines = [
        f"{pid:<8} {row['job_id']:<8} {row['step_id']:<8} {rank:<7} {rank}"
        for row in rows
        for node, rank, pid in row["pids"]
        if node == here
    ]
    if not lines:
        return session.fail("No job steps exist on this node.")
    session.ctx.out("PID      JOBID    STEPID   LOCALID GLOBALID")
    for line in lines:
        session.ctx.out(line)
    return True
