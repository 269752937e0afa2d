"""Who is on which node, for pods that share it with their own tenant's only: Slurm's --exclusive=user."""

from __future__ import annotations

from slurm_compat.engine.shape import Shape


class Tenants:
    def __init__(self) -> None:
        self._there: dict[str, dict[str, tuple[str, bool]]] = {}  # node: key of a place: tenant, alone
        self._nodes: dict[str, str] = {}  # key: node

    def come(self, key: str, node: str, shape: Shape) -> None:
        self._nodes[key] = node
        self._there.setdefault(node, {})[key] = (shape.tenant, shape.alone)

    def go(self, key: str) -> None:
        node = self._nodes.pop(key, None)
        if node is not None:
            self._there[node].pop(key, None)

    def welcome(self, shape: Shape, node: str) -> bool:
        """Whether the shape may go where these are: one that wants to be alone, and one that meets such a one."""
        there = self._there.get(node)
        if not there:
            return True
        return all(tenant == shape.tenant or not (alone or shape.alone) for tenant, alone in there.values())
