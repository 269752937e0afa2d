"""Which CPUs and GPUs of a node each pod has. Standard library only."""

from __future__ import annotations

import os
from typing import Any


class Devices:
    def __init__(self, machine_cpus: list[int] | None = None) -> None:
        self._machine = sorted(os.sched_getaffinity(0)) if machine_cpus is None else machine_cpus
        self._cpus: dict[str, list[int]] = {}  # node: CPUs of this machine that are its own
        self._gpus: dict[str, int] = {}
        self._held: dict[str, tuple[str, list[int], list[int]]] = {}  # run: node, CPUs, GPUs

    def set_nodes(self, nodes: list[dict[str, Any]]) -> None:
        self._cpus, self._gpus = {}, {}
        for node in nodes:
            first = node["first_cpu"]
            if first is not None and first + node["cpus"] <= len(self._machine):
                self._cpus[node["name"]] = self._machine[first : first + node["cpus"]]
            self._gpus[node["name"]] = node["gpus"]

    def hand_out(self, run_id: str, node: str, cpus: int, gpus: int) -> tuple[list[int], list[int]]:
        """CPU ids of this machine and GPU indices of the node; no CPUs where the node's are only declared."""
        used_cpus = {cpu for place, held, _ in self._held.values() if place == node for cpu in held}
        used_gpus = {gpu for place, _, held in self._held.values() if place == node for gpu in held}
        free_cpus = [cpu for cpu in self._cpus.get(node, []) if cpu not in used_cpus]
        free_gpus = [gpu for gpu in range(self._gpus.get(node, 0)) if gpu not in used_gpus]
        # fewer free than asked: a fraction of a CPU was asked for more than once; better unbound than crowded
        chosen = free_cpus[:cpus] if len(free_cpus) >= cpus else []
        self._held[run_id] = (node, chosen, free_gpus[:gpus])
        return chosen, free_gpus[:gpus]

    def reserve(self, run_id: str, node: str, cpus: list[int], gpus: list[int]) -> None:
        """What a pod that was started earlier has."""
        self._held[run_id] = (node, cpus, gpus)

    def take_back(self, run_id: str) -> None:
        self._held.pop(run_id, None)
