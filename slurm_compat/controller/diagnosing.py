"""sdiag's call, and the figures that it and the metrics are made of. controller/statistics.py counts what has happened;
here it is put beside what is now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurm_compat.core import clusterargs, errors, taskids
from slurm_compat.core.errors import SlurmError

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session


def statistics(controller: Controller, session: Session, args: clusterargs.Statistics) -> dict[str, Any]:
    if not args.reset:
        return figures(controller)
    if session.caller is None or not session.caller.operator:
        raise SlurmError(errors.ACCESS_DENIED)
    controller.statistics.reset(controller.now(), controller.counters)
    return {}


def figures(controller: Controller) -> dict[str, Any]:
    """Counts since the last reset, and how things stand. Times are microseconds."""
    table = controller.table
    outbox = controller.outbox
    waiting = [table.jobs[job_id] for job_id in table.pending]
    return controller.statistics.figures(controller.counters) | {
        "jobs_pending": sum(taskids.count(job.array_ranges) if job.array_ranges else 1 for job in waiting),
        "started_at": controller.started_at,
        "now": controller.now(),
        "jobs": len(table.jobs),
        "pending": len(table.pending),
        "running": len(table.running),
        "waiting": controller.staging.waiting,
        "blocked": len(controller.staging.blocked),
        "inside": sum(1 for _ in controller.staging.inside),
        "outbox": outbox.length,
        "pending_messages": outbox.kinds(),
        "sending": int(outbox.length > 0),  # one worker takes the outbox's messages to Armada
        "server_threads": 1,
        "store_queue": controller.store.waiting,
        "armada_failures": outbox.failures,
        "commits": controller.store.commits,
        "changes": controller.store.changes,
        "agents": sum(len(run.links) for run in controller.agents.runs.values()),
        "counters": dict(controller.counters),
        "sources": controller.sources(),
    }
