"""Preemption to fair share: who must go so that a queue below its share gets what it is due.

Only jobs of preemptible classes go, the newest first, and only from queues above their share; a gang goes whole. Shares
are weight over the sum of the weights of the queues that have work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slurm_compat.engine.backlog import Unit
from slurm_compat.engine.fairness import Shares
from slurm_compat.engine.jobs import Job
from slurm_compat.engine.place import Pool

Free = dict[str, dict[str, int]]  # node: what is free


def fair_shares(factors: Mapping[str, float]) -> dict[str, float]:
    """The share of each active queue, from their priority factors."""
    total = sum(1 / factor for factor in factors.values())
    return {queue: 1 / factor / total for queue, factor in factors.items()}


def victims(
    unit: Unit,
    pool: Pool,
    shares: Shares,
    factors: Mapping[str, float],
    preemptible: Iterable[Job],
    leaving: Iterable[str],
) -> list[Job]:
    """The jobs to preempt for a unit that does not fit; [] when that would not be fair, or not be enough.

    `leaving`: keys of places in the pool that are being cleared already: what they free comes without more victims.
    """
    fair = fair_shares(factors)
    if shares.cost(unit.queue, 1.0, unit.asks()) > fair[unit.queue]:
        return []
    free: Free = {node: dict(amounts) for node, amounts in pool.free.items()}
    for key in leaving:
        give(free, *pool.taken[key])
    if pool.place(unit.shapes, unit.uniformity, free) is not None:
        return []
    left = Shares(pool.total)
    left.held = {queue: dict(amounts) for queue, amounts in shares.held.items()}
    chosen: list[Job] = []
    for crew in crews(job for job in preemptible if job.queue != unit.queue):
        queue = crew[0].queue
        if left.cost(queue, 1.0) <= fair.get(queue, 0.0):
            continue
        for job in crew:
            assert job.run is not None
            left.remove(queue, job.shape.asks())
            give(free, job.run.node, job.shape.asks())
        chosen += crew
        if pool.place(unit.shapes, unit.uniformity, free) is not None:
            return chosen
    return []


def crews(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs that go together, those that came last first."""
    by_gang: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        by_gang.setdefault((job.queue, job.gang.id if job.gang else job.id), []).append(job)
    return sorted(
        by_gang.values(), key=lambda crew: max((job.run.leased, job.id) for job in crew if job.run), reverse=True
    )


def give(free: Free, node: str, amounts: Mapping[str, int]) -> None:
    if node in free:
        for name, amount in amounts.items():
            free[node][name] = free[node].get(name, 0) + amount
