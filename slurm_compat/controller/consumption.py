"""What the jobs of each QOS and association have used, for the limits that count use: wall time and TRES-seconds.

Use fades by half every PriorityDecayHalfLife, but that of a QOS with NoDecay does not. What ended is one sum each, as
of some moment; what runs is added when somebody asks. A sum goes to the store with the change that ends the job, so a
restart goes on with it. A QOS's UsageFactor multiplies its jobs' resources, not their wall time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_compat.controller.jobs import Job
from slurm_compat.controller.shares import integral
from slurm_compat.controller.tally import Bucket, amounts_of
from slurm_compat.core.states import SUSPENDED
from slurm_compat.store.changes import Change

KIND = "limit usage"  # of the store's things; the name is the bucket's words, by tab
WALL = ""  # beside the names of TRES
KEEP = 1.0  # seconds for which what runs is not counted again

Amounts = dict[str, float]


class Consumption:
    """`half_life(bucket)` in seconds, 0: never fades; `factor(qos)`; `running()`: jobs that run now."""

    def __init__(
        self,
        half_life: Callable[[Bucket], float],
        factor: Callable[[str], float],
        buckets_of: Callable[[Job], Iterable[Bucket]],
    ) -> None:
        self._half_life = half_life
        self._factor = factor
        self._buckets_of = buckets_of
        self.running: Callable[[], Iterable[Job]] = lambda: ()
        self._sums: dict[Bucket, tuple[float, Amounts]] = {}
        self._live: dict[Bucket, Amounts] = {}
        self._live_at = -KEEP

    def ended(self, job: Job, change: Change | None) -> None:
        """A run of the job is over: said once of each."""
        if not job.start_time or not job.nodes or job.end_time <= job.start_time:
            return
        self._live_at = -KEEP
        for bucket in self._buckets_of(job):
            at, kept = self._sums.get(bucket, (float(job.end_time), {}))
            latest = max(at, float(job.end_time))
            total = {name: amount * self._left(bucket, latest - at) for name, amount in kept.items()}
            for name, amount in self._of(job, bucket, job.end_time, latest).items():
                total[name] = total.get(name, 0.0) + amount
            self._sums[bucket] = (latest, total)
            self._save(bucket, change)

    def reset(self, bucket: Bucket, now: float, change: Change | None) -> None:
        """What was used counts no more; what runs counts from now on."""
        self._live_at = -KEEP
        until_now = {name: -amount for name, amount in self._running(now).get(bucket, {}).items()}
        self._sums[bucket] = (now, until_now)
        self._save(bucket, change)

    def _save(self, bucket: Bucket, change: Change | None) -> None:
        if change is None:
            return
        at, total = self._sums[bucket]
        name = "\t".join(map(str, bucket))
        data = json.dumps({"at": at, "used": {key: round(value, 3) for key, value in total.items()}})
        change.put("things", (KIND, name), {"kind": KIND, "name": name, "data": data})

    def restore(self, saved: Mapping[str, Any]) -> None:
        """What the store kept, by name."""
        for name, data in saved.items():
            self._sums[tuple(name.split("\t"))] = (float(data["at"]), dict(data["used"]))

    def known(self, now: float) -> set[Bucket]:
        """Those that have used anything."""
        return {*self._sums, *self._running(now)}

    def used(self, bucket: Bucket, now: float) -> Amounts:
        """TRES-seconds by name and, under WALL, seconds."""
        at, kept = self._sums.get(bucket, (now, {}))
        total = {name: amount * self._left(bucket, now - at) for name, amount in kept.items()}
        for name, amount in self._running(now).get(bucket, {}).items():
            total[name] = total.get(name, 0.0) + amount
        return total

    def _running(self, now: float) -> dict[Bucket, Amounts]:
        if not 0 <= now - self._live_at < KEEP:
            self._live = {}
            for job in self.running():
                for bucket in self._buckets_of(job):
                    total = self._live.setdefault(bucket, {})
                    for name, amount in self._of(job, bucket, int(now), now).items():
                        total[name] = total.get(name, 0.0) + amount
            self._live_at = now
        return self._live

    def _left(self, bucket: Bucket, seconds: float) -> float:
        half_life = self._half_life(bucket)
        return 0.5 ** (seconds / half_life) if half_life and seconds > 0 else 1.0

    def _of(self, job: Job, bucket: Bucket, end: int, now: float) -> Amounts:
        whole = end - job.start_time
        if whole <= 0:
            return {}
        suspended = job.suspended_for
        if job.state == SUSPENDED and job.suspend_time:
            suspended += max(0, end - job.suspend_time)
        share = max(whole - suspended, 0) / whole
        seconds = integral(job.start_time, end, now, self._half_life(bucket)) * share
        weighed = seconds * self._factor(job.qos)
        return {WALL: seconds} | {name: amount * weighed for name, amount in amounts_of(job.tres_alloc_str).items()}
