"""What a job waits for of other jobs, and who is told when something ends. Event-driven: nothing is rescanned.

Source: sbatch(1), --dependency; observed on 26.05. `after` waits for the other's start (or its cancellation),
`singleton` for all earlier jobs of the same user and name, the others for an end.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import NamedTuple

from slurm_compat.controller.jobs import Job
from slurm_compat.controller.table import Table
from slurm_compat.core import taskids
from slurm_compat.core.model import Depend
from slurm_compat.core.states import COMPLETED, COMPLETING, PENDING

FEW = 1000  # tasks that each get a record of their own to say that they can never run
MET, WAITING, FAILED = "met", "waiting", "failed"


class Verdict(NamedTuple):
    """What is left to wait for; `never`: it can't be met any more. `ask_at`: when `after`'s delay is over, 0 none."""

    left: list[Depend]
    never: bool
    ask_at: int = 0


def judge(job: Job, table: Table, now: int) -> Verdict:
    left: list[Depend] = []
    any_met = False
    ask_at = 0
    for term in job.dependency:
        state, at = _state_of(term, job, table, now)
        if at:
            ask_at = min(ask_at or at, at)
        if state == MET:
            any_met = True
            continue
        left.append(Depend(term.kind, term.job_id, term.task_id, term.delay, state == FAILED))
    if job.dependency_any:
        if any_met:
            return Verdict([], False)
        return Verdict(left, bool(left) and all(term.failed for term in left), ask_at)
    return Verdict(left, any(term.failed for term in left), ask_at)


def _state_of(term: Depend, job: Job, table: Table, now: int) -> tuple[str, int]:
    if term.failed:
        return FAILED, 0
    if term.kind == "singleton":
        return (WAITING if _earlier_namesake(job, table) else MET), 0
    others = _others(term, job, table)
    if term.kind == "after":
        return _started(others, term.delay, now)
    if term.kind == "aftercorr" and job.is_array_record:
        return _all_corresponding(others)
    if any(other is None for other in others):
        return WAITING, 0
    ends = [other for other in others if other is not None]
    if term.kind == "aftercorr" and not ends:
        return (FAILED if table.family(term.job_id) else MET), 0  # there is no such task; no such job
    # a failure decides before all of an array have ended
    if term.kind in ("afterok", "aftercorr") and any(_over(other) and not _good(other) for other in ends):
        return FAILED, 0
    if any(not _over(other) for other in ends):
        return WAITING, 0
    if term.kind == "afternotok" and ends and all(_good(other) for other in ends):
        return FAILED, 0
    if term.kind == "afternotok" and not ends:
        return FAILED, 0  # long gone, and its end unknown here: as slurmctld decides
    return MET, 0


def _others(term: Depend, job: Job, table: Table) -> list[Job | None]:
    """The jobs a term speaks of; None stands for tasks still in a record. [] when all are history."""
    task_id = term.task_id
    if term.kind == "aftercorr" and task_id is None:
        task_id = job.array_task_id
    if task_id is not None:
        other = table.task(term.job_id, task_id)
        if other is not None:
            return [other]
        record = table.record_of(term.job_id)
        if record is not None and taskids.contains(record.array_ranges, task_id):
            return [None]
        # a task that has no counterpart is told so when the other array is over
        if term.kind == "aftercorr" and not all(map(_over, table.family(term.job_id))):
            return [None]
        return []
    family = table.family(term.job_id)
    return [None if other.is_array_record and other.state == PENDING else other for other in family]


def _all_corresponding(others: list[Job | None]) -> tuple[str, int]:
    """An array's record: its tasks leave it as they are decided; what stays waits, for nothing when all is over."""
    if not others:
        return MET, 0
    return (FAILED if all(other is not None and _over(other) for other in others) else WAITING), 0


def decided_tasks(record: Job, table: Table, now: int, woken_by: Iterable[int] = ()) -> list[int]:
    """The tasks of a record with aftercorr that wait no longer, for good or for bad.

    `woken_by`: job ids whose start or end is the occasion; without them every task is looked at.
    """
    terms = [term for term in record.dependency if term.kind == "aftercorr" and term.task_id is None]
    tasks: set[int] = set()
    for term in terms:
        if woken_by:
            jobs = [table.jobs[job_id] for job_id in woken_by if job_id in table.jobs]
            tasks.update(
                job.array_task_id
                for job in jobs
                if job.array_job_id == term.job_id and job.array_task_id is not None
            )  # fmt: skip
        else:
            tasks.update(table.tasks.get(term.job_id, ()))
        if all(map(_over, table.family(term.job_id))) and taskids.count(record.array_ranges) <= FEW:
            tasks.update(taskids.each(record.array_ranges))  # those without a counterpart
    found = []
    for task in sorted(tasks):
        if not taskids.contains(record.array_ranges, task):
            continue
        alone = copy.copy(record)
        alone.array_task_id, alone.array_ranges = task, []
        verdict = judge(alone, table, now)
        if not verdict.left or verdict.never:
            found.append(task)
    return found


def _started(others: list[Job | None], delay: int, now: int) -> tuple[str, int]:
    at = 0
    for other in others:
        if other is None or other.state == PENDING:
            return WAITING, 0
        at = max(at, other.start_time or other.end_time)
    due = at + delay * 60
    if delay and due > now:
        return WAITING, due
    return MET, 0


def _over(job: Job) -> bool:
    return job.is_final and COMPLETING not in job.flags


def _good(job: Job) -> bool:
    return job.state == COMPLETED and not job.exit_code


def _earlier_namesake(job: Job, table: Table) -> bool:
    first = _first_id(job)
    # the earliest are asked first, so that one of a long chain has its answer at once
    return any(_first_id(table.jobs[other]) < first for other in table.names.get((job.user_id, job.name), ()))


def _first_id(job: Job) -> int:
    return job.array_job_id or job.job_id


def closes_a_circle(job: Job, terms: Iterable[Depend], table: Table) -> bool:
    """Whether with these terms the job would, over others that wait in their turn, wait for itself."""
    own = _first_id(job)
    seen: set[int] = set()
    ahead = [term.job_id for term in terms if term.kind != "singleton"]
    while ahead:
        job_id = ahead.pop()
        if job_id == own or job_id == job.job_id:
            return True
        if job_id in seen:
            continue
        seen.add(job_id)
        for other in table.family(job_id):
            if other.state == PENDING:
                ahead += [term.job_id for term in other.dependency if term.kind != "singleton"]
    return False


class Watchers:
    """Who waits for whom."""

    def __init__(self) -> None:
        self._by_job: dict[int, set[int]] = {}
        self._by_name: dict[tuple[int, str], dict[int, int]] = {}  # job id: the id its job or array had first

    def add(self, job: Job) -> None:
        for term in job.dependency:
            if term.kind == "singleton":
                self._by_name.setdefault((job.user_id, job.name), {})[job.job_id] = _first_id(job)
            else:
                self._by_job.setdefault(term.job_id, set()).add(job.job_id)

    def remove(self, job: Job) -> None:
        for term in job.dependency:
            if term.kind == "singleton":
                names = self._by_name.get((job.user_id, job.name))
                if names is not None:
                    names.pop(job.job_id, None)
                    if not names:
                        del self._by_name[job.user_id, job.name]
            else:
                waiting = self._by_job.get(term.job_id)
                if waiting is not None:
                    waiting.discard(job.job_id)
                    if not waiting:
                        del self._by_job[term.job_id]

    def of(self, job: Job) -> list[int]:
        """Ids of the jobs that may be concerned by this one's start or end, in order."""
        concerned = set(self._by_job.get(job.job_id, ()))
        if job.array_job_id:
            concerned |= self._by_job.get(job.array_job_id, set())
        if names := self._by_name.get((job.user_id, job.name)):
            # the others wait for the earliest of those that wait
            earliest = min(names.values())
            concerned.update(job_id for job_id, first in names.items() if first == earliest)
        concerned.discard(job.job_id)
        return sorted(concerned)


def shown(terms: Iterable[Depend], any_of: bool, table: Table) -> str:
    """As squeue's %E has it: afterok:7(unfulfilled),singleton(unfulfilled), afterany:9_*(unfulfilled) for an array."""
    return ("?" if any_of else ",").join(_shown(term, table) for term in terms)


def _shown(term: Depend, table: Table) -> str:
    state = "failed" if term.failed else "unfulfilled"
    if term.kind == "singleton":
        return f"singleton({state})"
    task = ""
    if term.task_id is not None:
        task = f"_{term.task_id}"
    elif term.job_id in table.tasks or table.record_of(term.job_id) is not None:
        task = "_*"
    delay = f"+{term.delay}" if term.delay else ""
    return f"{term.kind}:{term.job_id}{task}{delay}({state})"
