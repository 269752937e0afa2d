"""What reservations mean for a job: which nodes it may have now, how long that holds, and why it waits.

A job that names reservations has their nodes and no others, while they go on; any other job keeps off a node whose
reservation its time limit would run into. Nodes it may not have are written into the job's items, so Armada heeds what
is decided here, and a job that waits inside Armada is taken back when the answer changes (controller/calendar.py).
Source: scontrol(1), RESERVATIONS; observed on 26.05.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from slurm_compat.controller.jobs import Job
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.reservation import YEAR, Reservation, Who
from slurm_compat.core import hostlist, reasons
from slurm_compat.core.errors import (
    RESERVATION_ACCESS,
    RESERVATION_INVALID,
    SlurmError,
)
from slurm_compat.core.model import UNLIMITED, JobRequest
from slurm_compat.translators.shapes import Shape

Reason = tuple[str, str]


class Asking(NamedTuple):
    """A job that there is not yet."""

    request: JobRequest
    time_limit: int
    shape: Shape
    job_id: int = 0


Claim = Job | Asking
MAY_BE_RESERVED = f"{reasons.NODE_NOT_AVAIL}, May be reserved for other job"


def who_of(cluster: Cluster, user: str, account: str, qos: str, partition: str) -> Who:
    return Who(user, accounts_above(cluster, account), cluster.groups_of, qos, tuple(partition.split(",")))


def accounts_above(cluster: Cluster, account: str) -> tuple[str, ...]:
    """The account and those it is below; a circle ends it."""
    parents = {entry.name: entry.parent for entry in cluster.conf.accounts}
    found: list[str] = []
    while account and account not in found:
        found.append(account)
        account = parents.get(account, "")
    return tuple(found)


def named(text: str) -> list[str]:
    return text.split(",") if text else []


def check_access(cluster: Cluster, text: str, who: Who, admin: bool) -> None:
    """--reservation=a,b. Raises SlurmError for one nobody made, or one that is not for this job."""
    for name in named(text):
        reservation = cluster.reservations.get(name)
        if reservation is None:
            raise SlurmError(RESERVATION_INVALID)
        if not admin and not reservation.allows(who):
            raise SlurmError(RESERVATION_ACCESS)


def of_job(cluster: Cluster, job: Claim) -> list[Reservation]:
    """Those it names that there are."""
    found = (cluster.reservations.get(name) for name in named(job.request.reservation))
    return [reservation for reservation in found if reservation is not None]


def lasts_until(job: Claim, now: int) -> int:
    """When a job that starts now is over at the latest."""
    minutes = job.time_limit
    return now + (YEAR if minutes == UNLIMITED else min(minutes * 60, YEAR))


def usable(cluster: Cluster, job: Claim, now: int) -> list[Reservation]:
    """The reservations a job names in which it may start now."""
    return [one for one in of_job(cluster, job) if one.active(now) or one.flexible]


def barred(cluster: Cluster, job: Claim, now: int) -> frozenset[str]:
    """The nodes that reservations keep a job from, were it to start now."""
    if not cluster.reservations:
        return frozenset()
    if job.request.reservation or not all(one.whole for one in cluster.reservations.values()):
        return _barred(cluster, job, now)
    # the same for all that last as long: thousands may be asked about in one second
    moment = (now, [(one.start_time, one.end_time, one.nodes, one.flags) for one in cluster.reservations.values()])
    if cluster.barred_at != moment:
        cluster.barred_at, cluster.barred_for = moment, {}
    found = cluster.barred_for.get(job.time_limit)
    if found is None:
        found = cluster.barred_for[job.time_limit] = _barred(cluster, job, now)
    return found


def _barred(cluster: Cluster, job: Claim, now: int) -> frozenset[str]:
    own = usable(cluster, job, now)
    until = lasts_until(job, now)
    kept: set[str] = set()
    for other in cluster.reservations.values():
        if other in own or not other.nodes or any(one.above_others for one in own):
            continue
        if other.overlaps(now, until, now):
            kept.update(_taken(cluster, other, job))
    own_nodes = [one for one in own if one.nodes]
    if own_nodes and not any(one.flexible for one in own_nodes):
        inside = {name for one in own_nodes for name in one.nodes}
        kept.update(name for name in cluster.nodes if name not in inside)
    for one in own_nodes:
        if not one.whole:
            kept.update(name for name in one.nodes if _cores_left(cluster, one, name) < _cpus(job))
    return frozenset(kept)


def _taken(cluster: Cluster, other: Reservation, job: Claim) -> Iterable[str]:
    """The nodes of another's reservation; of one for cores, those that have too few beside them."""
    if other.whole:
        return other.nodes
    return [name for name in other.nodes if _left_beside(cluster, name, job) < _cpus(job)]


def _cpus(job: Claim) -> int:
    """The most that the job wants of one node."""
    return max((member.cpus for member in job.shape.members), default=job.shape.minimum_cpus_per_node or 1)


def _left_beside(cluster: Cluster, name: str, job: Claim) -> int:
    """CPUs of a node that are neither reserved nor somebody's: running, or on their way there."""
    node = cluster.nodes[name]
    there = [one for one in cluster.reservations.values() if not one.whole and name in one.cores]
    reserved = sum(len(one.cores[name]) for one in there) * node.threads
    inside = {held for one in there for held in _jobs_in(cluster, one)}
    used = sum(held.cpus.bit_count() for job_id, held in node.held.items() if job_id not in inside)
    coming = sum(_cpus(other) for other in _coming(cluster, name) if other.job_id not in inside | {job.job_id})
    return node.cpus - reserved - used - coming


def _cores_left(cluster: Cluster, one: Reservation, name: str) -> int:
    """CPUs of a reservation for cores that none of its jobs has on this node."""
    node = cluster.nodes[name]
    inside = _jobs_in(cluster, one)
    used = sum(held.cpus.bit_count() for job_id, held in node.held.items() if job_id in inside)
    return len(one.cores.get(name, ())) * node.threads - used


def _jobs_in(cluster: Cluster, one: Reservation) -> set[int]:
    return {job.job_id for job in cluster.live() if job.resv_id == one.reservation_id or one in of_job(cluster, job)}


def _coming(cluster: Cluster, name: str) -> list[Job]:
    """Jobs handed to Armada that may still get this node."""
    return [job for job in cluster.live() if not job.is_running and name not in job.barred]


def narrowed(cluster: Cluster, job: Claim, now: int) -> JobRequest:
    """The job's request without the nodes it may not have."""
    kept = barred(cluster, job, now)
    if not kept:
        return job.request
    return without(job.request, kept)


def without(request: JobRequest, names: Iterable[str]) -> JobRequest:
    excluded = set(hostlist.expand(request.excluded_nodes)) | set(names)
    return msgspec.structs.replace(request, excluded_nodes=hostlist.compress(excluded))


def changes_at(cluster: Cluster, job: Claim, now: int) -> int:
    """When `barred` answers otherwise because time goes by, 0: not that anybody knows."""
    if not cluster.reservations:
        return 0
    own = of_job(cluster, job)
    length = lasts_until(job, now) - now
    moments = []
    for other in cluster.reservations.values():
        start = other.begins_after(now)
        if other in own or not start or "TIME_FLOAT" in other.flags:
            continue
        if start - length >= now:
            moments.append(start - length + 1)
    return min(moments, default=0)


def waits_for(cluster: Cluster, job: Claim, now: int) -> Reason | None:
    """Why a job that names reservations may not start; None: one goes on, or it names none."""
    if not job.request.reservation or usable(cluster, job, now):
        return None
    return (reasons.RESERVATION, "")


def magnets(cluster: Cluster) -> list[Reservation]:
    """Those that jobs may run in without a word."""
    return [one for one in cluster.reservations.values() if "MAGNETIC" in one.flags]


def attracted(cluster: Cluster, job: Job, now: int) -> str:
    """The MAGNETIC reservation in which a job that names none has room now, when it has none outside; "" for none."""
    if job.request.reservation:
        return ""
    who = who_of(cluster, job.user_name, job.account, job.qos, job.partition)
    there = [one for one in magnets(cluster) if one.active(now) and one.allows(who)]
    if not there or cluster.shape_now(job, narrowed(cluster, job, now)) is not None:
        return ""
    for one in there:
        inside = copy.copy(job)
        inside.request = msgspec.structs.replace(job.request, reservation=one.name)
        if cluster.shape_now(inside, narrowed(cluster, inside, now)) is not None:
            return one.name
    return ""


def licenses_kept(cluster: Cluster, job: Claim, now: int) -> dict[str, int]:
    """Licences that reservations keep from a job that is not of them."""
    kept: dict[str, int] = {}
    if not cluster.reservations:
        return kept
    own = usable(cluster, job, now)
    until = lasts_until(job, now)
    for other in cluster.reservations.values():
        if other.licenses and other not in own and other.overlaps(now, until, now):
            for name, number in unused_licenses(cluster, other).items():
                kept[name] = kept.get(name, 0) + number
    return kept


def unused_licenses(cluster: Cluster, one: Reservation) -> dict[str, int]:
    """What is reserved and none of its jobs has."""
    inside = _jobs_in(cluster, one)
    left = licenses_of(one)
    for job_id, counts in cluster.licenses_used.items():
        if job_id in inside:
            for name, number in counts.items():
                left[name] = max(left.get(name, 0) - number, 0)
    return left


def licenses_reserved(cluster: Cluster, now: int) -> dict[str, int]:
    """What scontrol show licenses has as reserved."""
    found: dict[str, int] = {}
    for one in cluster.reservations.values():
        if one.active(now):
            for name, number in licenses_of(one).items():
                found[name] = found.get(name, 0) + number
    return found


def licenses_of(one: Reservation) -> dict[str, int]:
    """ "matlab:8,ansys" -> {"matlab": 8, "ansys": 1}; the text was checked when it was kept."""
    found: dict[str, int] = {}
    for part in filter(None, one.licenses.replace(";", ",").split(",")):
        name, _, number = part.partition(":")
        found[name] = found.get(name, 0) + int(number or 1)
    return found
