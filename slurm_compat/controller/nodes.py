"""The cluster's inventory: nodes, partitions and licences, what is taken of them, and the rows that commands ask for.

Where a pod runs is Armada's word; this is the book that is kept of it in Slurm's terms, and the view from which jobs
are judged before they are handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from slurm_compat.controller import host, licenses, nodeupdate, partitions
from slurm_compat.controller.host import Machine
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.node import Held, Node, bits_of, node_of
from slurm_compat.controller.partitions import Partition, partition_of
from slurm_compat.core import hostlist, tres
from slurm_compat.core.cluster import ClusterConf, NodeConf, PartitionConf
from slurm_compat.core.cpulist import cpu_numbers, cpu_text
from slurm_compat.core.errors import INVALID_NODE_NAME, INVALID_PARTITION_NAME, BadValue, SlurmError
from slurm_compat.core.model import UNLIMITED, JobRequest
from slurm_compat.translators import asked, constraints, gres, shapes
from slurm_compat.translators.asked import Defaults
from slurm_compat.translators.gres import Amounts
from slurm_compat.translators.shapes import Room, Shape

VERSION = "26.05.5"  # of the Slurm whose face this is
SLURMD_PORT = 6818

Grant = tuple[str, int, int, "str | Mapping[str, int]"]  # node, cpus, MiB, gres: amounts, or text as resources have it
Resources = list[tuple[str, int, str, int, str]]  # node, cpus, cpu ids, MiB, gres text


class Cluster:
    def __init__(self, conf: ClusterConf, machine: Machine, nodes: Iterable[Node], parts: Iterable[Partition]) -> None:
        self.conf = conf
        self.machine = machine
        self.nodes: dict[str, Node] = {node.name: node for node in nodes}
        self.partitions: dict[str, Partition] = {part.name: part for part in parts}
        self.licenses = licenses.configured(conf.licenses)
        self.licenses_used: dict[int, licenses.Counts] = {}  # by job id
        self.reservations: dict[str, Any] = {}
        self.started_at = 0
        self.generation = 0  # grows when a node opens or closes, or a partition changes
        # whether open nodes could take a request, were they idle: kept for pending.blocked, by request and generation
        self.could_run: dict[tuple[int, int, str], tuple[JobRequest, bool]] = {}
        self._where: dict[int, list[Node]] = {}  # by job id
        # jobs that count against limits: handed to Armada or running; the controller sets it
        self.live: Callable[[], Iterable[Job]] = lambda: ()
        self.groups_of: Callable[[str], frozenset[str]] = host.groups_of
        self.measure: Callable[[], tuple[float, int | None]] = host.load_and_free
        self.tres_listed = tuple(filter(None, conf.accounting_storage_tres.replace(" ", "").lower().split(",")))
        others = {key.partition(":")[0] for node in self.nodes.values() for key in node.gres_amounts()}
        self.gres_names = asked.gres_names(conf.gres_types, sorted(others))
        self._defaults: dict[str, Defaults] = {}

    @classmethod
    def from_conf(cls, conf: ClusterConf, machine: Machine, now: int = 0) -> Cluster:
        """The cluster of a cluster file; without nodes there, one that is this machine. Raises BadValue."""
        conf = complete(conf, machine)
        nodes: list[Node] = []
        for entry in conf.nodes:
            for name in hostlist.expand(entry.node_name):
                nodes.append(node_of(name, entry, machine.cpus, machine.memory_mib, now))
        names = [node.name for node in nodes]
        if len(set(names)) != len(names):
            raise BadValue("NodeName: a node is declared twice")
        cluster = cls(conf, machine, nodes, [partition_of(entry, names) for entry in conf.partitions])
        cluster.started_at = now
        return cluster

    # what is there

    def default_partition(self) -> str:
        """ "" when no partition is the default."""
        return next((part.name for part in self.partitions.values() if part.default), "")

    def partition(self, name: str) -> Partition:
        found = self.partitions.get(name)
        if found is None:
            raise SlurmError(INVALID_PARTITION_NAME)
        return found

    def node(self, name: str) -> Node:
        found = self.nodes.get(name)
        if found is None:
            raise SlurmError(INVALID_NODE_NAME)
        return found

    def features(self) -> set[str]:
        return constraints.known_features(node.features for node in self.nodes.values())

    def closed_nodes(self) -> list[str]:
        """Nodes that take no new work, for pods to keep away from."""
        return [node.name for node in self.nodes.values() if not node.available]

    def defaults(self, partition: str) -> Defaults:
        """What fills a request's gaps in this partition."""
        found = self._defaults.get(partition)
        if found is None:
            found = self._defaults[partition] = self._make_defaults(self.partitions[partition])
        return found

    def _make_defaults(self, part: Partition) -> Defaults:
        conf = self.conf
        per_cpu, per_node = part.default_memory_per_cpu, part.default_memory_per_node
        if per_cpu is None and per_node is None:
            per_cpu, per_node = conf.def_mem_per_cpu, conf.def_mem_per_node
        members = [self.nodes[name] for name in part.node_names]
        bounded = part.max_cpus_per_node != UNLIMITED
        return Defaults(
            memory_per_cpu=per_cpu,
            memory_per_node=per_node,
            maximum_cpus_per_node=part.max_cpus_per_node if bounded else None,
            node_cpus=max((node.cpus for node in self.nodes.values()), default=1),
            node_memory=members[0].real_memory if members else 0,
            gres_names=self.gres_names,
            tres_listed=self.tres_listed,
        )

    def rooms(self, names: Iterable[str], free: bool = False, open_only: bool = False) -> list[Room]:
        """The nodes of these names for a layout, in the order given."""
        nodes = (self.nodes[name] for name in names)
        return [node.room(free) for node in nodes if node.available or not open_only]

    def lay_out(self, request: JobRequest, partition: str, free: bool = False, open_only: bool = False) -> Shape:
        """The shape of a request in a partition ("a", or "a,b": the first that can take it). No members: it can't run."""
        found: Shape | None = None
        for name in partition.split(","):
            rooms = self.rooms(self.partitions[name].node_names, free, open_only)
            found = shapes.shape(request, self.defaults(name), rooms)
            if found.members:
                break
        assert found is not None
        return found

    def shape_now(self, job: Job) -> Shape | None:
        """A job's shape over what is free now, None when it doesn't fit: for the moment it goes to Armada."""
        found = self.lay_out(job.request, job.partition, free=True, open_only=True)
        return found if found.members else None

    def partition_of_nodes(self, partition: str, nodes: Sequence[str]) -> str:
        """Which of a job's partitions ("a,b") its nodes are in."""
        names = partition.split(",")
        return next((name for name in names if set(nodes) <= set(self.partitions[name].node_names)), names[0])

    # who has what

    def allocate(self, job_id: int, grants: Iterable[Grant], licenses_text: str = "") -> Resources:
        """Book what a job got, with the lowest CPU numbers and GPU indices that are free. In the nodes' order."""
        given: dict[str, tuple[str, int, str, int, str]] = {}
        for name, cpus, memory_mib, wanted in grants:
            node = self.nodes.get(name)
            if node is None:
                given[name] = (name, cpus, cpu_text(range(cpus)), memory_mib, "")
                continue
            amounts, gpus = (gres_of_text(wanted) if isinstance(wanted, str) else (dict(wanted), 0))
            held = node.take(job_id, cpus, memory_mib, amounts, gpus)
            self._where.setdefault(job_id, []).append(node)
            given[name] = self._resource(node, held)
        self._book_licenses(job_id, licenses_text)
        order = [name for name in self.nodes if name in given]
        return [given[name] for name in [*order, *(name for name in given if name not in self.nodes)]]

    def _resource(self, node: Node, held: Held) -> tuple[str, int, str, int, str]:
        numbers = [number for number in range(node.cpus) if held.cpus >> number & 1]
        words = node.gres_words(held.gpus, held.others)
        return (node.name, len(numbers), cpu_text(numbers), held.memory_mib, words)

    def reserve(self, job_id: int, resources: Iterable[Sequence[Any]], licenses_text: str = "") -> None:
        """Book again what `allocate` answered before a restart."""
        for name, _, cpu_ids, memory_mib, words in resources:
            node = self.nodes.get(name)
            if node is not None:
                amounts, gpus = gres_of_text(words)
                others = {key: number for key, number in amounts.items() if key.partition(":")[0] != "gpu"}
                node.put(job_id, Held(bits_of(cpu_numbers(cpu_ids)), memory_mib, gpus, others))
                self._where.setdefault(job_id, []).append(node)
        self._book_licenses(job_id, licenses_text)

    def _book_licenses(self, job_id: int, text: str) -> None:
        if text:
            counts = licenses.available(text, self.licenses, self.used_licenses())
            # started all the same: what it asked for first counts
            self.licenses_used[job_id] = counts or licenses.available(text, self.licenses, {}) or {}

    def completing(self, job_id: int) -> None:
        """The job ended; its nodes are not free yet."""
        for node in self._where.get(job_id, ()):
            node.held[job_id].completing = True

    def release(self, job_id: int, now: int = 0) -> None:
        """Everything the job had is free. Safe to repeat."""
        for node in self._where.pop(job_id, ()):
            node.give_back(job_id, now or node.last_busy)
        self.licenses_used.pop(job_id, None)

    def used_licenses(self) -> licenses.Counts:
        used: licenses.Counts = {}
        for counts in self.licenses_used.values():
            tres.add(used, counts)
        return used

    def tres_of(self, resources: Iterable[Sequence[Any]]) -> str:
        """AllocTRES of an allocation: "cpu=4,mem=2G,node=2,billing=4,gres/gpu=2"."""
        total = {"cpu": 0, "mem": 0, "node": 0, "billing": 0}
        amounts: Amounts = {}
        for _, cpus, _, memory_mib, words in resources:
            tres.add(total, {"cpu": cpus, "mem": memory_mib, "node": 1, "billing": cpus})
            tres.add(amounts, gres_of_text(words)[0])
        return tres.show(total | gres.as_tres(amounts, self.tres_listed))

    # changes by an administrator

    def update_node(self, names: Iterable[str], changes: Mapping[str, Any], user_name: str, now: int) -> list[str]:
        """Set a node's state, reason, comment, features, weight …; the nodes that went down by it, with jobs on them.

        Raises SlurmError, nothing changed, for a name nobody has or a state it can't take.
        """
        nodes = [self.node(name) for name in names]
        for node in nodes:
            nodeupdate.check(node, changes)
        lost = []
        for node in nodes:
            was_down = node.down
            nodeupdate.apply(node, changes, user_name, now)
            if node.down and not was_down and node.held:
                lost.append(node.name)
        self.generation += 1
        return lost

    def set_partition(self, name: str, changes: Mapping[str, Any]) -> None:
        """`update_partition`. Raises SlurmError for an unknown partition, node or QOS, with nothing changed."""
        part = self.partition(name)
        partitions.change(part, changes, list(self.nodes), {qos.name for qos in self.conf.qos})
        if changes.get("default"):
            for other in self.partitions.values():
                other.default = other is part
        elif "default" in changes:
            part.default = False
        self.generation += 1
        self._defaults.clear()

    update_partition = set_partition

    def create_partition(self, name: str, changes: Mapping[str, Any]) -> None:
        """A partition made by scontrol; it lives until the controller ends, as in Slurm."""
        part = partition_of(PartitionConf(partition_name=name, nodes=changes.get("nodes", "")), list(self.nodes))
        part.min_nodes = 1
        self.partitions[name] = part
        try:
            self.set_partition(name, changes)
        except SlurmError:
            del self.partitions[name]
            raise

    def delete_partition(self, name: str) -> None:
        self.partition(name)
        del self.partitions[name]
        self._defaults.clear()
        self.generation += 1

    # rows

    def node_row(self, name: str, fields: Sequence[str]) -> list[Any]:
        values = self._node_values(self.node(name))
        return [values[field] for field in fields]

    def node_rows(self, fields: Sequence[str], names: Sequence[str] = ()) -> list[list[Any]]:
        """Rows in the cluster's order; of these nodes only, when some are named."""
        wanted = set(names)
        return [self.node_row(name, fields) for name in self.nodes if not wanted or name in wanted]

    def _node_values(self, node: Node) -> dict[str, Any]:
        load, free = self.measure() if not self.conf.armada.address else (0.0, None)
        gpus_used = node.used_gpus
        others: Amounts = {}
        for held in node.held.values():
            tres.add(others, held.others)
        return {
            "name": node.name,
            "hostname": node.hostname,
            "address": node.address,
            "port": SLURMD_PORT,
            "architecture": self.machine.architecture,
            "operating_system": self.machine.operating_system,
            "version": VERSION,
            "state": node.state,
            "state_flags": node.state_flags,
            "reason": node.reason,
            "reason_set_by_user": node.reason_user,
            "reason_changed_at": node.reason_at,
            "comment": node.comment,
            "extra": node.extra,
            "owner": "",
            "mcs_label": "",
            "features": ",".join(node.features),
            "active_features": ",".join(node.active_features),
            "gres": node.gres_text,
            "gres_used": node.gres_words(gpus_used, others, idle=True),
            "gres_drained": "N/A",
            "cpus": node.cpus,
            "effective_cpus": node.cpus,
            "alloc_cpus": node.allocated_cpus,
            "cpu_load": round(load, 2),
            "boards": node.boards,
            "sockets": node.sockets,
            "cores": node.cores,
            "threads": node.threads,
            "real_memory": node.real_memory,
            "alloc_memory": node.used_memory,
            "free_mem": free,
            "temporary_disk": node.tmp_disk,
            "weight": node.weight,
            "specialized_cores": 0,
            "specialized_cpus": "",
            "specialized_memory": 0,
            "partitions": [part.name for part in self.partitions.values() if node.name in part.node_names],
            "boot_time": self.machine.boot_time,
            "slurmd_start_time": self.started_at,
            "last_busy": node.last_busy,
            "resume_after": node.resume_after,
            "tres": tres.show(node.tres(self.tres_listed)),
            "tres_used": node.used_tres(self.tres_listed),
            "reservation": "",
            "topology": "",
            "cluster": self.conf.cluster_name,
        }

    def partition_row(self, name: str, fields: Sequence[str]) -> list[Any]:
        part = self.partition(name)
        totals = self.partition_tres(part)
        more = {
            "total_nodes": len(part.node_names),
            "total_cpus": totals.get("cpu", 0),
            "tres": tres.show(totals),
            "cluster": self.conf.cluster_name,
        }
        return [more[field] if field in more else getattr(part, field) for field in fields]

    def partition_rows(self, fields: Sequence[str], names: Sequence[str] = ()) -> list[list[Any]]:
        wanted = set(names)
        return [self.partition_row(name, fields) for name in self.partitions if not wanted or name in wanted]

    def partition_tres(self, part: Partition) -> dict[str, int]:
        total = {"cpu": 0, "mem": 0, "node": len(part.node_names), "billing": 0}
        for name in part.node_names:
            tres.add(total, self.nodes[name].tres(self.tres_listed))
        return total

    # kept over restarts

    def saved(self) -> dict[str, Any]:
        """What an administrator set of the nodes, as plain values for the store."""
        return {node.name: nodeupdate.saved(node) for node in self.nodes.values()}

    def restore(self, values: Mapping[str, Any]) -> None:
        """`saved` backwards; nodes the cluster file no longer has are passed over."""
        for name, value in values.items():
            if name in self.nodes:
                nodeupdate.restore(self.nodes[name], value)
        self.generation += 1


def complete(conf: ClusterConf, machine: Machine) -> ClusterConf:
    """The configuration with what it leaves out: this machine as the node, one partition over all nodes.

    Without a word on memory a CPU brings its share of the node's, so that a job without --mem leaves room for others.
    """
    changes: dict[str, Any] = {}
    nodes = conf.nodes
    if not nodes:
        kind = f":{machine.gpu_type}" if machine.gpu_type else ""
        text = f"gpu{kind}:{machine.gpus}" if machine.gpus else ""
        nodes = [NodeConf(node_name=machine.hostname, cpus=machine.cpus, real_memory=machine.memory_mib, gres=text)]
        changes["nodes"] = nodes
        if not (conf.def_mem_per_cpu or conf.def_mem_per_node):
            changes["def_mem_per_cpu"] = max(machine.memory_mib // max(machine.cpus, 1), 1)
        if machine.gpus and not conf.accounting_storage_tres:
            changes["accounting_storage_tres"] = "gres/gpu"
        if conf.cluster_name == "linux":
            changes["cluster_name"] = "local"
    if not conf.partitions:
        changes["partitions"] = [PartitionConf(partition_name="compute", default=True)]
    elif len(conf.partitions) == 1 and not conf.partitions[0].default:
        # Slurm wants Default=YES even then; a single partition leaves no doubt
        changes["partitions"] = [_as_default(conf.partitions[0])]
    if not changes:
        return conf
    return msgspec.structs.replace(conf, **changes)


def _as_default(part: PartitionConf) -> PartitionConf:
    return msgspec.structs.replace(part, default=True)


def gres_of_text(text: str) -> tuple[Amounts, int]:
    """What `gres_words` wrote: "gpu:a100:2(IDX:0-1),shard:4" -> ({"gpu:a100": 2, "shard": 4}, bits of the indices)."""
    amounts: Amounts = {}
    bits = 0
    for part in hostlist.split(text.replace("(", "[").replace(")", "]")):
        words, _, index = part.partition("[IDX:")
        name, _, number = words.rpartition(":")
        if not number.isdigit():
            name, number = words, "1"
        amounts[name] = amounts.get(name, 0) + int(number)
        if index and name.partition(":")[0] == "gpu" and not index.startswith("N/A"):
            bits |= bits_of(cpu_numbers(index.rstrip("]")))
    return amounts, bits
