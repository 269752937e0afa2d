"""sacct's question: jobs that live and jobs of the past, with their steps, as the records have them.

Live jobs come from memory, the others from the store, read off the loop; a job that moves from one to the other while
this goes on is taken once. Source of the time rules: sacct(1), --state and --starttime.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import het, views
from slurm_compat.controller.answering import require_fields
from slurm_compat.controller.jobs import Job, Step
from slurm_compat.controller.privacy import Privacy
from slurm_compat.controller.server import Session
from slurm_compat.controller.sluid import number
from slurm_compat.controller.table import NO_TASK, job_of, step_of
from slurm_compat.core import hostlist, jobid, privatedata, sizes, taskids
from slurm_compat.core.errors import BAD_ARGUMENT, BadValue, SlurmError
from slurm_compat.core.fields import ACCOUNTING_FIELDS, JOB_FIELDS
from slurm_compat.core.jobargs import Accounting
from slurm_compat.core.jobid import JobExpression
from slurm_compat.core.states import CANCELLED, FINAL, PENDING, PREEMPTED, RUNNING, SUSPENDED, TIMEOUT
from slurm_compat.store import history
from slurm_compat.store.store import Connection

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

CHUNK = 500  # rows a frame


def elapsed(job: Job, now: int) -> int:
    return views.run_time(job, now) if job.nodes else 0


def required_memory(job: Job) -> str:
    shape = job.shape
    if shape.memory_per_node is not None:
        return sizes.mem_text(shape.memory_per_node * shape.minimum_nodes)
    if shape.memory_per_cpu is not None:
        return sizes.mem_text(shape.memory_per_cpu * shape.cpus)
    return "0"


def recorded_exit(job: Job) -> int:
    """The job's exit code as the record has it: what was known when it was ended, not what its script did then."""
    return 0 if job.state in (CANCELLED, TIMEOUT, PREEMPTED) else job.exit_code


def recorded_start(job: Job) -> int:
    """A job a user cancelled before it ran never started; one that the controller ended has its end as its start."""
    return job.start_time if job.nodes or (job.state == CANCELLED and job.cancelled_by is None) else 0


_JOB: dict[str, str] = views.JOB | {
    "step_id": "''",
    "db_index": "j.db_index",
    "cpu_time": "elapsed(j, now) * (j.cpus or 0)",
    "elapsed": "elapsed(j, now)",
    "planned": "max(0, (j.start_time or j.end_time or now) - j.eligible_time) if j.eligible_time else 0",
    "suspended": "j.suspended_for",
    "allocated_nodes": "j.node_count",
    "allocated_cpus": "j.cpus",
    "required_cpus": "s.cpus",
    "required_memory": "required_memory(j)",
    "kill_requid": "j.cancelled_by",
    "usage": "{}",
    "distribution": "''",
    "reservation_id": "j.resv_id",
    "qos_id": "c.qos_id(j.qos)",
    "wckey_id": "0",
    "qos_req": "r.qos",
    "original_sluid": "sluid.text(j.db_index)",
    # the record's own view of what squeue shows otherwise
    "exit_code": "recorded_exit(j)",
    "start_time": "recorded_start(j)",
    "end_time": "j.end_time",
    "state_reason": "j.waited_for or 'None'",
    "time_limit": "None if j.state == 'PENDING' and r.time_limit is None else j.time_limit",
    "state_description": "''",
}

_STEP: dict[str, str] = _JOB | {
    field: expression
    for field, expression in views.STEP.items()
    if field not in ("job_id", "array_job_id", "array_task_id", "user_id", "user_name", "account", "partition")
} | {
    "job_state": "p.state",
    "state_flags": "[]",
    "cpus": "p.cpus",
    "tres_alloc_str": "p.tres_alloc_str",
    "tres_req_str": "''",
    "db_index": "j.db_index",
    "elapsed": "step_run_time(p, now)",
    "cpu_time": "step_run_time(p, now) * p.cpus",
    "planned": "0",
    "suspended": "p.suspended_for",
    "allocated_nodes": "p.node_count",
    "allocated_cpus": "p.cpus",
    "required_cpus": "p.cpus",
    "required_memory": "''",
    "kill_requid": "p.cancelled_by",
    "usage": "p.usage",
    "distribution": "p.distribution",
    "exit_code": "p.exit_code",
    "derived_exit_code": "0",
    "submit_time": "p.start_time",
    "eligible_time": "p.start_time",
}  # fmt: skip

_NAMES = {
    "elapsed": elapsed,
    "recorded_exit": recorded_exit,
    "recorded_start": recorded_start,
    "required_memory": required_memory,
}

_ENDED = frozenset(FINAL)  # states a job has when it is over: the store knows them
_KNOWN = frozenset(JOB_FIELDS) | frozenset(ACCOUNTING_FIELDS)


class Filter:
    """Which jobs, and which of their steps, a question means."""

    def __init__(self, args: Accounting, now: int) -> None:
        self._args = args
        self._now = now
        self.expressions = [_expression(text) for text in args.targets]
        self._states = frozenset(args.states)
        self._nodes = frozenset(name for text in args.nodes for name in _expand(text))
        self._tests: list[Callable[[Job], bool]] = []
        for wanted, read in (
            (args.user_ids, lambda job: job.user_id),
            (args.accounts, lambda job: job.account),
            (args.names, lambda job: job.name),
            (args.partitions, lambda job: job.partition),
            (args.qos, lambda job: job.qos),
            (args.wckeys, lambda job: job.request.wckey),
        ):
            if wanted:
                self._tests.append(_among(frozenset(wanted), read))

    def of_the_past(self) -> history.Filter:
        """What the store can tell apart by itself; `takes` has the last word."""
        args = self._args
        over = bool(args.states) and self._states <= _ENDED
        return history.Filter(
            job_ids=self.job_ids(),
            db_indexes=[number(expression.sluid) or 0 for expression in self.expressions if expression.sluid],
            user_ids=args.user_ids,
            start=args.start,
            end=0 if args.states else args.end,
            ended_by=max(args.end or self._now, args.start) if over else 0,
            states=args.states if over else (),
            accounts=args.accounts,
            names=args.names,
            partitions=args.partitions,
            qos=args.qos,
            wckeys=args.wckeys,
        )

    def job_ids(self) -> list[int]:
        return [expression.job_id for expression in self.expressions if not expression.sluid]

    def also(self, test: Callable[[Job], bool]) -> None:
        """One thing more that a job must be."""
        self._tests.append(test)

    def takes(self, job: Job) -> bool:
        if self.expressions and not any(self._names(expression, job) for expression in self.expressions):
            return False
        if not all(test(job) for test in self._tests):
            return False
        if self._nodes and not self._nodes & set(_expand(job.nodes)):
            return False
        return self._in_time(job)

    def _names(self, expression: JobExpression, job: Job) -> bool:
        if self._args.whole_hetjob and job.het_job_id and not expression.sluid and expression.job_id in job.het_ids:
            return True
        if expression.sluid:
            return number(expression.sluid) == job.db_index
        if expression.tasks:
            if job.array_job_id != expression.job_id:
                return False
            if job.array_task_id is not None:
                return expression.has_task(job.array_task_id)
            return any(taskids.contains(job.array_ranges, task) for task in taskids.each(expression.tasks))
        if expression.offset is not None:
            return job.het_job_id == expression.job_id and job.het_offset == expression.offset
        whole = job.het_job_id if self._args.whole_hetjob is not False else 0
        return expression.job_id in (job.job_id, job.array_job_id, whole)

    def step_ids(self, job: Job) -> frozenset[str] | None:
        """The steps asked for by name; None: the job and all its steps."""
        named: set[str] = set()
        for expression in self.expressions:
            if self._names(expression, job):
                if not expression.step:
                    return None
                named.add(expression.step)
        return frozenset(named) if named else None

    def _in_time(self, job: Job) -> bool:
        """Without states: eligible before the end, not ended before the start. With: in one of them in that time."""
        start, end = self._args.start, self._args.end or self._now
        if not self._states:
            if not start and not self._args.end:
                return True
            if self._args.end and (job.eligible_time or job.submit_time) > end:
                return False
            return not (start and job.end_time and job.end_time < start)
        return any(_was(job, state, start, end, self._now) for state in self._states)


def _was(job: Job, state: str, start: int, end: int, now: int) -> bool:
    """Whether the job was in this state at some moment of start..end."""
    if state == PENDING:
        since, until = job.eligible_time or job.submit_time, job.start_time or job.end_time or now + 1
        return since <= end and until >= start and (not start or until > start or not job.start_time)
    if state in (RUNNING, SUSPENDED):
        if not recorded_start(job):
            return False
        if state == SUSPENDED and not (job.suspended_for or job.state == SUSPENDED):
            return False
        if job.state == state and not start:
            return True
        # who ended in that very second ran in the one before
        return job.start_time <= end and (job.end_time or now + 1) > start and (start > 0 or job.state == state)
    if state in FINAL:
        return job.state == state and start <= job.end_time <= max(end, start)
    return state in job.flags


def _expression(text: str) -> JobExpression:
    try:
        return jobid.parse(text)
    except BadValue:
        raise SlurmError(BAD_ARGUMENT, f"Invalid job id {text}") from None


def _expand(text: str) -> list[str]:
    try:
        return hostlist.expand(text)
    except BadValue:
        raise SlurmError(BAD_ARGUMENT, f"Invalid host list {text}") from None


def _among(wanted: frozenset[Any], read: Callable[[Job], Any]) -> Callable[[Job], bool]:
    return lambda job: read(job) in wanted


_FIRST_STEPS = {"batch": 0, "extern": 1, "interactive": 2}


def step_order(step: Step) -> tuple[int, int]:
    """batch, extern, interactive, then the steps by number."""
    first = _FIRST_STEPS.get(step.step_id)
    return (first, 0) if first is not None else (3, int(step.step_id) if step.step_id.isdigit() else 0)


async def accounting(controller: Controller, session: Session, args: Accounting) -> AsyncIterator[list[list[Any]]]:
    """Chunks of rows: each job's, followed by its steps'."""
    require_fields(args.fields, _KNOWN)
    now = controller.now()
    chosen = Filter(args, now)
    private = Privacy(controller, session.caller)
    if private.hides(privatedata.JOBS):
        chosen.also(lambda job: private.shows_job(job.user_id, job.account))
    # a copy: the record changes while the store is read
    live = [copy.copy(job) for job in _candidates(controller, chosen) if chosen.takes(job)]
    steps = {job.db_index: list(controller.table.steps.get(job.db_index, {}).values()) for job in live}
    listing = Listing(controller, args, chosen, now)
    keys, before = await controller.store.read(partial(listing.found, live=live))
    live = [job for job in live if job.db_index not in before]
    return listing.chunks(listing.merged(keys, sorted(live, key=record_order), steps, before))


Found = tuple[Job, list[Step]]


class Listing:
    """Jobs of the past and those of memory as one listing, some at a time."""

    def __init__(self, controller: Controller, args: Accounting, chosen: Filter, now: int) -> None:
        self._controller = controller
        self._args = args
        self._chosen = chosen
        self._now = now

    def found(self, connection: Connection, live: list[Job]) -> tuple[Sequence[int], frozenset[int]]:
        """The keys of what the store has; and of these and memory's the earlier runs of jobs, that nobody asked for."""
        which = self._chosen.of_the_past()
        keys = history.keys(connection, which)
        if self._args.duplicates:
            return keys, frozenset()
        again = {*history.run_again(connection, which), *(job.job_id for job in live if job.restart_cnt)}
        runs = {job.db_index: job.job_id for job in live if job.job_id in again}
        if again:
            others = history.keys(connection, history.Filter(job_ids=sorted(again)))
            for job in map(job_of, history.records(connection, others)):
                if job.job_id in again and self._chosen.takes(job):
                    runs[job.db_index] = job.job_id
        last: dict[int, int] = {}
        for index, job_id in runs.items():
            last[job_id] = max(last.get(job_id, 0), index)
        return keys, frozenset(index for index, job_id in runs.items() if last[job_id] != index)

    async def merged(
        self, keys: Sequence[int], live: list[Job], live_steps: dict[int, list[Step]], without: frozenset[int]
    ) -> AsyncIterator[Found]:
        """In the order of `record_order`. Of a job that is in both, memory's word is the one that counts."""
        known = {job.db_index for job in live} | without
        place = 0
        async for job, steps in self._past(keys):
            if job.db_index in known:
                continue
            while place < len(live) and record_order(live[place]) < record_order(job):
                yield live[place], live_steps[live[place].db_index]
                place += 1
            yield job, steps
        for job in live[place:]:
            yield job, live_steps[job.db_index]

    async def _past(self, keys: Sequence[int]) -> AsyncIterator[Found]:
        if self._chosen.job_ids():  # few: with the components that belong to them
            keys = await self._controller.store.read(lambda connection: self._with_components(connection, keys))
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            for found in await self._controller.store.read(partial(self._read, keys=some)):
                yield found

    def _with_components(self, connection: Connection, keys: Sequence[int]) -> Sequence[int]:
        if len(keys) > CHUNK:
            return keys
        past = [job_of(data) for data in history.records(connection, keys)]
        more = _components(past, self._chosen.job_ids())
        if not more:
            return keys
        which = self._chosen.of_the_past()
        return history.keys(connection, which._replace(job_ids=[*which.job_ids, *more]))

    def _read(self, connection: Connection, keys: Sequence[int]) -> list[Found]:
        jobs = [job for job in map(job_of, history.records(connection, keys)) if self._chosen.takes(job)]
        steps: dict[int, list[Step]] = {job.db_index: [] for job in jobs}
        if self._args.steps:
            for data in history.steps_of(connection, steps):
                step = step_of(data)
                steps[step.db_index].append(step)
        return [(job, steps[job.db_index]) for job in jobs]

    async def chunks(self, found: AsyncIterator[Found]) -> AsyncIterator[list[list[Any]]]:
        args, now, controller = self._args, self._now, self._controller
        fields = tuple(args.fields)
        job_row = views.compiled("j, r, s, now, c", _JOB, fields, _NAMES)
        step_row = views.compiled("p, j, r, s, now, c", _STEP, fields, _NAMES)
        rows: list[list[Any]] = []
        async for job, steps in found:
            only = self._chosen.step_ids(job)
            if only is None:
                rows.append(job_row(job, job.request, job.shape, now, controller))
            if args.steps:
                for step in sorted(steps, key=step_order):
                    if only is None or step.step_id in only:
                        rows.append(step_row(step, job, job.request, job.shape, now, controller))
            if len(rows) >= CHUNK:
                yield rows
                rows = []
        if rows:
            yield rows


def _components(past: list[Job], asked: Iterable[int]) -> list[int]:
    """The other components of the heterogeneous jobs among those asked for by their ids."""
    ids = set(asked)
    return sorted({job_id for job in past if job.job_id in ids for job_id in job.het_ids} - ids)


def _candidates(controller: Controller, chosen: Filter) -> list[Job]:
    jobs = controller.table.jobs
    ids = chosen.job_ids()
    if ids and len(ids) == len(chosen.expressions):
        found: dict[int, Job] = {}
        for job_id in ids:
            for one in controller.table.family(job_id):
                for job in het.components(controller.table, one):
                    found[job.job_id] = job
        return list(found.values())
    return list(jobs.values())


def record_order(job: Job) -> tuple[int, int, int, int, int]:
    """By their submission; of one second jobs by their ids, then arrays by theirs with their tasks in order and what
    waits last. Observed on 26.05."""
    task = job.array_task_id if job.array_task_id is not None else NO_TASK
    return (job.submit_time, job.array_job_id, task, job.job_id, job.db_index)
