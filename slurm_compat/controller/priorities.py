"""A job's priority: the weighted sum of slurm.conf's multifactor plugin.

Source: the Multifactor Priority Plugin's manual; sizes and ages observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from slurm_compat.controller import sluid
from slurm_compat.controller.jobs import Job
from slurm_compat.core.states import COMPLETING
from slurm_compat.core.timefmt import seconds_of

if TYPE_CHECKING:
    from slurm_compat.controller.nodes import Cluster

LARGEST = 0xFFFFFFFF - 2


def priority(job: Job, cluster: Cluster, now: int) -> int:
    """Higher goes first; at least 1, for 0 means held."""
    total = sum(weight * factor for weight, factor in terms(job, cluster, now)) - job.nice
    return min(max(int(total), 1), LARGEST)


def terms(job: Job, cluster: Cluster, now: int) -> list[tuple[int, float]]:
    """(weight, factor 0..1) of age, fair share, size, partition, QOS."""
    conf = cluster.conf
    names = job.partition.split(",")
    return [
        (conf.priority_weight_age, age(job, cluster, now)),
        (conf.priority_weight_fairshare, cluster.fairshare(job) if conf.priority_weight_fairshare else 1.0),
        (conf.priority_weight_job_size, size(job, cluster)),
        (conf.priority_weight_partition, partition(names, cluster)),
        (conf.priority_weight_qos, _share(_qos(job, cluster), max((qos.priority for qos in conf.qos), default=0))),
    ]


def age(job: Job, cluster: Cluster, now: int) -> float:
    oldest = seconds_of(cluster.conf.priority_max_age)
    waited = now - (job.accrue_time or job.eligible_time or now)
    return min(max(waited, 0) / oldest, 1.0) if oldest else 0.0


def size(job: Job, cluster: Cluster) -> float:
    """Half the job's share of the nodes and half its share of the CPUs."""
    nodes = len(cluster.nodes)
    cpus = sum(node.cpus for node in cluster.nodes.values())
    if not nodes or not cpus:
        return 0.0
    shape = job.shape
    return min((shape.minimum_nodes / nodes + shape.cpus / cpus) / 2, 1.0)


def partition(names: Iterable[str], cluster: Cluster) -> float:
    """Of the best of these partitions."""
    known = [cluster.partitions[name].priority_job_factor for name in names if name in cluster.partitions]
    return _share(max(known, default=0), _largest_partition(cluster))


def _largest_partition(cluster: Cluster) -> int:
    return max((part.priority_job_factor for part in cluster.partitions.values()), default=0)


def _qos(job: Job, cluster: Cluster) -> int:
    return next((qos.priority for qos in cluster.conf.qos if qos.name == job.qos), 0)


def _share(value: int, largest: int) -> float:
    return value / largest if largest > 0 else 0.0


def rows(job: Job, cluster: Cluster, now: int) -> Iterator[dict[str, Any]]:
    """What sprio shows of a job (core/fields.py's PRIORITY_FIELDS): a row for each of its partitions."""
    age_, fairshare, size_, _, qos = terms(job, cluster, now)
    for name in job.partition.split(","):
        place = (cluster.conf.priority_weight_partition, partition([name], cluster))
        total = sum(weight * factor for weight, factor in (age_, fairshare, size_, place, qos)) - job.nice
        yield {
            "job_id": job.job_id,
            "array_job_id": job.array_job_id,
            "sluid": sluid.text(job.db_index),
            "user_id": job.user_id,
            "user_name": job.user_name,
            "account": job.account,
            "partition": name,
            "qos": job.qos,
            "nice": job.nice,
            "priority": job.fixed_priority or min(max(int(total), 1), LARGEST),
            "age": age_[1],
            "fairshare": fairshare[1],
            "job_size": size_[1],
            "partition_factor": place[1],
            "qos_factor": qos[1],
        }


def shown(job: Job, now: int) -> bool:
    """Whether sprio lists a pending job: one that could start, were there room."""
    if job.hold or job.folded or job.dependency or COMPLETING in job.flags:
        return False
    return job.begin_time <= now
