"""When jobs that wait for room may start: what `squeue --start` shows. CPUs alone are counted, job after job.

Each takes its turn when enough of what runs before it has reached its time limit: nobody overtakes, so a job that the
embedded engine or Armada lets past, or that needs less time than its limit, starts sooner than was said.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from slurm_compat.controller.jobs import Job
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.views import shown_end
from slurm_compat.core import reasons

MOST = 100  # jobs that are looked at, as Slurm's backfill looks at so many only
WITHOUT_LIMIT = 365 * 24 * 3600  # seconds that a job without a time limit is counted with
WAITING = (reasons.RESOURCES, reasons.PRIORITY)


class _Partition:
    def __init__(self, free: int, now: int) -> None:
        self.free = free
        self.clock = now
        self.ends: list[tuple[int, int]] = []  # when, CPUs that are free from then on

    def next_start(self, cpus: int) -> int:
        """When so many CPUs are free, 0: never."""
        while self.free < cpus and self.ends:
            end, released = heapq.heappop(self.ends)
            self.clock = max(self.clock, end)
            self.free += released
        return self.clock if self.free >= cpus else 0

    def take(self, cpus: int, end: int) -> None:
        self.free -= cpus
        heapq.heappush(self.ends, (end, cpus))


def starts(waiting: Iterable[Job], running: Iterable[Job], cluster: Cluster, now: int) -> dict[int, int]:
    """Job id: epoch seconds. `waiting` by priority; those whose start nothing is known of are left out."""
    parts: dict[str, _Partition] = {}
    for name, part in cluster.partitions.items():
        nodes = [cluster.nodes[node] for node in part.node_names if cluster.nodes[node].available]
        parts[name] = _Partition(sum(node.cpus - node.allocated_cpus for node in nodes), now)
    for job in running:
        if job.partition in parts:
            heapq.heappush(parts[job.partition].ends, (shown_end(job), job.cpus))
    found: dict[int, int] = {}
    looked = 0
    for job in waiting:
        if job.reason not in WAITING:
            continue
        looked += 1
        if looked > MOST:
            break
        first = parts.get(job.partition.split(",")[0])
        start = first.next_start(job.shape.cpus) if first is not None else 0
        if first is None or start <= now:
            continue  # it waits for something else than CPUs
        seconds = WITHOUT_LIMIT if job.time_limit >= WITHOUT_LIMIT // 60 else job.time_limit * 60
        first.take(job.shape.cpus, start + seconds)
        found[job.job_id] = start
    return found
