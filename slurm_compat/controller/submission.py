"""The checks of a submission: everything slurmctld would refuse is refused here, in its words; the rest is resolved.

A job that can't start now but may later is accepted: down nodes come back, limits are raised. A job that no node of
its partition could ever take is refused, unless it is held, for then nobody has looked at the nodes yet (as Slurm).
"""

from __future__ import annotations

import re

import msgspec

from slurm_compat.controller import fits, licenses, limits, openlimits, reserved
from slurm_compat.controller.caller import Caller as Caller
from slurm_compat.controller.caller import Usage as Usage
from slurm_compat.controller.limitrules import Owner
from slurm_compat.controller.nodes import Cluster, looked_at
from slurm_compat.controller.partitions import Partition
from slurm_compat.core import errors, hostlist, taskids, tres
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.model import UNLIMITED, Depend, JobRequest
from slurm_compat.translators import constraints, dependencies
from slurm_compat.translators.shapes import Shape

NO_PREEMPTION = 2179
NICE_BOUND = 0x7FFFFFFF - 2


class Accepted(msgspec.Struct, kw_only=True):
    """A request with everything resolved. Times: epoch seconds; limits: minutes."""

    partition: str
    account: str
    qos: str
    association_id: int
    time_limit: int
    time_minimum: int | None
    nice: int
    hold: bool
    array_ids: list[tuple[int, int, int]]  # first, last, step; [] without --array
    throttle: int
    dependency: list[Depend]
    dependency_any: bool
    begin_time: int
    shape: Shape
    tres_req_str: str
    messages: list[str]  # for the user to see; the job is accepted all the same


def check(
    request: JobRequest,
    caller: Caller,
    cluster: Cluster,
    now: int,
    usage: Usage | None = None,
    will_run: bool = False,
    new: bool = True,
) -> Accepted:
    """Raises SlurmError: number, text and notes as sbatch shows them.

    `will_run`: the question is when the job would start (--test-only), so limits it could only wait for refuse it.
    `new`: it is one more job, and not one there is that changes.
    """
    refuse_uncarried(request)
    _check_sampling(request.account_gather_frequency, cluster.conf.job_acct_gather_frequency)
    array = _array(request, cluster)
    nice = _nice(request, caller)
    if "RESERVATION" in request.kill_warning_flags:
        raise SlurmError(NO_PREEMPTION)  # R: a reservation's job gives way, which takes preemption
    if request.reboot and not caller.admin:
        raise SlurmError(errors.ACCESS_DENIED, notes=["rebooting of nodes is only allowed for admins"])
    partition = partition_names(request.partition, caller, cluster)
    check_access(request, partition, cluster)
    first = cluster.partitions[partition.split(",")[0]]
    link = limits.association(cluster.conf, caller.user_name, request.account, first.name)
    qos = limits.qos_of(cluster.conf, link, request.qos)
    licenses.asked(request.licenses, cluster.licenses)
    check_features(request, cluster)
    check_node_names(request, cluster)
    who = reserved.who_of(cluster, caller.user_name, link.account, qos, partition)
    reserved.check_access(cluster, request.reservation, who, caller.uid == 0)
    dependency = dependencies.parse(request.dependency)
    if usage is not None:
        dependency = dependencies.known_only(dependency, usage.known)
    time_limit, time_minimum = time_limits(request, first, now)
    limiter = cluster.limiter
    owner = Owner(caller.uid, caller.user_name, link.account, qos, cluster.qos_of(partition), first.name)
    if "requiresreservation" in limiter.flags(qos, partition) and not request.reservation:
        raise SlurmError(errors.INVALID_QOS)
    hold = request.hold or request.priority == 0
    shape = cluster.lay_out(request, partition)
    wanted = tres.parse(shape.tres_req_str)
    jobs = taskids.count(array.ranges) if array.ranges else 1
    if openlimits.is_open(request, partition, cluster):
        time_limit = openlimits.shown(partition, hold, cluster)
    if request.time_limit is None:
        time_limit = min(time_limit, limiter.longest(owner, wanted))
    limiter.deny(owner, limiter.wanted(owner, wanted, shape, time_limit), jobs if new else 0)
    if not hold or will_run:
        fits.check(request, partition, time_limit, shape, cluster, will_run, qos)
        check_nodes_reserved(reserved.Asking(request, time_limit, shape), partition, cluster, now, will_run)
        shape = looked_at(shape, request)
    return Accepted(
        partition=partition,
        account=link.account,
        qos=qos,
        association_id=link.number,
        time_limit=time_limit,
        time_minimum=time_minimum,
        nice=nice,
        hold=hold,
        array_ids=array.ranges,
        throttle=array.throttle,
        dependency=dependency.terms,
        dependency_any=dependency.any_of,
        begin_time=request.begin_time,
        shape=shape,
        tres_req_str=shape.tres_req_str,
        messages=[],
    )


# field of a request, value (None: any but the empty one), what the user reads
UNCARRIED: tuple[tuple[str, str | None, str], ...] = (
    ("container", None, "--container is not supported here; start the container in the job's script"),
    ("container_id", None, "--container-id is not supported here; start the container in the job's script"),
)


def refuse_uncarried(request: JobRequest) -> None:
    """Options that would change the result and have no counterpart here."""
    for field, value, text in UNCARRIED:
        given = getattr(request, field)
        if given and (value is None or given == value):
            raise SlurmError(errors.NOT_SUPPORTED, text)


def _check_sampling(asked: str, most: int) -> None:
    """--acctg-freq: tasks can't be looked at less often than the cluster does, or never."""
    for part in filter(None, asked.split(",")):
        kind, _, number = part.rpartition("=")
        digits = re.match(r"-?\d+", number)
        if kind.lower() in ("", "task") and most and not 0 < int(digits[0] if digits else 0) <= most:
            raise SlurmError(errors.INVALID_ACCTG_FREQ)


def _array(request: JobRequest, cluster: Cluster) -> taskids.TaskIds:
    if not request.array:
        return taskids.TaskIds([])
    try:
        return taskids.parse(request.array, cluster.conf.max_array_size)
    except BadValue:
        raise SlurmError(errors.INVALID_ARRAY) from None


def _nice(request: JobRequest, caller: Caller) -> int:
    nice = request.nice or 0
    if abs(nice) > NICE_BOUND or (nice < 0 and not caller.operator):
        raise SlurmError(errors.INVALID_NICE)
    return nice


def partition_names(asked: str, caller: Caller, cluster: Cluster) -> str:
    """The partitions of a job as it keeps them, "a" or "a,b"; the default one for "". Raises SlurmError."""
    names = [name for name in asked.split(",") if name] or [cluster.default_partition()]
    if names == [""]:
        raise SlurmError(errors.DEFAULT_PARTITION_NOT_SET)
    unknown = [name for name in names if name not in cluster.partitions]
    if unknown:
        notes = [f"invalid partition specified: {name}" for name in unknown[:1]]
        raise SlurmError(errors.INVALID_PARTITION_NAME, notes=notes)
    names = [_instead(name, cluster) for name in names]
    for name in names:
        part = cluster.partitions[name]
        if part.root_only and caller.uid != 0:
            raise SlurmError(errors.ACCESS_DENIED)
        if part.disable_root_jobs and caller.uid == 0:
            raise SlurmError(errors.ACCESS_DENIED)
        if part.state in ("DRAIN", "INACTIVE"):
            raise SlurmError(errors.PARTITION_NOT_AVAIL)
    return ",".join(dict.fromkeys(names))


def _instead(name: str, cluster: Cluster) -> str:
    """The partition that takes jobs in this one's place while it takes none: its Alternate, or that one's."""
    for _ in range(len(cluster.partitions)):
        part = cluster.partitions[name]
        if part.state not in ("DRAIN", "INACTIVE") or part.alternate not in cluster.partitions:
            break
        name = part.alternate
    return name


def check_access(request: JobRequest, partition: str, cluster: Cluster) -> None:
    """What a partition asks of a job beyond its user: a reservation, and to be submitted from certain nodes."""
    for name in partition.split(","):
        part = cluster.partitions[name]
        if part.require_reservation and not request.reservation:
            raise SlurmError(errors.ACCESS_DENIED)
        from_where = request.allocating_node.split(".")[0]
        anywhere = part.allow_alloc_nodes.upper() == "ALL" or not from_where
        if not anywhere and from_where not in hostlist.expand(part.allow_alloc_nodes):
            raise SlurmError(errors.ACCESS_DENIED)


def check_features(request: JobRequest, cluster: Cluster) -> None:
    """--constraint, --prefer, --batch."""
    known = cluster.features()
    try:
        constraints.choices(request.constraints, known)
    except BadValue:
        raise SlurmError(errors.INVALID_FEATURE) from None
    try:
        constraints.choices(request.prefer, known)
    except BadValue:
        raise SlurmError(errors.INVALID_PREFER) from None
    if request.batch_features:
        wanted = constraints.names(request.batch_features)
        if not wanted or not set(wanted) <= set(constraints.names(request.constraints)):
            raise SlurmError(errors.INVALID_BATCH_FEATURES)


def check_node_names(request: JobRequest, cluster: Cluster) -> None:
    """--nodelist and --exclude: names of nodes that there are, and none in both."""
    lists = []
    for text in (request.required_nodes, request.excluded_nodes):
        try:
            names = hostlist.expand(text)
        except BadValue:
            raise SlurmError(errors.INVALID_NODE_NAME) from None
        if any(name not in cluster.nodes for name in names):
            raise SlurmError(errors.INVALID_NODE_NAME)
        lists.append(set(names))
    if lists[0] & lists[1]:
        raise SlurmError(errors.INVALID_NODE_NAME)


def check_nodes_reserved(asking: reserved.Asking, partition: str, cluster: Cluster, now: int, will_run: bool) -> None:
    """Nodes that could take the job are its reservation's; and no others' now, when the question is when it starts."""
    if not cluster.reservations or not asking.shape.members:
        return
    own = reserved.usable(cluster, asking, now)
    if not will_run and (not own or any(not one.whole for one in own)):
        return
    if will_run and not own and asking.request.reservation:
        raise SlurmError(errors.INVALID_TIME_VALUE)
    kept = reserved.barred(cluster, asking, now)
    if kept and not cluster.lay_out(reserved.without(asking.request, kept), partition).members:
        inside = set(hostlist.expand(asking.request.required_nodes)) & kept
        notes = ["Problem using reservation"] if own and inside else []
        raise SlurmError(errors.REQUESTED_NODE_CONFIG_UNAVAILABLE, notes=notes)


def time_limits(request: JobRequest, part: Partition, now: int) -> tuple[int, int | None]:
    """Limit and least limit in minutes. A limit above the partition's is accepted, and waits. Raises SlurmError."""
    limit = request.time_limit
    if limit is None:
        limit = part.default_time if part.default_time is not None else part.max_time
    least = request.time_minimum
    if least is not None and (least == 0 or least > limit):
        raise SlurmError(errors.INVALID_TIME_MIN)
    if request.deadline:
        start = max(now, request.begin_time)
        if least is not None and start + least * 60 > request.deadline:
            raise SlurmError(errors.INVALID_TIME_MIN)
        # a partition's DefaultTime counts as asked for, its MaxTime doesn't
        asked = request.time_limit if request.time_limit is not None else part.default_time or 0
        needed = asked if least is None else least
        if needed == UNLIMITED or start + needed * 60 > request.deadline:
            raise SlurmError(errors.INVALID_TIME_LIMIT)
        if least is None and request.time_limit is None:
            least = 1  # the limit may shrink to this so that the job still ends in time
    return limit, least
