"""Whether a limit keeps a job from starting, or from being submitted: the rules of its owner against the counts.

A check looks at the owner's few rules and at counters, never at other jobs. `Cluster` has one, so that it follows the
configuration in use; the controller tells it of every change of a job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from slurm_compat.controller.consumption import Consumption
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.limitchecks import ALONE, HOLDS, Wanted, fullest
from slurm_compat.controller.limitrules import JOB_TIME, TIME, Book, Owner, Rules, rules_of
from slurm_compat.controller.limits import enforced
from slurm_compat.controller.shares import half_life_of
from slurm_compat.controller.tally import Bucket, Entry, Tally, amounts_of
from slurm_compat.core.cluster import ClusterConf, QosConf
from slurm_compat.core.errors import ACCOUNTING_POLICY, SlurmError
from slurm_compat.core.model import UNLIMITED
from slurm_compat.translators.shapes import Shape

if TYPE_CHECKING:
    from slurm_compat.controller.nodes import Cluster

THRESHOLD = "QOSUsageThreshold"


class Limiter:
    """`conf()` and `partition_qos(partitions)` are what holds now; `safe` is AccountingStorageEnforce's."""

    def __init__(self, conf: Callable[[], ClusterConf], partition_qos: Callable[[str], str]) -> None:
        self._conf = conf
        self._partition_qos = partition_qos
        self.tally = Tally(self._buckets)
        self.consumption = Consumption(self._half_life, self.usage_factor, self._job_buckets)
        self.now: Callable[[], int] = lambda: int(time.time())
        self.fairshare: Callable[[Job], float] = lambda job: 1.0
        self._book = Book(conf())
        self._rules: dict[Owner, Rules] = {}
        self._sums: dict[Bucket, dict[str, float]] = {}  # of accounts, as of one second
        self._sums_at = 0.0
        self._any = False
        self.safe = False
        self._learn()

    # who counts where

    @property
    def book(self) -> Book:
        conf = self._conf()
        if conf is not self._book.conf:
            self._book = Book(conf)
            self._learn()
            self.tally.again()
        return self._book

    def _learn(self) -> None:
        conf = self._book.conf
        self._rules.clear()
        self._any = enforced(conf, "limits")
        self.safe = enforced(conf, "safe")
        self._half = half_life_of(conf)

    def changed(self) -> None:
        """A partition has another QOS."""
        self._sums.clear()
        self._rules.clear()
        self.tally.again()

    def _buckets(self, entry: Entry) -> Iterator[Bucket]:
        book = self.book
        for name in dict.fromkeys((entry.qos, self._partition_qos(entry.partition))):
            if name:
                yield ("qos", name)
                yield ("qos user", name, entry.user_id)
                yield ("qos account", name, entry.account)
        if entry.account:
            yield ("user", entry.account, entry.user_name)
            for name in book.above(entry.account):
                yield ("account", name)

    def _job_buckets(self, job: Job) -> Iterator[Bucket]:
        """Where use is kept: with the QOS and the users' associations; an account's is the sum of what is below."""
        for name in dict.fromkeys((job.qos, self._partition_qos(job.partition))):
            if name:
                yield ("qos", name)
        if job.account:
            yield ("user", job.account, job.user_name)

    def _half_life(self, bucket: Bucket) -> float:
        qos = self._book.qos.get(str(bucket[1])) if bucket[0] == "qos" else None
        return 0.0 if qos is not None and "nodecay" in qos.flags.lower() else self._half

    def usage_factor(self, name: str) -> float:
        qos = self._book.qos.get(name)
        return qos.usage_factor if qos is not None else 1.0

    def owner_of(self, job: Job) -> Owner:
        first = job.partition.partition(",")[0]
        return Owner(job.user_id, job.user_name, job.account, job.qos, self._partition_qos(first), first)

    def rules(self, owner: Owner) -> Rules:
        book = self.book
        found = self._rules.get(owner)
        if found is None:
            if len(self._rules) > 10_000:
                self._rules.clear()
            found = self._rules[owner] = rules_of(book, owner)
        return found

    def flags(self, qos: str, partition: str) -> frozenset[str]:
        """Flags of a job's QOS and of its partition's, in small letters."""
        names = dict.fromkeys((qos, self._partition_qos(partition)))
        found = (self.book.qos.get(name) for name in names)
        return frozenset(word for one in found if one is not None for word in flag_words(one))

    # asking

    def waits_for(self, job: Job) -> str:
        """The limit that keeps a pending job from starting now, "" when none does."""
        book = self.book
        if not self._any or self.tally.is_active(job.job_id):
            return ""
        owner = self.owner_of(job)
        rules = self.rules(owner)
        if not rules.start and "enforceusagethreshold" not in rules.flags:
            return ""
        qos = book.qos.get(owner.qos)
        threshold = qos.usage_threshold if qos is not None and "enforceusagethreshold" in rules.flags else None
        if threshold is not None and threshold >= 0 and self.fairshare(job) < threshold:
            return THRESHOLD
        wanted = self.wanted(owner, amounts_of(job.tres_req_str), job.shape, job.time_limit)
        for rule in rules.start:
            if not HOLDS[rule.kind](self, rule, wanted):
                return rule.reason
        return ""

    def wanted(self, owner: Owner, amounts: Mapping[str, int], shape: Shape, time_limit: int) -> Wanted:
        """What rules compare of a job. A UsageFactor counts for what is not used yet with UsageFactorSafe alone."""
        safe = "usagefactorsafe" in self.rules(owner).flags
        return Wanted(amounts, fullest(shape), time_limit, self.usage_factor(owner.qos) if safe else 1.0)

    def deny(self, owner: Owner, wanted: Wanted, jobs: int) -> None:
        """Raises SlurmError for more jobs than may wait and run, and, with DenyOnLimit, for one that never could."""
        if not self._any:
            return
        rules = self.rules(owner)
        if rules.strict:
            for rule in sorted(rules.start, key=lambda rule: (not rule.of_qos, rule.kind == TIME)):
                alone = ALONE.get(rule.kind)
                if alone is not None and not alone(self, rule, wanted):
                    raise SlurmError(ACCOUNTING_POLICY, notes=[rule.reason])
        for rule in rules.submit if jobs else ():
            if self.tally.of(rule.bucket).submitted + jobs > rule.most:
                raise SlurmError(ACCOUNTING_POLICY, notes=[rule.reason])

    def longest(self, owner: Owner, wanted: Mapping[str, int]) -> int:
        """The time limit in minutes that a job gets which asks for none: no more than limits allow."""
        if not self._any:
            return UNLIMITED
        rules = self.rules(owner)
        most = [rule.most for rule in rules.start if rule.kind == TIME]
        if rules.strict:
            for rule in rules.start:
                if rule.kind == JOB_TIME and wanted.get(rule.tres):
                    most.append(rule.most // wanted[rule.tres])
        return int(min(most, default=UNLIMITED))

    def accrues(self, job: Job) -> bool:
        """Whether one more job of this owner may gain priority by waiting."""
        book = self.book
        if not self._any:
            return True
        owner = self.owner_of(job)
        return all(self.tally.of(bucket).accruing < most for bucket, most in accrual(book, owner))

    def used(self, bucket: Bucket) -> dict[str, float]:
        """TRES-seconds, and seconds of wall time under WALL; of an account with all below it."""
        now = float(self.now())
        if bucket[0] != "account":
            return self.consumption.used(bucket, now)
        if self._sums_at != now:
            self._sums_at = now
            self._sums.clear()
        if bucket in self._sums:
            return self._sums[bucket]
        total = self._sums[bucket] = {}
        for leaf in self.consumption.known(now):
            if leaf[0] == "user" and bucket[1] in self.book.above(str(leaf[1])):
                for name, amount in self.consumption.used(leaf, now).items():
                    total[name] = total.get(name, 0.0) + amount
        return total


def flag_words(qos: QosConf) -> list[str]:
    return [word for word in qos.flags.lower().replace(" ", "").split(",") if word]


def accrual(book: Book, owner: Owner) -> Iterator[tuple[Bucket, int]]:
    """The buckets whose jobs that gain age are bounded."""
    for qos in book.qos_in_order(owner):
        rows: tuple[tuple[int | None, Bucket], ...] = (
            (qos.grp_jobs_accrue, ("qos", qos.name)),
            (qos.max_jobs_accrue_per_account, ("qos account", qos.name, owner.account)),
            (qos.max_jobs_accrue_per_user, ("qos user", qos.name, owner.user_id)),
        )
        yield from ((bucket, most) for most, bucket in rows if most is not None)
    line = book.line(owner)
    for bucket, holder in line:
        if holder.grp_jobs_accrue is not None:
            yield bucket, holder.grp_jobs_accrue
    own = next((holder.max_jobs_accrue for _, holder in line if holder.max_jobs_accrue is not None), None)
    if own is not None:
        yield ("user", owner.account, owner.user_name), own


def of_cluster(cluster: Cluster) -> Limiter:
    """The limiter of a cluster's present configuration and partitions."""
    return Limiter(lambda: cluster.conf, lambda names: cluster.qos_of(names))
