"""Armada's event messages, with the fields that Armada really fills in and no others."""

from __future__ import annotations

from typing import Any

from armada_client.armada import event_pb2

from slurm_compat.engine.jobs import Job, Run
from slurm_compat.engine.submission import timestamp

POOL = "default"
CLUSTER_ID = "local"

OUTCOMES: dict[str, int] = {
    "Error": event_pb2.Error,
    "Evicted": event_pb2.Evicted,
    "OOM": event_pb2.OOM,
    "DeadlineExceeded": event_pb2.DeadlineExceeded,
    "Rejected": event_pb2.Rejected,
}


def pod_name(job_id: str) -> str:
    return f"armada-{job_id}-0"


def message(kind: str, job: Job, now: float, **fields: Any) -> Any:
    """An EventMessage of this kind ("queued", "running", …) for the job."""
    event = event_pb2.EventMessage()
    part = getattr(event, kind)
    part.job_id = job.id
    part.job_set_id = job.job_set
    part.queue = job.queue
    part.created.CopyFrom(timestamp(now))
    for name, value in fields.items():
        setattr(part, name, value)
    return event


def submitted(job: Job, now: float) -> Any:
    event = message("submitted", job, now)
    event.submitted.job.ParseFromString(job.spec)
    return event


def leased(job: Job, now: float) -> Any:
    return message("leased", job, now, cluster_id=CLUSTER_ID, pool=POOL)


def pending(job: Job, run: Run, now: float) -> Any:
    return message("pending", job, now, pool=POOL, **pod_fields(job, run))


def running(job: Job, run: Run, now: float) -> Any:
    return message("running", job, now, pool=POOL, node_name=run.node, **pod_fields(job, run))


def lease_returned(job: Job, run: Run, now: float, reason: str) -> Any:
    return message(
        "lease_returned", job, now, cluster_id=CLUSTER_ID, reason=reason, kubernetes_id=run.run_id, run_attempted=False
    )


def failed(
    job: Job, run: Run | None, now: float, reason: str, cause: str = "Error",
    containers: list[dict[str, Any]] | None = None, category: str = "", subcategory: str = "",
) -> Any:  # fmt: skip
    """`containers`: dicts of name, exit_code, reason, message, cause."""
    event = message("failed", job, now, reason=reason, cause=OUTCOMES[cause])
    part = event.failed
    part.failure_category = category
    part.failure_subcategory = subcategory
    if run is not None and containers is not None:
        part.node_name = run.node
        for name, value in pod_fields(job, run).items():
            setattr(part, name, value)
        for container in containers:
            part.container_statuses.add(
                name=container["name"],
                exitCode=container["exit_code"],
                reason=container["reason"],
                message=container.get("message", ""),
                cause=OUTCOMES[container.get("cause", "Error")],
            )
    return event


def pod_fields(job: Job, run: Run) -> dict[str, Any]:
    return {
        "cluster_id": CLUSTER_ID,
        "kubernetes_id": run.run_id,
        "pod_number": 0,
        "pod_name": pod_name(job.id),
        "pod_namespace": job.namespace,
    }
