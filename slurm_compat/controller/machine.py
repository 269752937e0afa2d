"""What an event makes of a job: a pure function and its table. Effects leave as values; final states absorb.

Two sources tell of a running job, its agents and Armada, in any order and more than once. What is already so changes
nothing. `advance` never alters the job it is given.
"""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from slurm_compat.controller.jobs import ADMIN_HOLD, NO_HOLD, USER_HOLD, Job, Placement
from slurm_compat.core import cron, states
from slurm_compat.core.states import (
    CANCELLED,
    COMPLETED,
    COMPLETING,
    FAILED,
    NODE_FAIL,
    OUT_OF_MEMORY,
    PENDING,
    PREEMPTED,
    REQUEUED,
    RUNNING,
    SPECIAL_EXIT,
    SUSPENDED,
    TIMEOUT,
)  # fmt: skip

REQUEUE_DELAY = 120  # seconds until a requeued job may start, as observed on 26.05


class Event(NamedTuple):
    name: str
    at: int  # epoch seconds
    status: int = 0  # wait status
    reason: str = ""
    text: str = ""
    uid: int | None = 0  # None: the controller itself
    flag: bool = False


class Terminate(NamedTuple):
    """Tell the job's agents to end it, with this word in slurmstepd's line."""

    reason: str


class Withdraw(NamedTuple):
    """Take these back from Armada."""

    queue: str
    job_set: str
    placements: tuple[Placement, ...]
    reason: str


class Release(msgspec.Struct, frozen=True):
    """Give back what the job held of the nodes."""


class Ended(msgspec.Struct, frozen=True):
    """The job reached a final state: wake who waits for it, its dependents and its purge."""


class Restarted(NamedTuple):
    """The job waits again after a run that counts as one; `before` is that run's record."""

    before: Job


class Mail(NamedTuple):
    kind: str  # BEGIN END FAIL REQUEUE INVALID_DEPEND; whether an end failed is seen by the job
    of: Job | None = None  # as it was, where it is to be told of another state than the job's now


Effect = Terminate | Withdraw | Release | Ended | Restarted | Mail
Handler = Callable[[Job, Event], list[Effect]]


class BadTransition(Exception):
    """An event that makes no sense now; the caller logs it and goes on."""

    def __init__(self, job: Job, event: Event) -> None:
        super().__init__(f"job {job.job_id} is {job.state} {job.flags}: {event.name} makes no sense")


# how a job's end is recorded, by what the agent or Armada gives as its reason
ENDS = {
    "TIME LIMIT": (TIMEOUT, "TimeLimit"),
    "OUT OF MEMORY": (OUT_OF_MEMORY, "OutOfMemory"),
    "NODE FAILURE": (NODE_FAIL, "NodeDown"),
    "LAUNCH": (FAILED, "JobLaunchFailure"),
    "PREEMPTION": (PREEMPTED, "None"),
}
OOM_STATUS = 125  # the signal part of an OUT_OF_MEMORY job's exit code


def outcome(status: int, reason: str) -> tuple[str, str, str]:
    """State, reason and the reason's longer text of a job whose batch script ended with `status`."""
    if reason in ENDS:
        state, word = ENDS[reason]
        return state, word, ""
    if status == 0:
        return COMPLETED, "None", ""
    if number := status & 0x7F:
        if number == OOM_STATUS:
            return OUT_OF_MEMORY, "OutOfMemory", ""
        return FAILED, "RaisedSignal", f"RaisedSignal:{number}({signal.strsignal(number) or 'Unknown signal'})"
    return FAILED, "NonZeroExitCode", ""


def _begin_end(job: Job, event: Event, state: str, reason: str, description: str = "") -> list[Effect]:
    """The job is over for its user; what still runs of it is COMPLETING."""
    if job.state == SUSPENDED and job.suspend_time:
        job.suspended_for += max(0, event.at - job.suspend_time)
    job.state = state
    job.reason = reason
    job.description = description
    job.end_time = max(event.at, job.start_time)
    job.flags = [COMPLETING]
    job.hold = NO_HOLD
    return []


def started(job: Job, event: Event) -> list[Effect]:
    """All agents are there. The caller has filled in nodes and resources."""
    job.state = RUNNING
    job.reason, job.description = "None", ""
    job.flags = []
    job.start_time = event.at
    job.last_sched_evaluation = event.at
    job.eligible_time = job.eligible_time or event.at
    job.accrue_time = job.accrue_time or job.eligible_time
    job.end_time = 0
    job.exit_code = job.derived_exit_code = 0  # those of a run before were shown so far
    job.folded = False
    job.limit_mailed = 0
    return [Mail("BEGIN")]


def ended(job: Job, event: Event) -> list[Effect]:
    """The batch script, or the command of salloc or srun, has ended."""
    state, reason, description = outcome(event.status, event.reason)
    effects = _begin_end(job, event, state, reason, description)
    job.exit_code = event.status
    if job.cron:
        return effects + _again(job, event, REQUEUED)
    if state in (NODE_FAIL, PREEMPTED) and job.requeue:
        return effects + _again(job, event, state)
    return effects


def late_status(job: Job, event: Event) -> list[Effect]:
    """A cancelled or timed-out job's script has ended now: its status is shown, its state stays."""
    if event.status and not job.exit_code:
        job.exit_code = event.status
    return []


def all_gone(job: Job, event: Event) -> list[Effect]:
    """Nothing of the job runs any more."""
    job.flags = [flag for flag in job.flags if flag not in (COMPLETING, REQUEUED)]
    effects: list[Effect] = [Release()]
    job.resources = [] if job.state == PENDING else job.resources
    if job.state == PENDING:
        job.staged = False
        return effects
    job.staged = False
    return [*effects, Ended(), Mail("END")]


def cancel_pending(job: Job, event: Event) -> list[Effect]:
    job.state = CANCELLED
    job.cancelled_by = event.uid
    # Slurm shows the moment of the cancel as both start and end of a job that never ran
    job.start_time = job.end_time = event.at
    if COMPLETING in job.flags:  # requeued a moment ago: over when its old run is gone
        job.flags = [COMPLETING]
        job.priority = job.priority if event.flag else 0
        return []
    job.flags = []
    if job.reason == "JobArrayTaskLimit":
        job.reason = "None"
    job.priority = job.priority if event.flag else 0
    if job.reason == "JobArrayTaskLimit":  # a hold is still shown, a throttle is not
        job.reason = "None"
    effects = _take_back(job, "cancelled by user")
    return [*effects, Ended(), Mail("END")]


def cancel_running(job: Job, event: Event) -> list[Effect]:
    _begin_end(job, event, CANCELLED, "None")
    job.cancelled_by = event.uid
    return [Terminate("CANCELLED")]


def lost(job: Job, event: Event) -> list[Effect]:
    """Armada says that the pod is over and no agent told how. `reason` is a key of ENDS, or "".

    `flag`: of a node failure, `text` names the nodes; of a preemption, the job isn't to run again.
    """
    if event.reason not in ENDS and not event.status:
        state, reason, description = NODE_FAIL, "NodeDown", ""
    else:
        state, reason, description = outcome(event.status, event.reason)
    _begin_end(job, event, state, reason, description)
    job.exit_code = event.status
    job.system_comment = event.text[:500]
    if state == NODE_FAIL:
        job.failed_node = event.text if event.flag else job.failed_node
    if state == PREEMPTED:
        job.preempt_time = job.preempt_time or event.at  # when its grace began
    ends = Terminate("PREEMPTION" if state == PREEMPTED else "NODE FAILURE")
    if job.cron:
        return [ends, *_again(job, event, REQUEUED)]
    if state in (NODE_FAIL, PREEMPTED) and job.requeue and not (state == PREEMPTED and event.flag):
        return [ends, *_again(job, event, state)]
    return [ends]


def lost_before_start(job: Job, event: Event) -> list[Effect]:
    """The pod failed before its agent came: the job waits again, as after a failed launch."""
    effects = _take_back(job, "a pod of the job failed")
    if job.requeue and event.reason in ("NODE FAILURE", "PREEMPTION", "RETURNED"):
        job.reason, job.description = "None", ""
        return effects
    if job.cron:  # it is tried again when its time comes
        job.reason, job.description = "None", ""
        job.begin_time = cron.next_start(job.crontab_spec, event.at)
        return effects
    job.state = FAILED
    job.reason, job.description = "JobLaunchFailure", ""
    job.system_comment = event.text[:500]
    job.start_time = job.end_time = event.at
    return [*effects, Ended(), Mail("END")]


def rejected(job: Job, event: Event) -> list[Effect]:
    """Armada will never place it as it is: held, with the reason, until somebody changes or releases it."""
    effects = _take_back(job, "rejected")
    job.hold = ADMIN_HOLD
    job.priority = 0
    job.reason, job.description = "BadConstraints", ""
    job.system_comment = event.text[:500]
    return effects


def taken_away(job: Job, event: Event) -> list[Effect]:
    """Cancelled in Armada by somebody else, before it began."""
    job.placements = []
    return cancel_pending(job, event)


def requeue(job: Job, event: Event) -> list[Effect]:
    """scontrol requeue of a job that runs. `flag`: hold it then; `text`: a state flag to show with the hold."""
    job.end_time = max(event.at, job.start_time)
    effects = _again(job, event, REQUEUED)
    return [Terminate("JOB REQUEUE"), *effects]


def requeue_finished(job: Job, event: Event) -> list[Effect]:
    effects = _again(job, event, job.state)
    job.flags = [flag for flag in job.flags if flag not in (COMPLETING, REQUEUED)]
    job.staged = False
    job.placements = []
    job.resources = []
    return effects


def _again(job: Job, event: Event, ended_as: str) -> list[Effect]:
    """The run so far becomes history, the job waits anew. It is COMPLETING until the old run is gone."""
    told = copy.copy(job)  # what mails tell of
    was_over = job.is_final and COMPLETING not in job.flags
    before = copy.copy(job)
    before.state = CANCELLED if ended_as == REQUEUED else ended_as
    before.flags = [REQUEUED] if ended_as == REQUEUED else []
    job.state = PENDING
    job.flags = [COMPLETING, REQUEUED]
    job.restart_cnt += 1
    job.reason, job.description = "None", ""  # until the old run is gone and somebody looks: BeginTime
    job.begin_time = cron.next_start(job.crontab_spec, event.at) if job.cron else event.at + REQUEUE_DELAY
    job.submit_time = event.at
    job.eligible_time = job.begin_time
    job.accrue_time = 0
    job.start_time = job.end_time = job.limit_ends_at = 0
    job.cancelled_by = None
    job.preempt_time = 0
    job.suspended_for = job.pre_sus_time = job.suspend_time = 0
    job.next_step = 0
    job.nodes, job.node_count, job.cpus, job.tres_alloc_str, job.licenses_allocated = "", 0, 0, "", ""
    job.addresses = []
    if event.flag:  # requeued to be held
        job.hold = ADMIN_HOLD if event.uid == 0 and event.text else USER_HOLD
        job.priority = 0
        job.reason, job.description = "JobHeldUser", "job requeued in held state"
        if event.text == SPECIAL_EXIT:
            job.flags.append(SPECIAL_EXIT)
    effects: list[Effect] = [Restarted(before)]
    if was_over:
        return effects
    if told.is_final:  # that it ended is told too; of a crontab's entry nothing else
        effects.append(Mail("END", told))
    return effects if job.cron and told.is_final else [*effects, Mail("REQUEUE", told)]


def suspend(job: Job, event: Event) -> list[Effect]:
    job.state = SUSPENDED
    job.suspend_time = event.at
    job.pre_sus_time = event.at - job.start_time - job.suspended_for
    return []


def resume(job: Job, event: Event) -> list[Effect]:
    job.state = RUNNING
    job.suspended_for += max(0, event.at - job.suspend_time)
    return []


def past_deadline(job: Job, event: Event) -> list[Effect]:
    job.state = states.DEADLINE
    job.reason, job.description = "DeadLine", ""
    job.start_time = job.end_time = event.at
    return [*_take_back(job, "deadline"), Ended(), Mail("END")]


def withdrawn(job: Job, event: Event) -> list[Effect]:
    """Held, changed or blocked while it waits in Armada: taken back, to be handed over again some time."""
    return _take_back(job, event.reason or "held")


def _take_back(job: Job, reason: str) -> list[Effect]:
    placements = tuple(job.placements)
    withdraw = Withdraw(job.queue, job.job_set, placements, reason)
    was_staged = job.staged
    job.staged = False
    job.placements = []
    return [withdraw] if was_staged and placements else []


ANY_RUNNING = (RUNNING, SUSPENDED)
FINISHED = tuple(states.FINAL)

_ROWS: tuple[tuple[tuple[str, ...], str, Handler], ...] = (
    # states         event               what happens
    ((PENDING,),     "started",          started),
    (ANY_RUNNING,    "ended",            ended),
    (FINISHED,       "ended",            late_status),
    ((PENDING,),     "cancel",           cancel_pending),
    (ANY_RUNNING,    "cancel",           cancel_running),
    ((PENDING,),     "lost",             lost_before_start),
    (ANY_RUNNING,    "lost",             lost),
    ((PENDING,),     "rejected",         rejected),
    ((PENDING,),     "taken away",       taken_away),
    (ANY_RUNNING,    "taken away",       cancel_running),
    ((PENDING,),     "deadline",         past_deadline),
    ((PENDING,),     "withdrawn",        withdrawn),
    (ANY_RUNNING,    "requeue",          requeue),
    (FINISHED,       "requeue",          requeue_finished),
    ((RUNNING,),     "suspend",          suspend),
    ((SUSPENDED,),   "resume",           resume),
    (FINISHED,       "all gone",         all_gone),
    ((PENDING,),     "all gone",         all_gone),
)  # fmt: skip
TRANSITIONS: dict[tuple[str, str], Handler] = {
    (state, name): handler for some, name, handler in _ROWS for state in some
}

# repeats of what a source says: in a state without a row for them they are absorbed
_ABSORBED = frozenset({"started", "ended", "lost", "rejected", "taken away", "all gone", "withdrawn", "cancel"})


def advance(job: Job, event: Event) -> tuple[Job, list[Effect]]:
    """The job after `event`, and what must now be done. The same job object when nothing changed.

    Raises BadTransition for an event that makes no sense in the job's state.
    """
    if event.name == "all gone" and COMPLETING not in job.flags:
        return job, []
    if event.name == "requeue" and job.is_final and COMPLETING in job.flags:
        raise BadTransition(job, event)
    handler = TRANSITIONS.get((job.state, event.name))
    if handler is None:
        if event.name in _ABSORBED:
            return job, []
        raise BadTransition(job, event)
    after = copy.copy(job)
    return after, handler(after, event)


def wait_status(exit_code: int) -> int:
    """A container's exit code (128+n for a signal) as a wait status."""
    if 128 < exit_code < 128 + 65:
        return exit_code - 128
    return (exit_code & 0xFF) << 8


def exit_text(status: int) -> str:
    """n:s, for logs."""
    return f"{os.waitstatus_to_exitcode(status & 0xFF00)}:{status & 0x7F}"
