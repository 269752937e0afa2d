"""A job as Armada's job items: one for each of its nodes, a gang when there are several.

The spec is small and of constant size, whatever the script: the agent fetches script and environment from the
controller. Values are in the shape of Armada's messages (`JobSubmitRequestItem`, `PodSpec`), amounts as text.
Source: submit.proto and the submit checks of Armada; docs/architecture.md, "A pod".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from slurm_compat.core import hostlist
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.model import UNLIMITED, JobRequest
from slurm_compat.translators import constraints
from slurm_compat.translators.shapes import Member, Room, Shape
from slurm_compat.translators.volumes import volumes

HOSTNAME = "kubernetes.io/hostname"
PARTITION = "slurm-compat/partition-{}"
FEATURE = "slurm-compat/feature-{}"
GPU_TYPE = "slurm-compat/gpu-type"
RESERVATION_TAINT = "armadaproject.io/reservation"  # an administrator's, on nodes that others are to keep off
GPU = "nvidia.com/gpu"
OTHER_GRES = "slurm-compat/{}"
GANG_ID = "armadaproject.io/gangId"
EXCLUSIVE = "slurm-compat/exclusive"
GANG_CARDINALITY = "armadaproject.io/gangCardinality"
FAIL_FAST = "armadaproject.io/failFast"

LOWEST_PRIORITY = 0xFFFFFFFF  # Armada's priorities: 32 bits, the low number goes first
MAX_CLIENT_ID = 100
MAX_GRACE = 300  # seconds; Armada refuses more
# The agent keeps the time limit. This only ends pods whose agent can't be reached; a limit may be raised meanwhile.
BACKSTOP = 24 * 3600  # seconds past the limit
NO_DEADLINE = 0x7FFFFFFF  # Armada would put three days where nothing stands


class JobView(Protocol):
    """What of a job goes into its items."""

    @property
    def job_id(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def gang(self) -> str:
        """Names the gang that it shares with other jobs, "" for its own."""

    @property
    def gang_size(self) -> int: ...
    @property
    def token(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def user_name(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def partition(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def time_limit(self) -> int: ...
    @property
    def barred(self) -> list[str]:
        """Nodes that reservations keep it from."""

    @property
    def request(self) -> JobRequest: ...
    @property
    def shape(self) -> Shape: ...


class Part(Protocol):
    @property
    def node_names(self) -> list[str]: ...
    @property
    def labelled(self) -> bool:
        """Whether its nodes carry its label: not when it was made, or given other nodes, since they started."""

    @property
    def node_selector(self) -> dict[str, str]: ...
    @property
    def priority_class(self) -> str: ...


class Inventory(Protocol):
    """The cluster as the items need it."""

    @property
    def labelled(self) -> bool:
        """Whether nodes carry partition labels: not when the one node is just this machine."""

    def partition(self, name: str) -> Part: ...

    def closed_nodes(self) -> list[str]:
        """Nodes that are down or drained."""

    def rooms(self, names: Iterable[str], free: bool = False, open_only: bool = False) -> list[Room]: ...


class Settings(Protocol):
    @property
    def conf(self) -> ClusterConf: ...
    @property
    def cluster(self) -> Inventory: ...
    @property
    def authority(self) -> str:
        """A certificate, by which agents know a controller that they reach over TCP."""


def job_items(job: JobView, settings: Settings) -> list[dict[str, Any]]:
    """The items in rank order. The job has been laid out: its shape has members."""
    members = job.shape.members
    hosts = _own_hosts(job, settings) if settings.conf.armada.address and len(members) > 1 else []
    return [_item(job, settings, rank, member, hosts[rank] if hosts else ()) for rank, member in enumerate(members)]


def _item(job: JobView, settings: Settings, rank: int, member: Member, hosts: Sequence[str]) -> dict[str, Any]:
    conf = settings.conf
    return {
        "priority": armada_priority(job.priority),
        "namespace": conf.armada.namespace,
        "client_id": client_id(conf.cluster_name, job.job_id, job.attempt, rank),
        "external_job_uri": external_job_uri(conf.cluster_name, job.job_id, job.attempt, rank),
        "labels": {"slurm-compat/job-id": str(job.job_id), "slurm-compat/rank": str(rank)},
        "annotations": _annotations(job, conf, rank),
        "pod_specs": [_pod(job, settings, rank, member, hosts)],
    }


def armada_priority(priority: int) -> float:
    """Slurm's high goes first, Armada's low."""
    return float(LOWEST_PRIORITY - min(max(priority, 0), LOWEST_PRIORITY))


def slurm_priority(priority: float) -> int:
    """Back from `armada_priority`."""
    return LOWEST_PRIORITY - int(priority)


def client_id(cluster: str, job_id: int, attempt: int, rank: int) -> str:
    """The same for the same attempt of the same job, so that Armada knows a repeated submission again."""
    tail = f"-{job_id}-{attempt}-{rank}"
    if len(cluster) + len(tail) > MAX_CLIENT_ID:
        cluster = cluster[:40] + hashlib.sha256(cluster.encode()).hexdigest()[:16]
    return cluster + tail


def external_job_uri(cluster: str, job_id: int, attempt: int, rank: int) -> str:
    return f"slurm://{cluster}/{job_id}/{attempt}/{rank}"


def _annotations(job: JobView, conf: ClusterConf, rank: int) -> dict[str, str]:
    found = {
        "slurm-compat/cluster": conf.cluster_name,
        "slurm-compat/job": str(job.job_id),
        "slurm-compat/name": _short(job.name),
        "slurm-compat/user": job.user_name,
        "slurm-compat/account": job.account,
        "slurm-compat/partition": job.partition,
    }
    if job.request.exclusive == "user":
        found[EXCLUSIVE] = "user"  # the embedded engine keeps others away; Armada gave it the whole node
    size = job.gang_size or len(job.shape.members)
    if size > 1:
        found[GANG_ID] = f"{conf.cluster_name}-{job.gang or f'{job.job_id}-{job.attempt}'}"
        found[GANG_CARDINALITY] = str(size)
        found[FAIL_FAST] = "true"
    return found


def _short(text: str) -> str:
    # Armada would replace {JobId}; it keeps 1024 bytes of an annotation
    return text.encode(errors="replace").decode(errors="replace")[:200].replace("{JobId}", "{{JobId}}")


def _pod(job: JobView, settings: Settings, rank: int, member: Member, hosts: Sequence[str]) -> dict[str, Any]:
    conf = settings.conf
    amounts = resources(member)
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": min(max(conf.kill_wait + 5, 1), MAX_GRACE),
        "activeDeadlineSeconds": deadline(job.time_limit, conf),
        "containers": [
            {
                "name": "agent",
                "image": conf.armada.image,
                "command": ["python3", "-m", "slurm_compat.agent"],
                "env": _environment(job, settings, rank),
                "resources": {"requests": amounts, "limits": amounts},
            }
        ],
    }
    if conf.armada.address:  # the embedded engine's pods have this machine's files, and its root where it is root
        folders, mounts = volumes(conf.armada)
        if folders:
            pod["volumes"] = folders
            pod["containers"][0]["volumeMounts"] = mounts
        if conf.armada.run_as_root:
            pod["securityContext"] = {"runAsUser": 0}  # the agent becomes the job's user
    first = settings.cluster.partition(job.partition.split(",")[0])
    if first.priority_class:
        pod["priorityClassName"] = first.priority_class
    terms = selector_terms(job, settings, member, hosts)
    if conf.armada.address and job.request.reservation:
        pod["tolerations"] = [
            {"key": RESERVATION_TAINT, "operator": "Equal", "value": name, "effect": "NoSchedule"}
            for name in job.request.reservation.split(",")
        ]
    if terms != [[]]:
        pod["affinity"] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": term} for term in terms]
                }
            }
        }
    return pod


def resources(member: Member) -> dict[str, str]:
    """What the pod asks for; request and limit are the same, for Armada takes nothing else."""
    amounts = {"cpu": str(max(member.cpus, 1)), "memory": f"{max(member.memory_mib, 1)}Mi"}
    if member.gpus:
        amounts[GPU] = str(member.gpus)
    for key, number in member.other_gres.items():
        amounts[OTHER_GRES.format(key.partition(":")[0])] = str(number)
    return amounts


def deadline(time_limit: int, conf: ClusterConf) -> int:
    """Seconds after which Kubernetes ends the pod, whatever its agent does."""
    if time_limit == UNLIMITED or conf.over_time_limit == UNLIMITED:
        return NO_DEADLINE
    return min((time_limit + conf.over_time_limit) * 60 + conf.kill_wait + BACKSTOP, NO_DEADLINE)


def _environment(job: JobView, settings: Settings, rank: int) -> list[dict[str, Any]]:
    conf = settings.conf
    address = conf.armada.controller_address or f"unix:{conf.state_save_location}/run/controller.sock"
    values = {
        "SLURM_COMPAT_CONTROLLER": address,
        "SLURM_COMPAT_JOB_ID": str(job.job_id),
        "SLURM_COMPAT_RESTART": str(job.attempt),
        "SLURM_COMPAT_RANK": str(rank),
        "SLURM_COMPAT_TOKEN": job.token,
    }
    if conf.armada.controller_address:
        values["SLURM_COMPAT_AUTHORITY"] = settings.authority
    places = {"SLURM_COMPAT_NODE": "spec.nodeName", "SLURM_COMPAT_POD_IP": "status.podIP"}
    return [{"name": name, "value": value} for name, value in values.items()] + [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in places.items()
    ]


Term = list[dict[str, Any]]


def selector_terms(job: JobView, settings: Settings, member: Member, hosts: Sequence[str] = ()) -> list[Term]:
    """Node selector terms, of which one must hold: the job's partitions times the sets of features it can do with."""
    common = _host_expressions(job.request, [*settings.cluster.closed_nodes(), *job.barred], member, hosts)
    common = _kept_in(job, settings, common)
    if member.gpu_type:
        common.append(_in(GPU_TYPE, [member.gpu_type]))
    terms = []
    for name in job.partition.split(","):
        part = settings.cluster.partition(name)
        partition: Term = []
        if not part.labelled:
            partition = [_in(HOSTNAME, part.node_names)]
        elif settings.cluster.labelled:
            partition = [_in(PARTITION.format(name), ["true"])]
        partition += [_in(key, [value]) for key, value in part.node_selector.items()]
        for features in constraints.read(member.constraint):
            terms.append(partition + [_in(FEATURE.format(word), ["true"]) for word in sorted(features)] + common)
    return terms


def _kept_in(job: JobView, settings: Settings, common: Term) -> Term:
    """The nodes of a reservation by name, where that is shorter than all the others."""
    parts = [settings.cluster.partition(name) for name in job.partition.split(",")]
    inside = [name for part in parts for name in part.node_names if name not in set(job.barred)]
    if not job.request.reservation or job.request.required_nodes or len(inside) >= len(job.barred):
        return common
    if any(term["operator"] == "In" for term in common):
        return common
    closed = set(settings.cluster.closed_nodes()) | set(hostlist.expand(job.request.excluded_nodes))
    return [_in(HOSTNAME, [name for name in dict.fromkeys(inside) if name not in closed])]


def _host_expressions(request: JobRequest, closed: Iterable[str], member: Member, hosts: Sequence[str]) -> Term:
    found: Term = []
    required = list(dict.fromkeys(hostlist.expand(request.required_nodes)))
    if hosts:
        found.append(_in(HOSTNAME, hosts))
    elif member.node:
        found.append(_in(HOSTNAME, [member.node]))
    elif required and _all_from(request, required):
        found.append(_in(HOSTNAME, required))
    avoided = dict.fromkeys([*hostlist.expand(request.excluded_nodes), *closed])
    if required and not member.node and not _all_from(request, required):
        avoided.update(dict.fromkeys(required))  # these are for other members
    if avoided:
        found.append({"key": HOSTNAME, "operator": "NotIn", "values": list(avoided)})
    return found


def _all_from(request: JobRequest, required: Sequence[str]) -> bool:
    """Whether --nodelist names more nodes than the job has, so that all of them come from it."""
    return bool(request.maximum_nodes or request.minimum_nodes) and len(required) > (
        request.maximum_nodes or request.minimum_nodes or 0
    )


def _in(key: str, values: Sequence[str]) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": list(values)}


def _own_hosts(job: JobView, settings: Settings) -> list[list[str]]:
    """Disjoint sets of nodes, one for each member: Armada would put two members on one node, which Slurm never does.

    [] when there are too few nodes that are known here; Armada then decides.
    """
    members = job.shape.members
    sets: list[list[str]] = [[] for _ in members]
    excluded = {*hostlist.expand(job.request.excluded_nodes), *job.barred}
    pinned = {member.node for member in members if member.node}
    for rank, member in enumerate(members):
        if member.node:
            sets[rank].append(member.node)
    names = dict.fromkeys(
        name for part in job.partition.split(",") for name in settings.cluster.partition(part).node_names
    )
    for room in settings.cluster.rooms(names, open_only=True):
        if room.name in excluded or room.name in pinned:
            continue
        ranks = [rank for rank, member in enumerate(members) if not member.node and takes(room, member)]
        if ranks:
            smallest = min(ranks, key=lambda rank: len(sets[rank]))
            if len(sets[smallest]) < MOST_HOSTS:
                sets[smallest].append(room.name)
    return sets if all(sets) else []


MOST_HOSTS = 400  # a member's choice; keeps the spec far below Armada's 64 KiB


def takes(room: Room, member: Member) -> bool:
    """Whether the node, were it idle, could be this member's."""
    return (
        room.cpus >= member.cpus
        and room.memory_mib >= member.memory_mib
        and sum(number for key, number in room.gres.items() if key.partition(":")[0] == "gpu") >= member.gpus
        and constraints.satisfies(room.features, constraints.read(member.constraint))
    )
