"""The time limit of a job that asked for none: of one partition its DefaultTime or MaxTime, of several an open one.

Source: observed on 26.05. The DefaultTime of the partition named first counts as asked for, wherever the job runs then.
Where that has none, the limit is open until the job starts: each partition's MaxTime is what it would have there. A job
that waits shows that of the partition named last, which slurmctld looked at last; a held one that of the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurm_compat.core import tres

if TYPE_CHECKING:
    from slurm_compat.controller.jobs import Job
    from slurm_compat.controller.nodes import Cluster
    from slurm_compat.controller.partitions import Partition
    from slurm_compat.core.model import JobRequest


def is_open(request: JobRequest, names: str, cluster: Cluster) -> bool:
    """Whether the limit depends on which of the partitions (`a,b`) the job will run in."""
    first = cluster.partitions.get(names.split(",")[0])
    return request.time_limit is None and "," in names and first is not None and first.default_time is None


def shown(names: str, held: bool, cluster: Cluster) -> int:
    """The open limit, minutes, of a job that waits."""
    return cluster.partitions[names.split(",")[0 if held else -1]].max_time


def within(limit: int, request: JobRequest, names: str, part: Partition, cluster: Cluster) -> int:
    """The limit, minutes, that the job has if it is this partition's: `limit`, unless it is open."""
    return part.max_time if is_open(request, names, cluster) else limit


def at_start(job: Job, names: str, cluster: Cluster) -> int:
    """The limit, minutes, of a job that starts in `job.partition` and had the choice of `names`."""
    part = cluster.partitions.get(job.partition)
    if part is None or not is_open(job.request, names, cluster):
        return job.time_limit
    return min(part.max_time, cluster.limiter.longest(cluster.limiter.owner_of(job), tres.parse(job.tres_req_str)))
