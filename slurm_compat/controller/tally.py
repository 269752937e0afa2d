"""What jobs have and hold, counted by whom limits count them for. Each change of a job costs a few additions.

A bucket is a tuple: ("qos", name), ("qos user", name, uid), ("qos account", name, account), ("user", account, user) or
("account", account), the last with all accounts below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from slurm_compat.controller.jobs import Job
from slurm_compat.core import taskids, tres
from slurm_compat.core.hostlist import expand
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.states import PENDING

Bucket = tuple[str | int, ...]
Amounts = Mapping[str, int]

ALIKE = 10_000  # entries of waiting jobs that are kept to be shared
FOREVER = UNLIMITED * 60  # seconds a job without a time limit is counted with, as observed


class Entry(NamedTuple):
    """What one job adds to its buckets."""

    user_id: int
    user_name: str
    account: str
    qos: str
    partition: str
    submitted: int = 0  # not ended; tasks count each
    accruing: int = 0  # of these, those whose age counts
    active: bool = False  # handed to Armada, or running
    tres: str = ""
    end: int = 0  # when the time limit of a running job is over, epoch seconds
    limit: int = 0  # seconds a job may run that was handed over and hasn't started
    nodes: str = ""  # of a running job
    unplaced: int = 0  # nodes that one handed over will take


class Counts:
    """One bucket."""

    __slots__ = ("accruing", "ends", "jobs", "nodes", "running", "submitted", "tres", "unplaced", "waiting")

    def __init__(self) -> None:
        self.jobs = 0  # active ones
        self.submitted = 0
        self.accruing = 0
        self.unplaced = 0
        self.tres: dict[str, int] = {}  # of active jobs
        self.running: dict[str, int] = {}  # of running ones
        self.ends: dict[str, int] = {}  # of these, TRES x end
        self.waiting: dict[str, int] = {}  # of those handed over, TRES x seconds they may run
        self.nodes: dict[str, int] = {}  # by name: running jobs there

    def add(self, entry: Entry, sign: int) -> None:
        self.submitted += sign * entry.submitted
        self.accruing += sign * entry.accruing
        if not entry.active:
            return
        self.jobs += sign
        amounts = amounts_of(entry.tres)
        _add(self.tres, amounts, sign)
        if not entry.end:
            self.unplaced += sign * entry.unplaced
            _add(self.waiting, amounts, sign * entry.limit)
            return
        _add(self.running, amounts, sign)
        _add(self.ends, amounts, sign * entry.end)
        for name in nodes_of(entry.nodes):
            left = self.nodes.get(name, 0) + sign
            if left:
                self.nodes[name] = left
            else:
                del self.nodes[name]

    def used(self, name: str) -> int:
        """What active jobs have of a TRES; a node that several share is one."""
        return len(self.nodes) + self.unplaced if name == "node" else self.tres.get(name, 0)

    def promised(self, name: str, now: int) -> int:
        """TRES-seconds that active jobs may still use."""
        left = self.ends.get(name, 0) - now * self.running.get(name, 0)
        return max(left, 0) + self.waiting.get(name, 0)

    def __bool__(self) -> bool:
        return bool(self.submitted or self.jobs)


def _add(total: dict[str, int], amounts: Amounts, factor: int) -> None:
    for name, amount in amounts.items():
        number = total.get(name, 0) + amount * factor
        if number:
            total[name] = number
        else:
            total.pop(name, None)


@lru_cache(4096)
def amounts_of(text: str) -> Amounts:
    return tres.parse(text)


@lru_cache(4096)
def nodes_of(text: str) -> tuple[str, ...]:
    return tuple(expand(text)) if text else ()


NOTHING = Counts()


class Tally:
    """The counts of all buckets; `buckets_of` says which ones an entry is in, as the configuration has it now."""

    def __init__(self, buckets_of: Callable[[Entry], Iterable[Bucket]]) -> None:
        self._buckets_of = buckets_of
        self._entries: dict[int, tuple[Entry, tuple[Bucket, ...]]] = {}
        self._counts: dict[Bucket, Counts] = {}
        # jobs of one owner that wait are told apart by nothing here: they share what is kept of them
        self._alike: dict[Entry, tuple[Entry, tuple[Bucket, ...]]] = {}

    def place(self, job: Job) -> None:
        """The job is now this."""
        entry = entry_of(job)
        before = self._entries.get(job.job_id)
        if before is not None and before[0] == entry:
            return
        if not entry.submitted and not entry.active:
            self.forget(job.job_id)
            return
        known = self._alike.get(entry)
        if known is None:
            # before anything is taken away: a configuration that turns out to be another has all counted again
            known = (entry, tuple(self._buckets_of(entry)))
            if not entry.active and len(self._alike) < ALIKE:
                self._alike[entry] = known
        self.forget(job.job_id)
        self._entries[job.job_id] = known
        self._count(*known, 1)

    def forget(self, job_id: int) -> None:
        before = self._entries.pop(job_id, None)
        if before is not None:
            self._count(before[0], before[1], -1)

    def again(self) -> None:
        """Accounts, QOS or partitions have changed: who counts where is asked anew."""
        entries = {job_id: entry for job_id, (entry, _) in self._entries.items()}
        self._counts.clear()
        self._alike.clear()
        for job_id, entry in entries.items():
            buckets = tuple(self._buckets_of(entry))
            self._entries[job_id] = (entry, buckets)
            self._count(entry, buckets, 1)

    def _count(self, entry: Entry, buckets: Iterable[Bucket], sign: int) -> None:
        for bucket in buckets:
            counts = self._counts.get(bucket)
            if counts is None:
                counts = self._counts[bucket] = Counts()
            counts.add(entry, sign)
            if not counts:
                del self._counts[bucket]

    def of(self, bucket: Bucket) -> Counts:
        return self._counts.get(bucket, NOTHING)

    def kind(self, kind: str, name: str) -> Iterator[tuple[Bucket, Counts]]:
        """The buckets of users or accounts of one QOS in which something is."""
        return ((bucket, counts) for bucket, counts in self._counts.items() if bucket[:2] == (kind, name))

    def is_active(self, job_id: int) -> bool:
        known = self._entries.get(job_id)
        return known is not None and known[0].active


def entry_of(job: Job) -> Entry:
    owner = (job.user_id, job.user_name, job.account, job.qos, job.partition)
    if job.is_final:
        return Entry(*owner)
    submitted = taskids.count(job.array_ranges) if job.array_ranges else 1
    accruing = submitted if job.state == PENDING and job.accrue_time and not job.hold and not job.staged else 0
    active = job.is_running or (job.staged and job.state == PENDING)
    if not active:
        return Entry(*owner, submitted, accruing)
    limit = FOREVER if job.time_limit == UNLIMITED else job.time_limit * 60
    if job.is_running:
        end = job.start_time + job.suspended_for + limit
        return Entry(*owner, submitted, 0, True, job.tres_alloc_str or job.tres_req_str, end, 0, job.nodes)
    return Entry(
        *owner, submitted, 0, True, job.tres_req_str, 0, limit, "", max(job.shape.minimum_nodes, len(job.shape.members))
    )
