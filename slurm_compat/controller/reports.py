"""What sreport asks: sums over whole hours that were added up, and jobs by their size, from the records themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller import rolling
from slurm_compat.controller.privacy import Privacy
from slurm_compat.controller.rollup import ASSOCIATION, QOS, WCKEY, Run, amounts_of, at_work
from slurm_compat.core import hostlist, privatedata, tres
from slurm_compat.core.errors import ACCESS_DENIED, BAD_ARGUMENT, SlurmError
from slurm_compat.store import history, rollups

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session
    from slurm_compat.core import bookargs
    from slurm_compat.store.store import Connection

KINDS = (ASSOCIATION, QOS, WCKEY)
LONGEST = 100 * 366 * 86400  # seconds a question may span


def checked(start: int, end: int) -> tuple[int, int]:
    if not 0 <= start <= end or end - start > LONGEST:
        raise SlurmError(BAD_ARGUMENT, "the time asked for is no time")
    return start, end


async def usage(controller: Controller, session: Session, args: bookargs.Usage) -> dict[str, Any]:
    if args.kind not in KINDS:
        raise SlurmError(BAD_ARGUMENT, f"there is no use by {args.kind[:40]}")
    if args.kind == WCKEY and session.caller is not None and not session.caller.operator:
        raise SlurmError(ACCESS_DENIED)
    start, end = checked(args.start, args.end)
    days = rolling.days_within(start, min(end, controller.now()))

    def read(connection: Connection) -> dict[str, Any]:
        return {
            "rows": [list(row) for row in rollups.used(connection, args.kind, start, end, days)],
            "total": {name: sums["total"] for name, sums in rollups.cluster(connection, start, end).items()},
        }

    answer: dict[str, Any] = await controller.store.read(read)
    private = Privacy(controller, session.caller)
    # the names of a row: an account and a user or QOS, or a workload key and a user
    accounts, users = args.kind != "wckey", args.kind != "qos"
    answer["rows"] = [
        row for row in answer["rows"] if private.shows_association(row[1] if users else "", row[0] if accounts else "")
    ]
    return answer


async def cluster_usage(controller: Controller, session: Session, args: bookargs.Span) -> dict[str, Any]:
    start, end = checked(args.start, args.end)
    found = await controller.store.read(partial(rollups.cluster, start=start, end=end))
    return {"cluster": controller.conf.cluster_name, "tres": found}


async def reservation_usage(controller: Controller, session: Session, args: bookargs.Span) -> dict[str, Any]:
    start, end = checked(args.start, args.end)
    known = rolling.owners_of(controller.cluster)

    def read(connection: Connection) -> list[dict[str, Any]]:
        kept = rolling.recorded(connection, start, end)
        first = min((one.start_time for one in kept), default=start)
        last = max((one.end_time for one in kept), default=end)
        used: dict[str, list[tuple[int, str, int]]] = {}
        for hour, name, _, of, seconds in rollups.used_by_hour(connection, rolling.RESERVATION, first, last):
            used.setdefault(name, []).append((hour, of, seconds))
        return [_reservation_row(one, used.get(one.name, []), known) for one in kept]

    return {"rows": await controller.store.read(read)}


def _reservation_row(
    one: rolling.Record, used: Iterable[tuple[int, str, int]], known: Iterable[rolling.Owner]
) -> dict[str, Any]:
    within: dict[str, int] = {}
    for hour, name, seconds in used:
        if rolling.whole_hour(one.start_time) <= hour < one.end_time:
            tres.add(within, {name: seconds})
    return {
        "name": one.name,
        "id": one.reservation_id,
        "start": one.start_time,
        "end": one.end_time,
        "tres": rolling.amounts(one.tres),
        "used": within,
        "nodes": hostlist.compress(one.nodes),
        "flags": one.flags,
        "associations": [list(owner) for owner in one.owners(known)],
    }


class SizedRun(Run):
    """A run with what sizes are asked by."""

    job_id: int = 0
    array_job_id: int = 0
    user_id: int = 0
    group_id: int = 0
    partition: str = ""


_sized = msgspec.msgpack.Decoder(SizedRun).decode


async def job_sizes(controller: Controller, session: Session, args: bookargs.JobSizes) -> dict[str, Any]:
    start, end = checked(args.start, args.end)
    args = msgspec.structs.replace(args, end=min(end, controller.now()))
    if session.caller is not None and Privacy(controller, session.caller).hides(privatedata.JOBS):
        others = args.user_ids and session.caller.uid not in args.user_ids
        if others:
            return {"rows": []}
        args = msgspec.structs.replace(args, user_ids=[session.caller.uid])

    def read(connection: Connection) -> list[list[Any]]:
        if args.group_ids or args.nodes:  # of which only the records know
            return sizes_of(args, map(_sized, history.overlapping(connection, start, args.end)))
        which = history.Filter(
            job_ids=args.job_ids, user_ids=args.user_ids, partitions=args.partitions, wckeys=args.wckeys
        )
        over = history.sizes(connection, which, start, args.end)
        return _together(args.tres, over, sizes_of(args, map(_sized, history.living(connection))))

    return {"rows": await controller.store.read(read)}


def _together(
    tres_name: str, over: Iterable[tuple[str, str, str, float, int]], living: Iterable[list[Any]]
) -> list[list[Any]]:
    """What is over, by the text of its TRES, and what is not, by its CPUs, as one table."""
    found: dict[tuple[str, str, int], list[int]] = {(row[0], row[1], row[2]): row[3:] for row in living}
    for account, wckey, text, seconds, jobs in over:
        amounts = dict(amounts_of(text))
        sums = found.setdefault((account, wckey, amounts.get("cpu", 0)), [0, 0])
        sums[0] += int(amounts.get(tres_name, 0) * seconds)
        sums[1] += jobs
    return [[*key, *sums] for key, sums in sorted(found.items())]


def sizes_of(args: bookargs.JobSizes, runs: Iterable[SizedRun]) -> list[list[Any]]:
    """By account, workload key and CPUs: resource-seconds and number of the jobs that ran in that time."""
    takes = _taker(args)
    found: dict[tuple[str, str, int], list[int]] = {}
    for run in runs:
        seconds = _seconds(run, args.start, args.end)
        if not seconds or not takes(run):
            continue
        amounts = dict(amounts_of(run.tres_alloc_str))
        sums = found.setdefault((run.account, run.request.wckey, amounts.get("cpu", 0)), [0, 0])
        sums[0] += int(amounts.get(args.tres, 0) * seconds)
        sums[1] += 1
    return [[*key, *sums] for key, sums in sorted(found.items())]


def _seconds(run: Run, start: int, end: int) -> float:
    """Time at work between the two."""
    if not run.nodes or not run.start_time:
        return 0
    until = run.end_time or end
    inside = min(until, end) - max(run.start_time, start)
    return inside * at_work(run, until) if inside > 0 else 0


def _taker(args: bookargs.JobSizes) -> Callable[[SizedRun], bool]:
    tests: list[Callable[[SizedRun], bool]] = []
    jobs = frozenset(args.job_ids)
    nodes = frozenset(args.nodes)
    wanted: tuple[tuple[Iterable[Any], Callable[[SizedRun], Any]], ...] = (
        (args.user_ids, lambda run: run.user_id),
        (args.group_ids, lambda run: run.group_id),
        (args.partitions, lambda run: run.partition),
        (args.wckeys, lambda run: run.request.wckey),
    )
    for values, read in wanted:
        if values:
            tests.append(_among(frozenset(values), read))
    if jobs:
        tests.append(lambda run: run.job_id in jobs or run.array_job_id in jobs)
    if nodes:
        tests.append(lambda run: not nodes.isdisjoint(hostlist.named(run.nodes)))
    return lambda run: all(test(run) for test in tests)


def _among(values: frozenset[Any], read: Callable[[SizedRun], Any]) -> Callable[[SizedRun], bool]:
    return lambda run: read(run) in values
