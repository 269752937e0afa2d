"""Mail about a job, through the site's MailProg: `MailProg -s SUBJECT USER`, as slurmctld calls it.

An array is one story, told when its first task begins and when its last has ended, unless ARRAY_TASKS is asked for.
STAGE_OUT never comes: there are no burst buffers. Source: slurm.conf(5), MailProg; sbatch(1), --mail-type; subjects and
environment as observed on 26.05.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from slurm_compat.controller import sluid, views
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.machine import OOM_STATUS
from slurm_compat.controller.table import Table
from slurm_compat.core import states
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.timefmt import duration

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"[\w#=][^|<>`\"\\/;()\x00-\x1f\x7f]*")
TIMEOUT = 30.0  # seconds that a MailProg may take

WORDS = {
    "BEGIN": "Began",
    "END": "Ended",
    "FAIL": "Failed",
    "REQUEUE": "Requeued",
    "INVALID_DEPEND": "Invalid dependency",
    "TIME_LIMIT_50": "Reached 50% of time limit",
    "TIME_LIMIT_80": "Reached 80% of time limit",
    "TIME_LIMIT_90": "Reached 90% of time limit",
    "TIME_LIMIT": "Reached time limit",
}
# which part of a job's time must have passed, percent
LIMITS = {"TIME_LIMIT_50": 50, "TIME_LIMIT_80": 80, "TIME_LIMIT_90": 90, "TIME_LIMIT": 100}
OVER = ("END", "FAIL")
NOT_FAILED = (states.COMPLETED, states.CANCELLED, states.PREEMPTED)
YEAR = 365 * 24 * 3600  # seconds; when a job without a limit ends, as jobs are told
KILLED = 9  # the wait status that a cancelled task counts with in its array's summary


def kind_of_end(job: Job, failed: bool) -> str:
    """END or FAIL, "" when neither is wanted. Whoever did not ask for FAIL hears of a failure as of an end."""
    types = job.request.mail_type
    if failed and "FAIL" in types:
        return "FAIL"
    return "END" if "END" in types else ""


def each_task(job: Job) -> bool:
    """Whether the job is told of by itself: no array's, or its tasks are."""
    return not job.array_job_id or "ARRAY_TASKS" in job.request.mail_type


def failed(job: Job) -> bool:
    return job.state not in NOT_FAILED


def decided(job: Job, kind: str, table: Table) -> tuple[str, list[Job]]:
    """The kind of mail that this is worth, "" for none, and the tasks of the array that it tells of as one."""
    if each_task(job):
        if kind in OVER:
            return kind_of_end(job, failed(job)), []
        return (kind if kind in job.request.mail_type else ""), []
    if kind == "BEGIN":
        return (kind if kind in job.request.mail_type and _first(job, table) else ""), [job]
    if kind not in OVER:
        return (kind if kind in job.request.mail_type else ""), [job]
    if not _last(job, table):
        return "", []
    tasks = [job, *(task for task in table.family(job.array_job_id) if task.job_id != job.job_id)]
    if any(not task.is_final for task in tasks):
        return "", []
    return kind_of_end(job, any(failed(task) for task in tasks)), tasks


def _first(job: Job, table: Table) -> bool:
    others = (task for task in table.family(job.array_job_id) if task.job_id != job.job_id)
    return not any(task.start_time and task.state != states.CANCELLED for task in others)


def _last(job: Job, table: Table) -> bool:
    """What can be known without a look at each of a million tasks; True: it may be the last."""
    record = table.record_of(job.array_job_id)
    if record is not None and record.job_id != job.job_id and not record.is_final:
        return False
    return table.active.get(job.array_job_id, set()) <= {job.job_id}


def subject(job: Job, kind: str, now: int, tasks: Sequence[Job] = ()) -> str:
    """`tasks`: of an array that is told of as one."""
    # a line break in a name must not begin a header of the mail
    name = "".join(letter if letter.isprintable() else " " for letter in job.name)
    words = f"Name={name} {WORDS[kind]}"
    if tasks:
        head = f"Slurm Array Summary Job_id={job.array_job_id}_* ({job.array_job_id}) {words}"
        return head + _summary(tasks) if kind in OVER else head
    if job.array_job_id:
        head = f"Slurm Array Task Job_id={job.array_job_id}_{job.array_task_id} ({job.job_id}) {words}"
    else:
        head = f"Slurm Job_id={job.job_id} {words}"
    if kind == "BEGIN":
        return head + f", Queued time {duration(max(0, job.start_time - job.submit_time))}"
    if kind == "INVALID_DEPEND":
        return head
    head += f", Run time {duration(_ran(job, now))}"
    if kind not in OVER:
        return head
    status = _own_status(job)
    return head + f", {job.state}" + ("" if status & 0x7F else f", ExitCode {status >> 8}")


def _own_status(job: Job) -> int:
    """When slurmctld mails, the script of a job that it ended itself has not told its status yet."""
    if job.state in (states.DEADLINE, states.NODE_FAIL):
        return 1
    return 0 if job.state in (states.CANCELLED, states.TIMEOUT, states.PREEMPTED) else job.exit_code


def _ran(job: Job, now: int) -> int:
    return max(0, (job.end_time or now) - job.start_time) if job.start_time else 0


def _status(job: Job) -> int:
    return KILLED if job.state == states.CANCELLED else job.exit_code


def _summary(tasks: Sequence[Job]) -> str:
    statuses = [_status(task) for task in tasks]
    signals = [status & 0x7F for status in statuses if status & 0x7F and status & 0x7F != OOM_STATUS]
    if signals:
        return f", Mixed, MaxSignal [{max(signals)}]"
    codes = [status >> 8 for status in statuses]
    low, high = min(codes), max(codes)
    word = "COMPLETED" if not high else "FAILED" if low else "Mixed"
    return f", {word}, ExitCode [{low}-{high}]"


def message(
    job: Job, kind: str, conf: ClusterConf, now: int, tasks: Sequence[Job] = (), end_time: int = 0
) -> dict[str, Any]:
    """{to, subject, environment} of a mail. `end_time`: when the time of a running job is over, 0: never."""
    to = job.request.mail_user or job.user_name
    if conf.mail_domain and "@" not in to:
        to += "@" + conf.mail_domain
    values = _environment(job, kind, conf, now, tasks, end_time)
    environment = {name: str(value) for name, value in values.items() if value is not None}
    return {"to": to, "subject": subject(job, kind, now, tasks), "environment": environment}


def _environment(
    job: Job, kind: str, conf: ClusterConf, now: int, tasks: Sequence[Job], end_time: int
) -> dict[str, object]:
    request = job.request
    values: dict[str, object] = {
        "SLURM_CLUSTER_NAME": conf.cluster_name,
        "SLURM_JOBID": job.job_id,
        "SLURM_JOB_ID": job.job_id,
        "SLURM_JOB_ACCOUNT": job.account,
        "SLURM_JOB_END_TIME": job.end_time or end_time or (job.start_time and job.start_time + YEAR),
        "SLURM_JOB_EXCLUSIVE": views.EXCLUSIVE.get(request.exclusive, "NO"),
        "SLURM_JOB_OVERSUBSCRIBE": views.shared(job),
        "SLURM_JOB_GID": job.group_id,
        "SLURM_JOB_GROUP": job.group_name,
        "SLURM_JOB_UID": job.user_id,
        "SLURM_JOB_USER": job.user_name,
        "SLURM_JOB_NAME": job.name,
        "SLURM_JOB_MAIL_TYPE": WORDS[kind],
        "SLURM_JOB_NODELIST": job.nodes or "(null)",
        "SLURM_JOB_NUM_NODES": job.node_count or None,
        "SLURM_JOB_PARTITION": job.partition,
        "SLURM_JOB_QOS": job.qos,
        "SLURM_JOB_RESTART_COUNT": job.restart_cnt,
        "SLURM_JOB_SLUID": sluid.text(job.db_index),
        "SLURM_JOB_START_TIME": job.start_time,
        "SLURM_JOB_STATE": job.state,
        "SLURM_JOB_STDIN": request.standard_input or (None if job.crontab_spec else "/dev/null"),
        "SLURM_JOB_STDOUT": request.standard_output or ("slurm-%A_%a.out" if job.array_job_id else "slurm-%j.out"),
        "SLURM_JOB_STDERR": request.standard_error or None,
        "SLURM_JOB_WORK_DIR": request.current_working_directory,
    }
    if kind == "BEGIN" and not tasks:
        values["SLURM_JOB_QUEUED_TIME"] = duration(max(0, job.start_time - job.submit_time))
    elif kind not in ("BEGIN", "INVALID_DEPEND"):
        values["SLURM_JOB_RUN_TIME"] = duration(_ran(job, now))
    if kind in OVER:
        status = _own_status(job)
        codes = [_status(task) >> 8 for task in tasks] or [status >> 8]
        values["SLURM_JOB_EXIT_CODE"] = status
        values["SLURM_JOB_EXIT_CODE2"] = f"{status >> 8}:{status & 0x7F}"
        values["SLURM_JOB_DERIVED_EC"] = job.derived_exit_code
        values["SLURM_JOB_EXIT_CODE_MAX"] = max(codes)
        values["SLURM_JOB_EXIT_CODE_MIN"] = min(codes) if tasks else None
    if job.array_job_id and job.array_task_id is not None:
        values["SLURM_ARRAY_JOB_ID"] = job.array_job_id
        values["SLURM_ARRAY_TASK_ID"] = job.array_task_id
        values["SLURM_ARRAY_TASK_COUNT"] = job.array_task_count
        values["SLURM_ARRAY_TASK_MIN"] = job.array_task_min
        values["SLURM_ARRAY_TASK_MAX"] = job.array_task_max
        values["SLURM_ARRAY_TASK_STEP"] = job.array_task_step
    if job.het_job_id:
        values["SLURM_HET_JOB_ID"] = job.het_job_id
        values["SLURM_HET_JOB_OFFSET"] = job.het_offset
    return values


def sendable(prog: str) -> bool:
    return bool(prog) and os.access(prog, os.X_OK)


def is_address(to: str) -> bool:
    """Whether all of it is people. What mail programs take for a command (`|…`), a file (`/…`, `+…`) or an option gets
    no mail: MailProg runs as our own user."""
    people = [word for word in re.split(r"[,\s]+", to) if word]
    return bool(people) and all(_ADDRESS.fullmatch(word) for word in people)


async def send(prog: str, data: dict[str, Any]) -> None:
    """A mail that can't be sent is not worth holding anything up for."""
    if not is_address(data["to"]):
        log.info("no mail to %.200r: that is no address", data["to"])
        return
    with contextlib.suppress(OSError, ValueError, asyncio.TimeoutError):
        process = await asyncio.create_subprocess_exec(
            prog, "-s", data["subject"], data["to"], umask=0o022,
            env=data["environment"] | {"PATH": "/usr/bin:/bin"},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await asyncio.wait_for(process.wait(), TIMEOUT)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
