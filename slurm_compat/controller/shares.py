"""Who has used how much, and what that makes of their fair share: usage that halves with age, and Fair Tree.

Usage is resource-seconds. What was used at a moment counts half after PriorityDecayHalfLife; a run of constant
resources is the integral of that, so nothing has to be added up while it runs: what ended is kept as one sum an
association and brought up to date when it is looked at. Source: the manuals of the Multifactor plugin and of the
Fair Tree algorithm; observed on 26.05.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec

from slurm_compat.controller.associations import ROOT_ACCOUNT, Association, tree
from slurm_compat.controller.jobs import Job
from slurm_compat.core import tres
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.errors import BadValue
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.timefmt import seconds_of

Amounts = dict[str, float]  # resource-seconds by TRES name

FACTOR_EVERY = 10  # seconds a priority may rely on shares worked out before
BILLING = "billing"  # what raw usage counts: CPUs, as nothing weighs resources here
DEFAULT_HALF_LIFE = 7 * 86400
YEAR_MINUTES = 365 * 1440  # as which a job without a time limit is counted


class Share(NamedTuple):
    """An association's part, as sshare shows it."""

    norm: float  # its shares of its siblings'
    usage: float
    usage_norm: float  # of the cluster's
    effective: float  # of its siblings'
    level_fs: float  # may be infinite
    factor: float | None  # a user's; None of an account
    tres: Amounts
    tres_run: dict[str, int]  # what running jobs may still use


def half_life_of(conf: ClusterConf) -> float:
    """Seconds; 0: usage never fades."""
    text = conf.priority_decay_half_life
    try:
        return float(seconds_of(text))
    except BadValue:
        return float(DEFAULT_HALF_LIFE)


def integral(start: float, end: float, now: float, half_life: float) -> float:
    """Seconds from `start` to `end`, each weighed by its age at `now`."""
    if end <= start:
        return 0.0
    if not half_life:
        return end - start
    rate = math.log(2) / half_life
    return (math.exp(-rate * max(now - end, 0.0)) - math.exp(-rate * max(now - start, 0.0))) / rate


class Run(Protocol):
    """What of a job tells its use; a Job, or less."""

    user_name: str
    account: str
    state: str
    nodes: str
    start_time: int
    end_time: int
    suspend_time: int
    suspended_for: int
    tres_alloc_str: str


class Used:
    """Use of what has ended, by association number; each sum is as of some moment, and fades from there."""

    def __init__(self, numbers: Mapping[tuple[str, str], int], half_life: float) -> None:
        self.numbers = numbers  # by user and account
        self.half_life = half_life
        self._sums: dict[int, tuple[float, Amounts]] = {}

    def add(self, run: Run) -> None:
        if not run.nodes or not run.start_time or run.end_time <= run.start_time:
            return
        number = self.numbers.get((run.user_name, run.account))
        if number is not None:
            weighed = _seconds(run, run.end_time, run.end_time, self.half_life)
            amounts = {name: amount * weighed for name, amount in _amounts(run.tres_alloc_str).items()}
            self._add(number, run.end_time, amounts)

    def _add(self, number: int, at: float, amounts: Amounts) -> None:
        """Amounts as of `at`; records come in no order, so either side may have to fade."""
        before, kept = self._sums.get(number, (at, {}))
        latest = max(at, before)
        old, new = self._left(latest - before), self._left(latest - at)
        total = {name: amount * old for name, amount in kept.items()}
        for name, amount in amounts.items():
            total[name] = total.get(name, 0.0) + amount * new
        self._sums[number] = (latest, total)

    def _left(self, seconds: float) -> float:
        return 0.5 ** (seconds / self.half_life) if self.half_life and seconds > 0 else 1.0

    def take_over(self, other: Used) -> None:
        """Another's sums, by user and account."""
        for name, number in other.numbers.items():
            if number in other._sums and name in self.numbers:
                self._add(self.numbers[name], *other._sums[number])

    def at(self, now: float) -> dict[int, Amounts]:
        return {
            number: {name: amount * self._left(now - at) for name, amount in amounts.items()}
            for number, (at, amounts) in self._sums.items()
        }


class Shares:
    """Use by association, and the factors made of it."""

    def __init__(self, conf: ClusterConf, running: Callable[[], Iterable[Job]], now: Callable[[], int]) -> None:
        self._running = running
        self._now = now
        self._factors: dict[int, float] = {}
        self._factors_at = 0
        self.used = Used({}, 0.0)
        self.configure(conf)

    def configure(self, conf: ClusterConf) -> None:
        """The associations as the cluster file has them now; each keeps the use it had, whatever its number."""
        self._tree = tree(conf)
        self._parents = {entry.number: entry.parent_number for entry in self._tree}
        numbers = {(entry.user, entry.account): entry.number for entry in self._tree if entry.user}
        before, self.used = self.used, Used(numbers, half_life_of(conf))
        self.used.take_over(before)
        self._factors_at = 0

    def ended(self, job: Job) -> None:
        """A run is over: its use is kept."""
        self.used.add(job)

    def beside(self) -> Used:
        """An empty account of use to fill elsewhere and merge."""
        return Used(self.used.numbers, self.used.half_life)

    def now(self) -> dict[int, Share]:
        """Every association's share at this moment."""
        now = self._now()
        used = self.used.at(now)
        promised: dict[int, dict[str, float]] = {}
        for job in self._running():
            own = self.used.numbers.get((job.user_name, job.account))
            if own is None or not job.start_time:
                continue
            weighed = _seconds(job, now, now, self.used.half_life)
            amounts = used.setdefault(own, {})
            run = promised.setdefault(own, {})
            left_over = _left(job, now)
            for name, amount in _amounts(job.tres_alloc_str).items():
                amounts[name] = amounts.get(name, 0.0) + amount * weighed
                run[name] = run.get(name, 0.0) + amount * left_over
        return fair_tree(self._tree, self._summed(used), self._summed(promised))

    def _summed(self, own: dict[int, Amounts]) -> dict[int, Amounts]:
        """With each account's the sum of what is below it."""
        total: dict[int, Amounts] = {}
        for number, amounts in own.items():
            above = number
            while above:
                kept = total.setdefault(above, {})
                for name, amount in amounts.items():
                    kept[name] = kept.get(name, 0.0) + amount
                above = self._parents.get(above, 0)
        return total

    def factor(self, job: Job) -> float:
        """0..1 for a job's priority; 1.0 where nobody has a share to compare with."""
        number = self.used.numbers.get((job.user_name, job.account))
        if number is None:
            return 0.0 if len(self.used.numbers) > 1 else 1.0
        now = self._now()
        if not 0 <= now - self._factors_at < FACTOR_EVERY:
            self._factors = {number: share.factor for number, share in self.now().items() if share.factor is not None}
            self._factors_at = now
        return self._factors.get(number, 0.0)


@lru_cache(4096)
def _amounts(text: str) -> dict[str, int]:
    return tres.parse(text)


def _seconds(job: Run, end: int, now: int, half_life: float) -> float:
    """Weighed seconds of a run up to `end`; time spent suspended is no use, and is spread over the run."""
    whole = end - job.start_time
    if whole <= 0:
        return 0.0
    suspended = job.suspended_for
    if job.suspend_time and job.state == "SUSPENDED":
        suspended += max(0, end - job.suspend_time)
    return integral(job.start_time, end, now, half_life) * max(whole - suspended, 0) / whole


def _left(job: Job, now: int) -> int:
    limit = YEAR_MINUTES if job.time_limit == UNLIMITED else job.time_limit
    return max(0, job.start_time + limit * 60 - now)


def fair_tree(entries: list[Association], used: dict[int, Amounts], promised: dict[int, Amounts]) -> dict[int, Share]:
    """Fair Tree: siblings are ordered by shares over use, level by level, and users get their rank as their factor."""
    children: dict[int, list[Association]] = {}
    for entry in entries:
        if entry.number != ROOT_ACCOUNT:
            children.setdefault(entry.parent_number, []).append(entry)
    cluster = used.get(ROOT_ACCOUNT, {}).get(BILLING, 0.0)
    found: dict[int, Share] = {}
    for entry in entries:
        usage = used.get(entry.number, {}).get(BILLING, 0.0)
        siblings = children.get(entry.parent_number, []) if entry.number != ROOT_ACCOUNT else []
        shares = sum(other.shares for other in siblings)
        level = used.get(entry.parent_number, {}).get(BILLING, 0.0)
        norm = entry.shares / shares if shares else 0.0
        # the root has nobody to share with
        effective = 1.0 if entry.number == ROOT_ACCOUNT else usage / level if level else 0.0
        found[entry.number] = Share(
            norm=norm,
            usage=usage,
            usage_norm=usage / cluster if cluster else 0.0,
            effective=effective,
            level_fs=0.0 if not norm else norm / effective if effective else math.inf,
            factor=None,
            tres=used.get(entry.number, {}),
            tres_run={name: int(amount) for name, amount in promised.get(entry.number, {}).items()},
        )
    users = sum(1 for entry in entries if entry.user)
    for number, rank in ranks(children, {number: share.level_fs for number, share in found.items()}).items():
        found[number] = found[number]._replace(factor=rank / users)
    return found


def ranks(children: dict[int, list[Association]], level_fs: dict[int, float]) -> dict[int, int]:
    """Each user's rank, the highest first in line; those whose whole paths are tied have the same."""
    found: dict[int, int] = {}
    total = sum(1 for some in children.values() for entry in some if entry.user)
    given = 0  # ranks given so far, one a user
    current = total

    def walk(siblings: list[Association], tied: bool) -> None:
        nonlocal given, current
        siblings = sorted(siblings, key=lambda entry: (-level_fs[entry.number], not entry.user, entry.lineage))
        place = 0
        while place < len(siblings):
            entry = siblings[place]
            if place:
                tied = level_fs[siblings[place - 1].number] == level_fs[entry.number]
            place += 1
            if entry.user:
                if not tied:
                    current = total - given
                found[entry.number] = current
                given += 1
                continue
            # accounts that are tied are one: their children compete with each other
            merged = list(children.get(entry.number, ()))
            while place < len(siblings) and level_fs[siblings[place].number] == level_fs[entry.number]:
                merged += children.get(siblings[place].number, ())
                place += 1
            walk(merged, tied)

    walk(children.get(ROOT_ACCOUNT, []), False)
    return found


def values(share: Share) -> dict[str, Any]:
    """As rows of associations have it."""
    return {
        "shares_norm": share.norm,
        "usage_raw": share.usage,
        "usage_norm": share.usage_norm,
        "effective_usage": share.effective,
        "fairshare": share.factor,
        "level_fs": None if math.isinf(share.level_fs) else share.level_fs,
        "tres_usage": share.tres,
        "tres_run_seconds": share.tres_run,
    }


FIELDS = frozenset(
    (
        "shares_norm", "usage_raw", "usage_norm", "effective_usage", "fairshare", "level_fs", "tres_usage",
        "tres_run_seconds",
    )
)  # fmt: skip


class PastRun(msgspec.Struct):
    """What of a stored job tells its use: reading no more than this is quick."""

    user_name: str
    account: str = ""
    state: str = ""
    nodes: str = ""
    start_time: int = 0
    end_time: int = 0
    suspend_time: int = 0
    suspended_for: int = 0
    tres_alloc_str: str = ""
    db_index: int = 0


_past_run = msgspec.msgpack.Decoder(PastRun).decode


def past_use(beside: Used, records: Iterable[bytes], known: frozenset[int], last: int) -> Used:
    """The use of stored jobs, without those that memory counts itself: `known` ones, and any newer than `last`."""
    for data in records:
        run = _past_run(data)
        if run.db_index <= last and run.db_index not in known:
            beside.add(run)
    return beside
