"""Arguments of the calls about jobs: submitting, showing and changing them, and crontabs, which submit."""

from __future__ import annotations

from typing import Any

import msgspec

from slurm_compat.core.callargs import Args, JobId, Targets
from slurm_compat.core.model import JobRequest


class Submit(Args):
    """-> {job_id, messages: [text a user should see]}. The same key again gives the same answer and makes no job."""

    request: JobRequest
    script: bytes  # base64 on the wire
    environment: bytes  # NUL between entries; a leading NAME= entry each
    key: str  # unique a submission, made by the client


class WillRun(Args):
    """-> {job_id, start_time, cpus, nodes (host list), partition, node_count}; refusals as submit's."""

    request: JobRequest


class Allocate(Args):
    """For salloc and srun. Events: submitted{job_id, messages}, pending{reason}, granted{job: {JOB_FIELDS}, environment
    helpers}, revoked{reason, state, exit}, signal{…}. The connection is the allocation's life: closed, the job ends —
    unless `detached` (salloc --no-shell).
    """

    request: JobRequest
    environment: bytes
    key: str
    detached: bool = False


class CompleteAllocation(Args):
    job_id: int
    exit_code: int = 0  # wait status of the command salloc or srun ran


class Jobs(Args):
    """All of them when a filter is empty. One unknown job_id is INVALID_JOB_ID; several unknown are just absent.

    An array's job_id gives its record and all its tasks.
    """

    fields: list[str]
    job_ids: list[int] = []
    user_ids: list[int] = []
    states: list[str] = []  # base states or flags; none: all that squeue can see, finished ones included


class Priorities(Args):
    """Of jobs that wait and could start; all of them without a filter."""

    fields: list[str]
    job_ids: list[int] = []


class Accounting(Args):
    """Finished and unfinished jobs as the records have them; job rows are followed by their steps' rows, in order.

    Filters are ANDed; empty ones match all. `start`/`end` bound by the job's time in one of `states` as sacct(1) says;
    0: open.
    """

    fields: list[str]
    steps: bool = True
    targets: list[str] = []  # 123, 123_4, 123.batch, 123.0
    user_ids: list[int] = []
    accounts: list[str] = []
    names: list[str] = []
    partitions: list[str] = []
    qos: list[str] = []
    states: list[str] = []
    nodes: list[str] = []
    wckeys: list[str] = []
    start: int = 0
    end: int = 0
    duplicates: bool = False
    # of a heterogeneous job: all components whichever is named, only those named, or None: all for its first one's id
    whole_hetjob: bool | None = None


class Cancel(Targets):
    """Without a signal: cancel. With one: deliver it, to steps alone, the batch shell (batch) or both (full).

    `states`: only those jobs of the targets that are in one of these states.
    """

    signal: int | None = None
    batch: bool = False
    full: bool = False
    hurry: bool = False
    cron: bool = False
    states: list[str] = []
    admin_comment: str = ""


class Hold(Targets):
    user_hold: bool = False  # scontrol uhold: the user may release it though an operator held it


class Requeue(Targets):
    hold: bool = False
    special_exit: bool = False
    incomplete: bool = False


class UpdateJob(Targets):
    """`changes`: names of JobRequest fields, and priority, hold, end_time, state and the like, with typed values."""

    changes: dict[str, Any]


class Notify(JobId):
    """scontrol notify: a line for whoever reads the job's error file, or sits before its salloc or srun."""

    text: str


class CronEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    request: JobRequest
    script: bytes  # base64 on the wire
    environment: bytes
    spec: str  # five fields, as core/cron.py shows them
    first: int  # lines of the table, from 0
    last: int


class Crontab(Args):
    """scrontab -l: -> {text: the table with what is disabled in it, None without one}."""

    user_id: int


class UpdateCrontab(Args):
    """A whole new table; None: no table. -> {job_ids}, or {failed: {entry, text, message}} and nothing is changed."""

    user_id: int
    text: str | None
    entries: list[CronEntry] = []
