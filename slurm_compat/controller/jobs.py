"""A job and a step as the controller keeps them: what was asked, what was decided, what happened.

One `Job` is one record of squeue: a job, a task that left its array's record, or an array's record with the tasks
still in it. Requests are shared between jobs and never changed in place: `msgspec.structs.replace` makes a new one.
Everything here is what the store keeps of a job; links to agents, waiting clients and the like live beside it.

What this module's readers may rely on:
 - a submission to Armada has its own number, `attempt`, from 1 on: a requeue, and a release of a job that was taken
   back from Armada, is another attempt. client_id, SLURM_COMPAT_RESTART and AgentHello.restart carry `attempt`;
   `restart_cnt` is what users see.
 - the controller asks two things of the cluster beyond allocate and release: `Cluster.reserve(job_id, resources,
   licenses)` marks a running job's resources as taken when it is read back after a restart, and
   `pending.blocked(job, cluster, now) -> (state_reason, state_description) | None` says why a ready job may not be
   given to Armada at all just now, whatever else runs or waits there (partition down or over its limits, nodes not
   available, licences taken, a limit reached); None: it is Armada's turn.
 - `request` has no name, submit line or comment: those are the job's own, so that jobs of one script share it.
 - `resources` is what Cluster.allocate answered: [[node, cpus, cpu ids "0-3", MiB, gres text]...] in node order.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from slurm_compat.core import states
from slurm_compat.core.model import Depend, JobRequest
from slurm_compat.translators.shapes import Shape

NO_HOLD, USER_HOLD, ADMIN_HOLD = "", "user", "admin"


class Placement(msgspec.Struct, array_like=True, frozen=True):
    """One of a job's Armada jobs: all three are needed to cancel it."""

    queue: str
    job_set: str
    armada_id: str  # ULID


class Job(msgspec.Struct, kw_only=True, omit_defaults=True):
    job_id: int
    db_index: int  # the SLUID as a number; another one after each requeue
    request: JobRequest
    shape: Shape
    # who
    user_id: int
    user_name: str
    group_id: int
    group_name: str
    # resolved from the request, the association and the partition
    name: str
    account: str = ""
    association_id: int = 0
    partition: str = ""
    qos: str = ""
    time_limit: int = 0  # minutes, UNLIMITED
    time_minimum: int = 0
    nice: int = 0
    requeue: bool = True
    tres_req_str: str = ""
    submit_line: str = ""
    comment: str = ""
    admin_comment: str = ""
    system_comment: str = ""
    extra: str = ""
    script: str = ""  # hash, key of the store's texts; "" when there is none
    environment: str = ""  # hash
    token: str = ""  # what the job's agents show
    # state
    state: str = states.PENDING
    flags: list[str] = []
    reason: str = "None"
    waited_for: str = ""  # the reason it last waited for by its own record: Dependency, BeginTime; sacct keeps it
    description: str = ""  # shown instead of the reason's word, "" when the word does
    hold: str = NO_HOLD
    priority: int = 0  # 0 while held
    fixed_priority: int | None = None  # set by an operator; no longer computed
    exit_code: int = 0  # wait status
    derived_exit_code: int = 0
    restart_cnt: int = 0
    cancelled_by: int | None = None  # uid
    failed_node: str = ""
    dependency: list[Depend] = []  # what is still waited for
    dependency_any: bool = False  # '?': one of them is enough
    # when, epoch seconds, 0 not yet
    submit_time: int = 0
    begin_time: int = 0  # earliest start: --begin, or a requeue's delay
    eligible_time: int = 0
    accrue_time: int = 0
    start_time: int = 0
    end_time: int = 0
    limit_ends_at: int = 0  # when EndTime was set for a running job; 0: when start and time limit say
    suspend_time: int = 0
    pre_sus_time: int = 0  # seconds run before the last suspension
    suspended_for: int = 0  # seconds spent suspended
    preempt_time: int = 0
    resize_time: int = 0
    last_sched_evaluation: int = 0
    scheduler: str = "Main"
    deadline: int = 0
    limit_mailed: int = 0  # percent of its time of which a mail has told
    cron: bool = False  # an entry of its user's crontab: it waits again when it has run
    crontab_spec: str = ""  # when; kept of one that is no entry any more
    # array: the record
    array_job_id: int = 0
    array_ranges: list[tuple[int, int, int]] = []  # first, last, step: the tasks still in the record, ascending
    array_max_tasks: int = 0  # throttle
    array_task_count: int = 0  # of the array as submitted, for SLURM_ARRAY_TASK_COUNT and its like
    array_task_min: int = 0
    array_task_max: int = 0
    array_task_step: int = 0
    # array: a task that has a record of its own
    array_task_id: int | None = None
    # a component of a heterogeneous job
    het_job_id: int = 0  # the first one's id; 0: not of one
    het_offset: int = 0
    het_ids: list[int] = []  # of all components
    folded: bool = False  # handed to Armada, not started: shown as part of the array's record
    # Armada
    gang: str = ""  # names the gang of a heterogeneous job's components
    gang_size: int = 0  # pods of all of them
    attempt: int = 0  # number of the latest submission; 0: never submitted
    staged: bool = False  # handed to Armada (or on the way), and not ended there
    queue: str = ""
    job_set: str = ""
    placements: list[Placement] = []  # by rank; [] until Armada answered
    told_priority: int = 0  # what Armada orders it by, the high first (controller/reordering.py)
    barred: list[str] = []  # nodes that reservations kept it from when it was handed over
    attracted: bool = False  # a MAGNETIC reservation gave it its name
    resv_id: int = 0  # of the reservation it runs, or ran, in
    resv_ends_at: int = 0  # when that ends it; 0: not
    # the allocation
    nodes: str = ""  # compressed; kept when the job has ended
    node_count: int = 0
    cpus: int = 0
    tres_alloc_str: str = ""
    licenses_allocated: str = ""
    resources: list[tuple[str, int, str, int, str]] = []  # node, cpus, cpu ids, MiB, gres
    addresses: list[str] = []  # of the nodes, in the same order
    next_step: int = 0
    detached: bool = False

    @property
    def is_final(self) -> bool:
        return self.state in states.FINAL

    @property
    def has_script(self) -> bool:
        """A batch script runs in it: of a heterogeneous job the first component has it."""
        return self.request.batch and not self.het_offset

    @property
    def is_array_record(self) -> bool:
        return bool(self.array_job_id) and self.array_task_id is None

    @property
    def is_running(self) -> bool:
        return self.state == states.RUNNING or self.state == states.SUSPENDED


# lists of a job are never changed in place, so that all empty ones can be one
_EMPTY: list[Any] = []
_LISTS = ("flags", "dependency", "array_ranges", "het_ids", "placements", "resources", "addresses")
# what jobs of one user or one script have alike
_TEXTS = (
    "user_name", "group_name", "name", "account", "partition", "qos", "tres_req_str", "submit_line", "script",
    "environment", "reason",
)  # fmt: skip


def slim(job: Job) -> Job:
    """The job with what it has like others shared with them: ten thousand that wait are a matter of megabytes."""
    for name in _LISTS:
        if not getattr(job, name):
            setattr(job, name, _EMPTY)
    for name in _TEXTS:
        setattr(job, name, sys.intern(getattr(job, name)))
    return job


class Step(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A step: `batch`, `extern`, `interactive`, or one srun made."""

    job_id: int
    db_index: int  # the job's
    step_id: str
    name: str
    state: str = states.RUNNING
    start_time: int = 0
    end_time: int = 0
    suspended_for: int = 0
    time_limit: int = 0xFFFFFFFF  # minutes
    nodes: str = ""
    node_count: int = 0
    cpus: int = 0
    tasks: int = 0
    layout: list[tuple[str, list[int], int]] = []  # node, ranks, cpus
    resources: list[tuple[str, int, str, int, str]] = []  # node, cpus, cpu ids, MiB, gres: what it holds of the job's
    overlap: bool = False  # holds nothing
    tres_alloc_str: str = ""
    tres_per_step: str = ""
    tres_per_node: str = ""
    distribution: str = ""
    exit_code: int = 0
    cancelled_by: int | None = None
    timed_out: bool = False
    submit_line: str = ""
    srun_host: str = ""
    srun_pid: int = 0
    resv_ports: str = ""
    cpu_freq: str = ""
    network: str = ""
    container: str = ""
    container_id: str = ""
    current_working_directory: str = ""
    standard_input: str = ""
    standard_output: str = ""
    standard_error: str = ""
    usage: dict[str, int | str] = {}
    pids: list[tuple[str, int, int]] = []  # node, rank, pid
    ended: dict[int, int] = {}  # task: wait status
