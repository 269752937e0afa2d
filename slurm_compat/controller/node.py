"""One node: what it has, who holds how much of it, and its state in Slurm's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slurm_compat.core import tres
from slurm_compat.core.cluster import NodeConf
from slurm_compat.core.cpulist import cpu_text
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.nodestates import ALLOCATED, COMPLETING, DOWN, DRAIN, FAIL, FUTURE, IDLE, MIXED, NOT_RESPONDING
from slurm_compat.translators import gres
from slurm_compat.translators.gres import Amounts
from slurm_compat.translators.shapes import Room


@dataclass(slots=True)
class Held:
    """What one job has of a node. CPUs and GPUs are bits by their number."""

    cpus: int
    memory_mib: int
    gpus: int = 0
    others: Amounts = field(default_factory=dict)
    completing: bool = False


@dataclass(slots=True)
class Node:
    name: str
    cpus: int
    real_memory: int
    boards: int = 1
    sockets: int = 1
    cores: int = 1  # a socket
    threads: int = 1  # a core
    tmp_disk: int = 0
    weight: int = 1
    address: str = ""
    hostname: str = ""
    features: list[str] = field(default_factory=list)
    active_features: list[str] = field(default_factory=list)
    gres_text: str = ""
    gpu_types: list[str] = field(default_factory=list)  # by index; "" without a type
    others: Amounts = field(default_factory=dict)  # GRES that are no GPUs
    down: bool = False
    future: bool = False
    silent: bool = False  # resumed, and not heard of since: it is shown so, and takes work all the same
    flags: set[str] = field(default_factory=set)
    reason: str = ""
    reason_user: str = ""
    reason_at: int = 0
    comment: str = ""
    extra: str = ""
    resume_after: int = 0
    last_busy: int = 0
    held: dict[int, Held] = field(default_factory=dict)  # by job id
    used_cpus: int = 0  # bits
    used_gpus: int = 0  # bits
    used_memory: int = 0  # MiB
    # as a site's inventory has it (controller/siteinventory.py): what Armada gave to others than us, and whether the
    # source of what is known here is silent
    elsewhere_cpus: int = 0
    elsewhere_memory: int = 0  # MiB
    stale: bool = False

    @property
    def available(self) -> bool:
        """Whether it takes new work."""
        return not self.down and not self.future and not self.flags & {DRAIN, FAIL, NOT_RESPONDING}

    @property
    def allocated_cpus(self) -> int:
        return min(self.used_cpus.bit_count() + self.elsewhere_cpus, self.cpus)

    @property
    def state(self) -> str:
        if self.future:
            return FUTURE
        if self.down:
            return DOWN
        if not self.held and not self.elsewhere_cpus:
            return IDLE
        if not self.elsewhere_cpus and all(held.completing for held in self.held.values()):
            return IDLE  # with COMPLETING beside it
        return ALLOCATED if self.allocated_cpus >= self.cpus else MIXED

    @property
    def state_flags(self) -> list[str]:
        flags = set(self.flags)
        if self.stale:
            flags.add(NOT_RESPONDING)
        if any(held.completing for held in self.held.values()):
            flags.add(COMPLETING)
        if self.silent:
            flags.add(NOT_RESPONDING)
        return sorted(flags)

    def gres_amounts(self) -> Amounts:
        """{"gpu:a100": 2, "shard": 8}."""
        amounts: Amounts = {}
        for kind in self.gpu_types:
            key = f"gpu:{kind}" if kind else "gpu"
            amounts[key] = amounts.get(key, 0) + 1
        return amounts | self.others

    def free_gres(self) -> Amounts:
        amounts: Amounts = {}
        for index, kind in enumerate(self.gpu_types):
            key = f"gpu:{kind}" if kind else "gpu"
            amounts[key] = amounts.get(key, 0) + (not self.used_gpus >> index & 1)
        for key, number in self.others.items():
            amounts[key] = number - sum(held.others.get(key, 0) for held in self.held.values())
        return amounts

    def room(self, free: bool) -> Room:
        """For the layout of a job: all of the node, or what is free of it now."""
        free_memory = max(self.real_memory - self.used_memory - self.elsewhere_memory, 0)
        return Room(
            name=self.name,
            cpus=self.cpus - self.allocated_cpus if free else self.cpus,
            memory_mib=free_memory if free else self.real_memory,
            gres=self.free_gres() if free else self.gres_amounts(),
            features=frozenset(self.active_features),
            weight=self.weight,
            sockets=self.sockets,
            cores_per_socket=self.cores,
            threads_per_core=self.threads,
            tmp_disk=self.tmp_disk,
            total_cpus=self.cpus,
            total_memory_mib=self.real_memory,
            total_gres=self.gres_amounts(),
        )

    def take(self, job_id: int, cpus: int, memory_mib: int, wanted: Mapping[str, int], gpus: int = 0) -> Held:
        """Give a job the lowest free CPUs and GPUs; `gpus` (bits) are those it is known to have.

        A node may be asked for more than it has: Armada decides where a pod goes, and its word counts.
        """
        chosen = _lowest(~self.used_cpus & ((1 << self.cpus) - 1), cpus)
        chosen |= _lowest(((1 << self.cpus) - 1) & ~chosen, min(cpus, self.cpus) - chosen.bit_count())
        others = {key: number for key, number in wanted.items() if key.partition(":")[0] != "gpu" and number}
        held = Held(chosen, memory_mib, gpus or self._pick_gpus(wanted), others)
        self.put(job_id, held)
        return held

    def put(self, job_id: int, held: Held) -> None:
        self.held[job_id] = held
        self._add_up()

    def give_back(self, job_id: int, now: int) -> bool:
        """False when the job had nothing here: a repeat changes nothing."""
        if self.held.pop(job_id, None) is None:
            return False
        self.last_busy = now
        self._add_up()
        return True

    def _add_up(self) -> None:
        self.used_cpus = self.used_gpus = self.used_memory = 0
        for held in self.held.values():
            self.used_cpus |= held.cpus
            self.used_gpus |= held.gpus
            self.used_memory += held.memory_mib

    def _pick_gpus(self, wanted: Mapping[str, int]) -> int:
        bits = 0
        for key, number in wanted.items():
            name, _, kind = key.partition(":")
            if name != "gpu":
                continue
            for index, there in enumerate(self.gpu_types):
                if number and (not kind or kind == there) and not (self.used_gpus | bits) >> index & 1:
                    bits |= 1 << index
                    number -= 1
        return bits

    def gres_words(self, gpus: int, others: Mapping[str, int], idle: bool = False) -> str:
        """ "gpu:a100:2(IDX:0-1)", by type; `idle`: types of which nothing is in use are there with 0."""
        words = []
        for kind in dict.fromkeys(self.gpu_types):
            indices = [i for i, there in enumerate(self.gpu_types) if there == kind and gpus >> i & 1]
            if indices or idle:
                name = f"gpu:{kind}" if kind else "gpu"
                words.append(f"{name}:{len(indices)}(IDX:{cpu_text(indices) or 'N/A'})")
        for key, number in self.others.items():
            used = others.get(key, 0)
            if used or idle:
                words.append(f"{key}:{used}" if number else key)
        return ",".join(words)

    def tres(self, listed: tuple[str, ...]) -> dict[str, int]:
        amounts = {"cpu": self.cpus, "mem": self.real_memory, "billing": self.cpus}
        return amounts | gres.as_tres(self.gres_amounts(), listed)

    def used_tres(self, listed: tuple[str, ...]) -> str:
        if not self.held:
            return ""
        used: Amounts = {}
        for index, kind in enumerate(self.gpu_types):
            if self.used_gpus >> index & 1:
                tres.add(used, {f"gpu:{kind}" if kind else "gpu": 1})
        for held in self.held.values():
            tres.add(used, held.others)
        return tres.show({"cpu": self.allocated_cpus, "mem": self.used_memory} | gres.as_tres(used, listed))


def node_of(name: str, conf: NodeConf, cpus: int, memory_mib: int, now: int) -> Node:
    """A node of the cluster file; counts it leaves open are `cpus` and `memory_mib`. Raises BadValue."""
    count = conf.cpus or conf.sockets * conf.cores_per_socket * conf.threads_per_core or cpus
    features = [word for word in conf.feature.replace("&", ",").split(",") if word]
    node = Node(
        name=name,
        cpus=count,
        real_memory=conf.real_memory or memory_mib,
        boards=conf.boards,
        sockets=conf.sockets,
        cores=conf.cores_per_socket or max(count // (conf.sockets * conf.threads_per_core), 1),
        threads=conf.threads_per_core,
        tmp_disk=conf.tmp_disk,
        weight=conf.weight,
        address=conf.node_addr or name,
        hostname=conf.node_hostname or name,
        features=features,
        active_features=list(features),
        gres_text=conf.gres,
        last_busy=now,
    )
    try:
        amounts = gres.amounts(conf.gres, _names(conf.gres))
    except SlurmError as problem:
        raise BadValue(f"Gres of {name}: {problem.text}") from None
    for key, number in amounts.items():
        kind, _, type_name = key.partition(":")
        if kind == "gpu":
            node.gpu_types.extend([type_name] * number)
        else:
            node.others[key] = number
    words = set(conf.state.upper().replace("+", ",").split(","))
    node.down = "DOWN" in words
    node.future = "FUTURE" in words
    node.flags = {flag for flag in (DRAIN, FAIL) if flag in words}
    if node.down or node.flags or conf.reason:
        node.reason, node.reason_user, node.reason_at = conf.reason or "Not available", "root", now
    return node


def _names(text: str) -> list[str]:
    return [part.partition(":")[0] for part in text.split(",") if part]


def _lowest(bits: int, count: int) -> int:
    """The `count` lowest set bits."""
    found = 0
    for _ in range(min(count, bits.bit_count())):
        low = bits & -bits
        found |= low
        bits ^= low
    return found


def bits_of(numbers: list[int]) -> int:
    found = 0
    for number in numbers:
        found |= 1 << number
    return found
