"""A request as the YAML file that Armada's own tools take, for `slurm-compat translate`.

What Armada has no words for stands above it as comments: it is what the controller would keep.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import yaml

from slurm_compat.core.model import UNLIMITED, Depend, JobRequest
from slurm_compat.core.timefmt import limit_text
from slurm_compat.translators import dependencies
from slurm_compat.translators.jobspec import Inventory, Settings, job_items
from slurm_compat.translators.queues import queue_name
from slurm_compat.translators.shapes import Shape


class Layout(Inventory, Protocol):
    def default_partition(self) -> str: ...

    def lay_out(self, request: JobRequest, partition: str) -> Shape: ...


class _Job(NamedTuple):
    """The job as it would be; it has no id yet."""

    request: JobRequest
    shape: Shape
    partition: str
    time_limit: int
    account: str
    user_name: str
    qos: str
    name: str
    job_id: int = 0
    attempt: int = 1
    token: str = "TOKEN"
    priority: int = 1
    gang: str = ""
    gang_size: int = 0
    barred: list[str] = []  # never changed


class _Settings(NamedTuple):
    conf: Any
    cluster: Any
    authority: str = ""


# JobSubmitRequestItem's fields in the spelling of the YAML file
_SPELLING = {
    "client_id": "clientId",
    "external_job_uri": "externalJobUri",
    "pod_specs": "podSpecs",
}


def _inlined(item: dict[str, Any]) -> dict[str, Any]:
    """Kubernetes' own YAML has a volume's source beside its name."""
    pods = [
        pod | {"volumes": [{"name": each["name"], **each["volumeSource"]} for each in pod["volumes"]]}
        if "volumes" in pod
        else pod
        for pod in item["pod_specs"]
    ]
    return item | {"pod_specs": pods}


def translate(
    request: JobRequest, cluster: Any, time_limit: int = UNLIMITED, account: str = "", user_name: str = "user"
) -> str:
    """The file's text. `cluster` has `conf` and is a Layout; `time_limit`, minutes, as the checks settled it.

    Raises SlurmError for requests that the checks of a submission would refuse for their counts.
    """
    partition = request.partition or cluster.default_partition()
    shape = cluster.lay_out(request, partition)
    job = _Job(
        request=request,
        shape=shape,
        partition=partition,
        time_limit=time_limit,
        account=account or request.account,
        user_name=user_name,
        qos=request.qos,
        name=request.name or "sbatch",
    )
    settings: Settings = _Settings(cluster.conf, cluster)
    document = {
        "queue": queue_name(cluster.conf.armada.queue, job),
        "jobSetId": f"slurm-{cluster.conf.cluster_name}",
        "jobs": [
            {_SPELLING.get(key, key): value for key, value in _inlined(item).items()}
            for item in job_items(job, settings)
        ],
    }
    return kept(job) + str(yaml.dump(document, Dumper=_Plain, sort_keys=False, default_flow_style=False, width=120))


def kept(job: _Job) -> str:
    """Comment lines: what the controller keeps of the job, and does itself."""
    request = job.request
    lines = [f"{len(job.shape.members)} of Armada's jobs for a job of Slurm's"]
    if not job.shape.members:
        lines = ["no set of this partition's nodes can take the job"]
    if request.array:
        lines.append(f"array: {request.array}: as many of these, each with a job id of its own")
    dependency = dependencies.parse(request.dependency)
    if dependency.terms:
        terms = (" or " if dependency.any_of else " and ").join(map(_condition, dependency.terms))
        lines.append(f"dependency: submitted when {terms}")
    if request.begin_time:
        lines.append(f"begin: submitted at {request.begin_time} (epoch seconds)")
    if request.hold:
        lines.append("hold: submitted when released")
    if job.time_limit != UNLIMITED:
        lines.append(f"time limit: {limit_text(job.time_limit)}, kept by the agent; the deadline below is a backstop")
    if request.licenses:
        lines.append(f"licenses: submitted when these are free: {request.licenses}")
    if request.reservation:
        lines.append(f"reservation: submitted while {request.reservation} holds")
    lines.append("script, environment, output files, steps: the agent gets them from the controller")
    return "".join(f"# {line}\n" for line in lines)


def _condition(term: Depend) -> str:
    what = f"{term.kind}:{term.job_id}" if term.job_id else term.kind
    return what + (f"_{term.task_id}" if term.task_id is not None else "")


class _Plain(yaml.SafeDumper):
    """Without anchors: a list that appears twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
