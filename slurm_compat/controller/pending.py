"""Why each pending job waits, as Slurm's schedulers say it.

Some reasons are a job's own (limits, nodes that are down, licences, QOS) and keep it from Armada; they are `blocked`.
The others come from the order: the first job of a partition that finds no room waits for Resources, those behind it
for their Priority. Source: squeue(1), JOB REASON CODES; observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable

from slurm_compat.controller import licenses, openlimits, reserved
from slurm_compat.controller.fits import limit_reason
from slurm_compat.controller.jobs import ADMIN_HOLD, Job
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.partitions import Partition
from slurm_compat.controller.priorities import priority as priority
from slurm_compat.core import hostlist, tres
from slurm_compat.core import reasons as words
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import JobRequest
from slurm_compat.core.nodestates import DRAIN
from slurm_compat.translators.shapes import Shape

Reason = tuple[str, str]  # state_reason, state_description
NO_REASON: Reason = (words.NONE, "")
# what a job that waited for nodes reads when they are closed to it later on
NODES_CLOSED = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"


def reasons(jobs: Iterable[Job], cluster: Cluster, now: int) -> dict[int, Reason]:
    """The reason of each pending job; `jobs` in order of priority, the first first."""
    found: dict[int, Reason] = {}
    full: set[str] = set()  # partitions in which a job before waits
    tried: dict[tuple[int, frozenset[str], str], bool] = {}
    tenants = _tenants(cluster)
    for job in jobs:
        own = own_reason(job, now) or blocked(job, cluster, now)
        if own is not None and own[0] != words.LICENSES:
            found[job.job_id] = own
            continue
        names = job.partition.split(",")
        if all(name in full for name in names):
            found[job.job_id] = (words.PRIORITY, "")
        elif own is not None:
            found[job.job_id] = own
        elif kept := _kept_by_others(job, tenants):
            room = shape_now(job, cluster, reserved.without(job.request, kept)) is not None
            pinned = job.request.exclusive == "user" and job.request.required_nodes
            waits = (words.NODE_NOT_AVAIL, reserved.MAY_BE_RESERVED) if pinned else (words.RESOURCES, "")
            found[job.job_id] = NO_REASON if room else waits
        elif _room_now(job, cluster, tried, now):
            found[job.job_id] = NO_REASON
        else:
            found[job.job_id] = (words.RESOURCES, "")
            full.update(names)
    return found


def _tenants(cluster: Cluster) -> dict[str, set[tuple[int, bool]]]:
    """The users on each node, and whether they keep others away; {} where nobody ever asked for that."""
    there: dict[str, set[tuple[int, bool]]] = {}
    asked = False
    for job in cluster.live():
        alone = job.request.exclusive == "user"
        asked = asked or alone
        for entry in job.resources:
            there.setdefault(entry[0], set()).add((job.user_id, alone))
    return there if asked else {}


def _kept_by_others(job: Job, tenants: dict[str, set[tuple[int, bool]]]) -> list[str]:
    """Nodes on which --exclusive=user, the job's own or another's, keeps it from those who are there."""
    alone = job.request.exclusive == "user"
    return [
        name
        for name, there in tenants.items()
        if any(user != job.user_id and (keeps or alone) for user, keeps in there)
    ]


def own_reason(job: Job, now: int) -> Reason | None:
    """Holds and waits that the job's record alone tells."""
    if job.hold:
        return (words.HELD_ADMIN if job.hold == ADMIN_HOLD else words.HELD_USER, "")
    if job.dependency:
        never = job.reason == words.DEPENDENCY_NEVER
        return (words.DEPENDENCY_NEVER if never else words.DEPENDENCY, "")
    if job.begin_time > now:
        return (words.BEGIN_TIME, "")
    if job.reason == words.ARRAY_LIMIT:
        return (words.ARRAY_LIMIT, "")
    return None


def blocked(job: Job, cluster: Cluster, now: int) -> Reason | None:
    """Why a ready job may not be given to Armada now, whatever else runs or waits; None: it may."""
    parts = [cluster.partitions[name] for name in job.partition.split(",") if name in cluster.partitions]
    if not parts:
        return (words.PARTITION_CONFIG, "")
    answers = [_partition_reason(job, part, cluster) for part in parts]
    if all(answers):
        return answers[0]
    limit = cluster.limiter.waits_for(job)
    if limit:
        return (limit, "")
    if job.request.licenses and not _licenses_there(job, cluster, now):
        return (words.LICENSES, "")
    if waits := reserved.waits_for(cluster, job, now):
        return waits
    if not job.shape.members and not cluster.lay_out(job.request, ",".join(part.name for part in parts)).members:
        return (words.BAD_CONSTRAINTS, "")  # held when it was submitted, so nobody had looked
    left = [part for part, answer in zip(parts, answers, strict=True) if not answer]
    return _unavailable(job, left, cluster) or _reserved(job, left, cluster, now)


def _partition_reason(job: Job, part: Partition, cluster: Cluster) -> Reason | None:
    if part.state == "DOWN":
        return (words.PARTITION_DOWN, "")
    if part.state == "INACTIVE":
        return (words.PARTITION_INACTIVE, "")
    minutes = openlimits.within(job.time_limit, job.request, job.partition, part, cluster)
    limit = limit_reason(minutes, job.shape, part, cluster, cluster.limiter.flags(job.qos, part.name))
    if limit:
        return (limit, "")
    if part.allow_groups != "ALL" and job.user_id != 0:
        allowed = part.allow_groups.split(",")
        if not cluster.groups_of(job.user_name) & set(allowed):
            text = (
                f"uid {job.user_id} not in group permitted to use this partition ({part.name}). "
                f"groups allowed: {part.allow_groups}"
            )
            return (words.PARTITION_CONFIG, text)
    return _by_list(job, part)


def _by_list(job: Job, part: Partition) -> Reason | None:
    """What the partition's lists of accounts and QOS say."""
    for value, allowed, denied, reason in (
        (job.account, part.allow_accounts, part.deny_accounts, words.ACCOUNT_NOT_ALLOWED),
        (job.qos, part.allow_qos, part.deny_qos, words.QOS_NOT_ALLOWED),
    ):
        if allowed != "ALL" and value not in allowed.split(","):
            return (reason, "")
        if allowed == "ALL" and value and value in denied.split(","):
            return (reason, "")
    return None


def _licenses_there(job: Job, cluster: Cluster, now: int) -> bool:
    used = cluster.used_licenses()
    tres.add(used, reserved.licenses_kept(cluster, job, now))
    for other in cluster.live():
        # handed to Armada, not started: it will take its licences
        if other.job_id != job.job_id and other.request.licenses and other.job_id not in cluster.licenses_used:
            counts = licenses.available(other.request.licenses, cluster.licenses, {})
            tres.add(used, counts or {})
    return licenses.available(job.request.licenses, cluster.licenses, used) is not None


def _unavailable(job: Job, parts: list[Partition], cluster: Cluster) -> Reason | None:
    """The closed nodes by name, when the open ones could not take the job though they were idle."""
    closed = [name for part in parts for name in cluster.closed_in(part.name)]
    if not closed or _could_run(job, parts, cluster):
        return None
    nodes = [cluster.nodes[name] for name in dict.fromkeys(closed)]
    required = set(hostlist.expand(job.request.required_nodes))
    if any(node.reason_at > job.submit_time > 0 and (not required or node.name in required) for node in nodes):
        return (words.RESOURCES, NODES_CLOSED)
    # nodes that drain still work, and don't count as unavailable
    gone = [node.name for node in nodes if node.down or DRAIN not in node.flags or not node.held]
    if not gone:
        return (words.NODE_NOT_AVAIL, f"{words.NODE_NOT_AVAIL}, May be reserved for other job")
    return (words.NODE_NOT_AVAIL, f"{words.NODE_NOT_AVAIL}, UnavailableNodes:{hostlist.compress(gone)}")


def _reserved(job: Job, parts: list[Partition], cluster: Cluster, now: int) -> Reason | None:
    """What a job waits for that could run but for the reservations of others, or has no room in its own."""
    kept = reserved.barred(cluster, job, now)
    if not kept or cluster.lay_out(reserved.without(job.request, kept), _names(parts), open_only=True).members:
        return None
    if job.request.reservation:
        return (words.RESOURCES, "")
    required = set(hostlist.expand(job.request.required_nodes))
    closed = dict.fromkeys(name for part in parts for name in cluster.closed_in(part.name))
    gone = [name for name in closed if not required or name in required]
    if not gone:
        return (words.NODE_NOT_AVAIL, reserved.MAY_BE_RESERVED)
    return (words.NODE_NOT_AVAIL, f"{words.NODE_NOT_AVAIL}, UnavailableNodes:{hostlist.compress(gone)}")


def _names(parts: list[Partition]) -> str:
    return ",".join(part.name for part in parts)


def _could_run(job: Job, parts: list[Partition], cluster: Cluster) -> bool:
    key = (id(job.request), cluster.generation, ",".join(part.name for part in parts))
    known = cluster.could_run.get(key)
    if known is not None and known[0] is job.request:
        return known[1]
    shape = cluster.lay_out(job.request, key[2], open_only=True)
    cluster.could_run[key] = (job.request, bool(shape.members))
    while len(cluster.could_run) > 4096:
        del cluster.could_run[next(iter(cluster.could_run))]
    return bool(shape.members)


def _room_now(job: Job, cluster: Cluster, tried: dict[tuple[int, frozenset[str], str], bool], now: int) -> bool:
    """Whether the job would fit now. Equal requests share their object, so each is tried once a round."""
    kept = reserved.barred(cluster, job, now)
    key = (id(job.request), kept, job.partition)
    if key not in tried:
        tried[key] = shape_now(job, cluster, reserved.without(job.request, kept) if kept else None) is not None
    return tried[key]


def shape_now(job: Job, cluster: Cluster, narrowed: JobRequest | None = None) -> Shape | None:
    """The job's shape over what is free now, None when it doesn't fit. --prefer is heeded where it can be."""
    try:
        return cluster.shape_now(job, narrowed)
    except SlurmError:
        return None
