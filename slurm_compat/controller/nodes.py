"""The cluster's inventory: nodes, partitions and licences, what is taken of them, and the rows that commands ask for.

Where a pod runs is Armada's word; this is the book that is kept of it in Slurm's terms, and the view from which jobs
are judged before they are handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from slurm_compat.controller import host, licenses, limiter, noderows, nodeupdate, partitions
from slurm_compat.controller.host import Machine
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.node import Held, Node, bits_of, node_of
from slurm_compat.controller.partitions import Partition, partition_of
from slurm_compat.controller.reservation import Reservation
from slurm_compat.core import hostlist, tres
from slurm_compat.core.billing import billed
from slurm_compat.core.cluster import ClusterConf, NodeConf, PartitionConf
from slurm_compat.core.cpulist import cpu_numbers, cpu_text
from slurm_compat.core.errors import INVALID_NODE_NAME, INVALID_PARTITION_NAME, BadValue, SlurmError
from slurm_compat.core.model import UNLIMITED, JobRequest
from slurm_compat.translators import asked, constraints, gres, layout
from slurm_compat.translators.asked import Defaults
from slurm_compat.translators.gres import Amounts
from slurm_compat.translators.shapes import Room, Shape

KEPT_SHAPES = 4096

# the fields of a request that its shape depends on
_counts = attrgetter(
    "minimum_nodes", "maximum_nodes", "tasks", "cpus_per_task", "tasks_per_node", "tasks_per_socket", "tasks_per_core",
    "tasks_per_gpu", "minimum_cpus_per_node", "sockets_per_node", "cores_per_socket", "threads_per_core",
    "memory_per_node", "memory_per_cpu", "memory_per_gpu", "temporary_disk_per_node", "contiguous", "spread_job",
    "use_min_nodes", "overcommit", "exclusive", "required_nodes", "excluded_nodes", "constraints", "gres", "gpus",
    "gpus_per_node", "gpus_per_task", "gpus_per_socket", "cpus_per_gpu", "tres_per_task", "gpu_bind", "gpu_freq",
)  # fmt: skip

Grant = tuple[str, int, int, "str | Mapping[str, int]"]  # node, cpus, MiB, gres: amounts, or text as resources have it
Resources = list[tuple[str, int, str, int, str]]  # node, cpus, cpu ids, MiB, gres text


class Cluster:
    def __init__(self, conf: ClusterConf, machine: Machine, nodes: Iterable[Node], parts: Iterable[Partition]) -> None:
        self.conf = conf
        self.machine = machine
        self.nodes: dict[str, Node] = {node.name: node for node in nodes}
        self.partitions: dict[str, Partition] = {part.name: part for part in parts}
        self.licenses = licenses.configured(conf.licenses)
        self.barred_at: tuple[object, ...] = ()  # controller/reserved.py: what `barred_for` was found for
        self.barred_for: dict[int, frozenset[str]] = {}  # by time limit
        self.kept_partitions: dict[str, dict[str, Any]] = {}  # what the store has of changed ones
        self.licenses_used: dict[int, licenses.Counts] = {}  # by job id
        self.reservations: dict[str, Reservation] = {}  # by name; the controller's calendar keeps them
        self.labelled = True  # nodes carry the labels of docs/architecture.md: not so for a machine nobody declared
        self.started_at = 0
        self.generation = 0  # grows when a node opens or closes, or a partition changes
        # whether open nodes could take a request, were they idle: kept for pending.blocked, by request and generation
        self.could_run: dict[tuple[int, int, str], tuple[JobRequest, bool]] = {}
        self._where: dict[int, list[Node]] = {}  # by job id
        self.limiter = limiter.of_cluster(self)  # limits of accounts, users and QOS; the controller keeps one for good
        # jobs that count against limits: handed to Armada or running; the controller sets it
        self.live: Callable[[], Iterable[Job]] = lambda: ()
        self.fairshare: Callable[[Job], float] = lambda job: 1.0  # 0..1; the controller sets it
        self.groups_of: Callable[[str], frozenset[str]] = host.groups_of
        self.measure: Callable[[], tuple[float, int | None]] = host.load_and_free
        self.tres_listed = tuple(filter(None, conf.accounting_storage_tres.replace(" ", "").lower().split(",")))
        others = {key.partition(":")[0] for node in self.nodes.values() for key in node.gres_amounts()}
        self.gres_names = asked.gres_names(conf.gres_types, sorted(others))
        self._defaults: dict[str, Defaults] = {}
        self._kept_generation = 0
        self._kept_shapes: dict[tuple[Any, str, bool], Shape] = {}
        self._kept_rooms: dict[tuple[Any, ...], list[Room]] = {}
        self._kept_closed: dict[str, list[str]] = {}

    @classmethod
    def from_conf(cls, conf: ClusterConf, machine: Machine, now: int = 0) -> Cluster:
        """The cluster of a cluster file; without nodes there, one that is this machine. Raises BadValue."""
        declared = bool(conf.nodes and conf.partitions)
        conf = complete(conf, machine)
        nodes: list[Node] = []
        for entry in conf.nodes:
            for name in hostlist.expand(entry.node_name):
                nodes.append(node_of(name, entry, machine.cpus, machine.memory_mib, now))
        names = [node.name for node in nodes]
        if len(set(names)) != len(names):
            raise BadValue("NodeName: a node is declared twice")
        cluster = cls(conf, machine, nodes, [partition_of(entry, names) for entry in conf.partitions])
        cluster.labelled = declared
        cluster.started_at = now
        return cluster

    # what is there

    def default_partition(self) -> str:
        """ "" when no partition is the default."""
        return next((part.name for part in self.partitions.values() if part.default), "")

    def qos_of(self, names: str) -> str:
        """The QOS of a job's (first) partition, "" for one that has none."""
        found = self.partitions.get(names.partition(",")[0])
        return found.qos if found is not None else ""

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
            maximum_memory_per_cpu=part.max_memory_per_cpu or conf.max_mem_per_cpu,
            maximum_cpus_per_node=part.max_cpus_per_node if bounded else None,
            node_cpus=max((node.cpus for node in self.nodes.values()), default=1),
            node_memory=members[0].real_memory if members else 0,
            total_cpus=sum(node.cpus for node in members),
            gres_names=self.gres_names,
            tres_listed=self.tres_listed,
            billing_weights=part.tres_billing_weights,
        )

    def rooms(self, names: Iterable[str], free: bool = False, open_only: bool = False) -> list[Room]:
        """The nodes of these names for a layout, in the order given."""
        nodes = (self.nodes[name] for name in names)
        return [node.room(free) for node in nodes if node.available or not open_only]

    def lay_out(self, request: JobRequest, partition: str, free: bool = False, open_only: bool = False) -> Shape:
        """The shape of a request in a partition, or in the first of "a,b" that can take it. No members: it can not."""
        found: Shape | None = None
        for name in partition.split(","):
            asked = self._as_in(request, name)
            found = self._lay_out_now(asked, name, open_only) if free else self._lay_out_idle(asked, name, open_only)
            if found.members:
                break
        assert found is not None
        return found

    def whole_nodes(self, partition: str) -> bool:
        """Whether jobs of a partition (of one of "a,b") have their nodes for themselves."""
        return any(self.partitions[name].exclusive != "NO" for name in partition.split(",") if name in self.partitions)

    def _as_in(self, request: JobRequest, partition: str) -> JobRequest:
        """A job of --exclusive=user has what it asks for where the embedded engine keeps other users away."""
        if request.exclusive == "user" and not self.conf.armada.address:
            request = msgspec.structs.replace(request, exclusive="")
        if request.exclusive or not self.whole_nodes(partition):
            return request
        return msgspec.structs.replace(request, exclusive="exclusive")

    def _lay_out_now(self, request: JobRequest, partition: str, open_only: bool) -> Shape:
        rooms = self.rooms(self.partitions[partition].node_names, True, open_only)
        return layout.shape(request, self.defaults(partition), rooms)

    def _lay_out_idle(self, request: JobRequest, partition: str, open_only: bool) -> Shape:
        """Over empty nodes: the same for the same counts, so scripts that submit in a loop find it ready."""
        self._forget_if_changed()
        key = (_counts(request), partition, open_only)
        found = self._kept_shapes.get(key)
        if found is None:
            rooms = self._kept_rooms.get(key[1:])
            if rooms is None:
                rooms = self.rooms(self.partitions[partition].node_names, False, open_only)
                self._kept_rooms[key[1:]] = rooms
            found = layout.shape(request, self.defaults(partition), rooms)
            if len(self._kept_shapes) >= KEPT_SHAPES:
                del self._kept_shapes[next(iter(self._kept_shapes))]
            self._kept_shapes[key] = found
        return found

    def _forget_if_changed(self) -> None:
        if self._kept_generation != self.generation:
            self._kept_generation = self.generation
            for kept in (self._kept_shapes, self._kept_rooms, self._kept_closed):
                kept.clear()

    def closed_in(self, partition: str) -> list[str]:
        """The nodes of a partition that take no new work."""
        self._forget_if_changed()
        found = self._kept_closed.get(partition)
        if found is None:
            names = self.partitions[partition].node_names
            found = self._kept_closed[partition] = [name for name in names if not self.nodes[name].available]
        return found

    def shape_now(self, job: Job, narrowed: JobRequest | None = None) -> Shape | None:
        """A job's shape over what is free now, None when it doesn't fit: for the moment it goes to Armada.

        `narrowed`: its request without the nodes it may not have.
        """
        request = narrowed or job.request
        if request.prefer:
            # what is preferred stands in for what is asked, as observed; only where it can't be had now that counts
            preferred = msgspec.structs.replace(request, constraints=request.prefer, prefer="")
            found = self.lay_out(preferred, job.partition, free=True, open_only=True)
            if found.members:
                return looked_at(found, request)
        found = self.lay_out(request, job.partition, free=True, open_only=True)
        return looked_at(found, request) if found.members else None

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
            amounts, gpus = gres_of_text(wanted) if isinstance(wanted, str) else (dict(wanted), 0)
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

    def tres_of(self, resources: Iterable[Sequence[Any]], partition: str = "") -> str:
        """AllocTRES of an allocation: "cpu=4,mem=2G,node=2,billing=4,gres/gpu=2"."""
        total = {"cpu": 0, "mem": 0, "node": 0, "billing": 0}
        amounts: Amounts = {}
        for _, cpus, _, memory_mib, words in resources:
            tres.add(total, {"cpu": cpus, "mem": memory_mib, "node": 1, "billing": cpus})
            tres.add(amounts, gres_of_text(words)[0])
        total |= gres.as_tres(amounts, self.tres_listed)
        part = self.partitions.get(partition)
        return tres.show(total | {"billing": billed(total, part.tres_billing_weights if part is not None else "")})

    # changes by an administrator

    def check_nodes(self, names: Iterable[str], changes: Mapping[str, Any]) -> list[Node]:
        """The nodes, when they can take the changes. Raises SlurmError."""
        nodes = [self.node(name) for name in names]
        for node in nodes:
            nodeupdate.check(node, changes)
        return nodes

    def partitions_changed(self) -> None:
        self._defaults.clear()
        self.generation += 1

    def update_node(self, names: Iterable[str], changes: Mapping[str, Any], user_name: str, now: int) -> list[str]:
        """Set a node's state, reason, comment, features, weight …; the nodes that went down by it, with jobs on them.

        Raises SlurmError, nothing changed, for a name nobody has or a state it can't take.
        """
        nodes = self.check_nodes(names, changes)
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
        if "qos" in changes:
            self.limiter.changed()
        self.generation += 1
        self._defaults.clear()

    update_partition = set_partition

    def create_partition(self, name: str, changes: Mapping[str, Any]) -> None:
        """A partition made by scontrol; it lives until the controller ends, as in Slurm."""
        if name in self.partitions or not name or "," in name:
            raise SlurmError(INVALID_PARTITION_NAME)
        nodes = str(changes.get("nodes", ""))
        partitions.members_of(nodes, list(self.nodes))  # refused in Slurm's words
        part = partition_of(PartitionConf(partition_name=name, nodes=nodes), list(self.nodes))
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
        return noderows.row(noderows.node_values(self, self.node(name)), fields)

    def node_rows(self, fields: Sequence[str], names: Sequence[str] = ()) -> list[list[Any]]:
        """Rows in the cluster's order; of these nodes only, when some are named."""
        wanted = set(names)
        owners = self._owners() if "owner" in fields else {}
        rows = []
        for name in self.nodes:
            if not wanted or name in wanted:
                row = self.node_row(name, fields)
                if name in owners:
                    row[list(fields).index("owner")] = owners[name]
                rows.append(row)
        return rows

    def _owners(self) -> dict[str, str]:
        """The nodes that a user has for themselves, by --exclusive=user: as shown, "alice(2001)"."""
        return {
            entry[0]: f"{job.user_name}({job.user_id})"
            for job in self.live()
            if job.request.exclusive == "user"
            for entry in job.resources
        }

    def partition_row(self, name: str, fields: Sequence[str]) -> list[Any]:
        return noderows.row(noderows.partition_values(self, self.partition(name)), fields)

    def partition_rows(self, fields: Sequence[str], names: Sequence[str] = ()) -> list[list[Any]]:
        wanted = set(names)
        return [self.partition_row(name, fields) for name in self.partitions if not wanted or name in wanted]

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


def looked_at(shape: Shape, request: JobRequest) -> Shape:
    """A shape as it is shown once the scheduler had a look: with the nodes it would take.

    What named neither nodes nor tasks has no most nodes from then on.
    """
    named = shape.tasks_given or request.minimum_nodes or request.maximum_nodes or request.tasks_per_node
    most = shape.max_nodes if named else 0
    return msgspec.structs.replace(shape, node_count=len(shape.members), max_nodes=most) if shape.members else shape


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
