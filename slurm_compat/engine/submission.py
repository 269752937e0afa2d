"""From a checked JobSubmitRequest to jobs: ids, defaults, and the text that stands for an id before there is one."""

from __future__ import annotations

from typing import Any

from armada_client.armada import submit_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from slurm_compat.engine.gangs import FAIL_FAST, gang_of
from slurm_compat.engine.jobs import Job
from slurm_compat.engine.shape import shape_of, with_tenant
from slurm_compat.engine.validation import DEFAULT_PRIORITY_CLASS, PRIORITY_CLASSES, pod_of

MAX_PRIORITY = 0xFFFFFFFF
MAX_EXTERNAL_URI = 1024
EXTERNAL_URI = "armadaproject.io/externalJobUri"
DEFAULT_GRACE = 1  # seconds
DEFAULT_LIMITS = {"cpu": "1", "memory": "1Gi"}  # of a container that does not name them


def priority_of(number: float) -> int:
    """Armada keeps priorities as whole numbers from 0."""
    if number != number or number <= 0:
        return 0
    return min(int(number + 0.5), MAX_PRIORITY) if number < MAX_PRIORITY else MAX_PRIORITY


def timestamp(moment: float) -> Timestamp:
    seconds = int(moment)
    return Timestamp(seconds=seconds, nanos=int((moment - seconds) * 1e9))


def spec_of(item: Any, job_id: str, queue: str, job_set: str, owner: str, now: float) -> Any:
    """The api.Job of one item, defaults filled in."""
    spec = submit_pb2.Job(
        id=job_id,
        client_id=item.client_id,
        job_set_id=job_set,
        queue=queue,
        namespace=item.namespace,
        owner=owner,
        priority=priority_of(item.priority),
        scheduler=item.scheduler,
        created=timestamp(now),
        ingress=item.ingress,
        services=item.services,
    )
    for name, value in item.labels.items():
        spec.labels[name] = with_job_id(value, job_id)
    for name, value in item.annotations.items():
        spec.annotations[name] = with_job_id(value, job_id)
    spec.pod_spec.CopyFrom(pod_of(item))
    fill_in(spec)
    return spec


def fill_in(spec: Any) -> None:
    pod = spec.pod_spec
    pod.restartPolicy = "Never"
    pod.priorityClassName = pod.priorityClassName or DEFAULT_PRIORITY_CLASS
    pod.terminationGracePeriodSeconds = pod.terminationGracePeriodSeconds or DEFAULT_GRACE
    for container in pod.containers:
        for name, amount in DEFAULT_LIMITS.items():
            if name not in container.resources.requests:
                container.resources.requests[name].string = amount
                container.resources.limits[name].string = amount
    if gang_of(spec.annotations) is not None:
        spec.annotations[FAIL_FAST] = "true"


def with_job_id(text: str, job_id: str) -> str:
    """`{JobId}` becomes the id, `{{JobId}}` the letters themselves."""
    if "{JobId}" not in text:
        return text
    return "{JobId}".join(part.replace("{JobId}", job_id) for part in text.split("{{JobId}}"))


def external_uri_of(item: Any) -> str:
    uri: str = item.external_job_uri or item.annotations.get(EXTERNAL_URI, "")
    return uri[:MAX_EXTERNAL_URI]


def job_of(spec: Any, submitted: float) -> Job:
    """The engine's job of an api.Job. A priority class nobody defines gets priority 0: the checks will reject it."""
    class_priority, preemptible = PRIORITY_CLASSES.get(spec.pod_spec.priorityClassName, (0, False))
    return Job(
        id=spec.id,
        queue=spec.queue,
        job_set=spec.job_set_id,
        namespace=spec.namespace,
        priority=int(spec.priority),
        submitted=submitted,
        spec=spec.SerializeToString(),
        shape=with_tenant(shape_of(spec.pod_spec), spec.annotations),
        class_priority=class_priority,
        preemptible=preemptible,
        gang=gang_of(spec.annotations),
        last_transition=submitted,
    )
