"""Who has used how much, and what that makes of their fair share: usage that halves with age, and Fair Tree.

Usage is resource-seconds. What was used at a moment counts half after PriorityDecayHalfLife; a run of constant
resources is the integral of that, so nothing has to be added up while it runs: what ended is kept as one sum an
association and brought up to date when it is looked at. Source: the manuals of the Multifactor plugin and of the
Fair Tree algorithm; observed on 26.05.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec

from slurm_compat.controller.associations import tree
from slurm_compat.controller.fairtree import Amounts as Amounts
from slurm_compat.controller.fairtree import Share as Share
from slurm_compat.controller.fairtree import fair_tree as fair_tree
from slurm_compat.controller.jobs import Job
from slurm_compat.core import tres
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.errors import BadValue
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.timefmt import seconds_of
from slurm_compat.store.changes import Change

FACTOR_EVERY = 10  # seconds a priority may rely on shares worked out before
DEFAULT_HALF_LIFE = 7 * 86400
DEFAULT_PERIOD = 300.0
YEAR_MINUTES = 365 * 1440  # as which a job without a time limit is counted


def half_life_of(conf: ClusterConf) -> float:
    """Seconds; 0: usage never fades."""
    text = conf.priority_decay_half_life
    try:
        return float(seconds_of(text))
    except BadValue:
        return float(DEFAULT_HALF_LIFE)


def period_of(conf: ClusterConf) -> float:
    """PriorityCalcPeriod in seconds."""
    try:
        return max(float(seconds_of(str(conf.priority_calc_period))), 1.0)
    except BadValue:
        return DEFAULT_PERIOD


def last_reset(period: str, at: float) -> float:
    """When use was last set to nothing: midnight by the local clock of the day, the Sunday, the month … `at` is of."""
    day = time.localtime(at)
    year, month, date = day.tm_year, day.tm_mon, day.tm_mday
    if period == "DAILY":
        pass
    elif period == "WEEKLY":
        date -= (day.tm_wday + 1) % 7
    elif period == "MONTHLY":
        date = 1
    elif period == "QUARTERLY":
        month, date = month - (month - 1) % 3, 1
    elif period == "YEARLY":
        month, date = 1, 1
    else:
        return 0.0
    return time.mktime((year, month, date, 0, 0, 0, 0, 0, -1))


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
    qos: str
    state: str
    nodes: str
    start_time: int
    end_time: int
    suspend_time: int
    suspended_for: int
    tres_alloc_str: str


class Rules(NamedTuple):
    """How use counts."""

    half_life: float = 0.0  # seconds; 0: it never fades
    period: float = 0.0  # seconds, PriorityCalcPeriod
    reset: str = ""  # PriorityUsageResetPeriod
    factors: Mapping[str, float] = {}  # UsageFactor of each QOS that has one

    @classmethod
    def of(cls, conf: ClusterConf) -> Rules:
        factors = {qos.name: qos.usage_factor for qos in conf.qos if qos.usage_factor != 1}
        return cls(half_life_of(conf), period_of(conf), conf.priority_usage_reset_period, factors)

    def since(self, at: float) -> float:
        """What was used before that moment counts no more at `at`."""
        return last_reset(self.reset, at)


class Used:
    """Use of what has ended, by association number; each sum is as of some moment, and fades from there."""

    def __init__(self, numbers: Mapping[tuple[str, str], int], rules: Rules) -> None:
        self.numbers = numbers  # by user and account
        self.rules = rules
        self.half_life = rules.half_life
        self._sums: dict[int, tuple[float, Amounts]] = {}

    def add(self, run: Run) -> None:
        if not run.nodes or not run.start_time or run.end_time <= run.start_time:
            return
        number = self.numbers.get((run.user_name, run.account))
        if number is not None:
            weighed = _seconds(run, run.end_time, run.end_time, self.rules)
            amounts = {name: amount * weighed for name, amount in _amounts(run.tres_alloc_str).items()}
            self._add(number, run.end_time, amounts)

    def _add(self, number: int, at: float, amounts: Amounts) -> None:
        """Amounts as of `at`; records come in no order, so either side may have to fade."""
        before, kept = self._sums.get(number, (at, {}))
        latest = max(at, before)
        since = self.rules.since(latest)
        kept, amounts = (kept if before >= since else {}), (amounts if at >= since else {})
        old, new = self._left(latest - before), self._left(latest - at)
        total = {name: amount * old for name, amount in kept.items()}
        for name, amount in amounts.items():
            total[name] = total.get(name, 0.0) + amount * new
        self._sums[number] = (latest, total)

    def _left(self, seconds: float) -> float:
        return 0.5 ** (seconds / self.half_life) if self.half_life and seconds > 0 else 1.0

    def known(self) -> set[int]:
        """Numbers of associations that something was used by."""
        return set(self._sums)

    def take_over(self, other: Used) -> None:
        """Another's sums, by user and account."""
        for name, number in other.numbers.items():
            if number in other._sums and name in self.numbers:
                self._add(self.numbers[name], *other._sums[number])

    def at(self, now: float) -> dict[int, Amounts]:
        return {
            number: {name: amount * self._left(now - at) for name, amount in amounts.items()}
            for number, (at, amounts) in self._sums.items()
            if at >= self.rules.since(now)
        }

    def sum_of(self, number: int) -> tuple[float, Amounts] | None:
        """(as of when, amounts) of an association, as it is kept."""
        return self._sums.get(number)

    def restore(self, number: int, at: float, amounts: Amounts) -> None:
        self._sums[number] = (at, amounts)


class Shares:
    """Use by association, and the factors made of it."""

    def __init__(self, conf: ClusterConf, running: Callable[[], Iterable[Job]], now: Callable[[], int]) -> None:
        self._running = running
        self._now = now
        self._factors: dict[int, float] = {}
        self._factors_at = 0
        self.used = Used({}, Rules())
        self.configure(conf)

    def configure(self, conf: ClusterConf) -> None:
        """The associations as the cluster file has them now; each keeps the use it had, whatever its number."""
        self._tree = tree(conf)
        self._parents = {entry.number: entry.parent_number for entry in self._tree}
        # where there are several, what is used in any partition counts for the one that is of no partition
        by_partition = sorted(self._tree, key=lambda entry: entry.partition, reverse=True)
        numbers = {(entry.user, entry.account): entry.number for entry in by_partition if entry.user}
        before, self.used = self.used, Used(numbers, Rules.of(conf))
        self.used.take_over(before)
        self._factors_at = 0

    def ended(self, job: Job, change: Change | None = None) -> None:
        """A run is over: its use is kept, in the store too with the change."""
        self.used.add(job)
        if change is not None and (kept := row(self.used, job.user_name, job.account)) is not None:
            change.put("things", (KIND, kept["name"]), kept)

    def reset(self, user: str, account: str, change: Change) -> None:
        """What was used in this association counts no more; what runs there counts from now on."""
        number = self.used.numbers.get((user, account))
        if number is None:
            return
        now = self._now()
        until_now: Amounts = {}
        for job in self._running():
            if (job.user_name, job.account) == (user, account) and job.start_time:
                weighed = _seconds(job, now, now, self.used.rules)
                for name, amount in _amounts(job.tres_alloc_str).items():
                    until_now[name] = until_now.get(name, 0.0) - amount * weighed
        self.used.restore(number, float(now), until_now)
        self._factors_at = 0
        if (kept := row(self.used, user, account)) is not None:
            change.put("things", (KIND, kept["name"]), kept)

    def beside(self) -> Used:
        """An empty account of use to fill elsewhere and merge."""
        return Used(self.used.numbers, self.used.rules)

    def now(self) -> dict[int, Share]:
        """Every association's share at this moment."""
        now = self._now()
        used = self.used.at(now)
        promised: dict[int, dict[str, float]] = {}
        for job in self._running():
            own = self.used.numbers.get((job.user_name, job.account))
            if own is None or not job.start_time:
                continue
            weighed = _seconds(job, now, now, self.used.rules)
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


def _seconds(job: Run, end: int, now: int, rules: Rules) -> float:
    """Weighed seconds of a run up to `end`; time spent suspended is no use, and is spread over the run."""
    whole = end - job.start_time
    if whole <= 0:
        return 0.0
    suspended = job.suspended_for
    if job.suspend_time and job.state == "SUSPENDED":
        suspended += max(0, end - job.suspend_time)
    at_work = max(whole - suspended, 0) / whole * rules.factors.get(job.qos, 1.0)
    weighed = integral(max(job.start_time, rules.since(now)), end, now, rules.half_life)
    return weighed * at_work * _rounding(whole, rules)


def _rounding(seconds: float, rules: Rules) -> float:
    """Slurm adds use up once a period, and lets all of a period's fade as if it was from its beginning."""
    if not rules.half_life:
        return 1.0
    faded = math.log(2) * min(rules.period, seconds) / rules.half_life
    return faded / math.expm1(faded) if faded else 1.0


def _left(job: Job, now: int) -> int:
    limit = YEAR_MINUTES if job.time_limit == UNLIMITED else job.time_limit
    return max(0, job.start_time + limit * 60 - now)


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
    qos: str = ""
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


KIND = "use"  # of the store's things; the name is user and account, by tab, and "" says that all use is there


def row(used: Used, user: str, account: str) -> dict[str, str] | None:
    """What the store keeps of an association's use; None when there is none."""
    number = used.numbers.get((user, account))
    kept = used.sum_of(number) if number is not None else None
    if kept is None:
        return None
    return {"kind": KIND, "name": f"{user}\t{account}", "data": json.dumps({"at": kept[0], "used": kept[1]})}


def restored(used: Used, things: Iterable[tuple[str, str, Any]]) -> bool:
    """Take what a store kept. Whether it had all there is: an older one has the records alone."""
    whole = False
    for kind, name, data in things:
        if kind != KIND:
            continue
        user, tab, account = name.partition("\t")
        whole = whole or not tab
        if (number := used.numbers.get((user, account))) is not None and tab:
            used.restore(number, float(data["at"]), {key: float(value) for key, value in data["used"].items()})
    return whole


def rows(used: Used) -> Iterator[dict[str, str]]:
    """All of it, with the word that it is."""
    for user, account in used.numbers:
        if (kept := row(used, user, account)) is not None:
            yield kept
    yield {"kind": KIND, "name": "", "data": "{}"}
