"""Placement: which node a pod goes to. Nodes are tried by weight, then name; a gang is placed whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slurm_compat.engine.nodes import Node
from slurm_compat.engine.shape import Amounts, Shape, matches
from slurm_compat.engine.tenants import Tenants


class Pool:
    """The nodes with what is free on each. Amounts taken are given back by the same key."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes: list[Node] = []
        self.by_name: dict[str, Node] = {}
        self.free: dict[str, dict[str, int]] = {}
        self.taken: dict[str, tuple[str, Amounts]] = {}  # key: node, amounts
        self.total: dict[str, int] = {}
        self.tenants = Tenants()
        self._most: dict[str, int] = {}  # the most that any open node has free; {} until asked again
        self._allowed: dict[tuple[object, object], tuple[str, ...]] = {}
        self.renew(nodes)

    def renew(self, nodes: Iterable[Node]) -> None:
        """Other nodes, or nodes that are other than before. What is taken stays taken, also on nodes that are gone."""
        self.nodes = sorted(nodes, key=lambda node: (node.weight, node.name))
        for node in self.nodes:
            before = self.by_name.get(node.name)
            free = self.free.setdefault(node.name, {})
            for name in {*node.total, *(before.total if before is not None else ())}:
                had = before.total.get(name, 0) if before is not None else 0
                free[name] = free.get(name, 0) + node.total.get(name, 0) - had
        self.by_name = {node.name: node for node in self.nodes}
        self.total = {}
        for node in self.nodes:
            for name, amount in node.total.items():
                self.total[name] = self.total.get(name, 0) + amount
        self._most = {}
        self._allowed.clear()

    def take(self, key: str, node: str, amounts: Amounts) -> None:
        if key in self.taken:
            raise KeyError(f"{key} already has its place")
        free = self.free.setdefault(node, {})  # a pod may be on a node that the cluster file no longer has
        self._most = {}
        for name, amount in amounts.items():
            free[name] = free.get(name, 0) - amount
        self.taken[key] = (node, amounts)

    def release(self, key: str) -> str | None:
        """The node that `key` had a place on, None when it had none: a repeat changes nothing."""
        place = self.taken.pop(key, None)
        if place is None:
            return None
        self.tenants.go(key)
        node, amounts = place
        free = self.free[node]
        self._most = {}
        for name, amount in amounts.items():
            free[name] += amount
        return node

    def allowed(self, shape: Shape) -> tuple[str, ...]:
        """The nodes whose labels the shape accepts, in the order to try. Labels never change, so this is kept."""
        key = (shape.selector, shape.terms)
        found = self._allowed.get(key)
        if found is None:
            if len(self._allowed) >= 4096:
                self._allowed.clear()
            found = tuple(node.name for node in self.nodes if matches(shape, node.labels))
            self._allowed[key] = found
        return found

    def fits_on(self, shape: Shape, node: str, free: Mapping[str, Amounts] | None = None) -> bool:
        if not self.by_name[node].schedulable or not fits(shape.asks(), (free or self.free)[node]):
            return False
        return self.tenants.welcome(shape, node)

    def has_room(self, shape: Shape) -> bool:
        """A first, cheap look: whether the most CPUs and memory free on any one node are enough."""
        if not self._most:
            open_nodes = [self.free[node.name] for node in self.nodes if self.by_name[node.name].schedulable]
            self._most = {
                name: max((free.get(name, 0) for free in open_nodes), default=-1) for name in ("cpu", "memory")
            }
        asks = shape.asks()
        return all(asks.get(name, 0) <= most for name, most in self._most.items())

    def place(
        self, shapes: Sequence[Shape], uniformity: str = "", free: Mapping[str, Amounts] | None = None
    ) -> list[str] | None:
        """A node for each shape, distinct ones for a gang; None when they don't all fit.

        `uniformity`: the label of which all the nodes must have one value. `free`: node and what to take for free
        there, when that is not what is free now.
        """
        if free is None and not all(self.has_room(shape) for shape in shapes):
            return None
        if len(shapes) == 1:
            first = next((name for name in self.allowed(shapes[0]) if self.fits_on(shapes[0], name, free)), None)
            return None if first is None else [first]
        options = [[name for name in self.allowed(shape) if self.fits_on(shape, name, free)] for shape in shapes]
        return self._together(options, uniformity)

    def could_ever(self, shapes: Sequence[Shape], uniformity: str = "") -> bool:
        """Whether the empty cluster would take them. Nodes that are down or drained count: they may come back."""
        options = [
            [name for name in self.allowed(shape) if fits(shape.asks(), self.by_name[name].total)] for shape in shapes
        ]
        return self._together(options, uniformity) is not None

    def _together(self, options: list[list[str]], uniformity: str) -> list[str] | None:
        if not all(options):
            return None
        if not uniformity or len(options) == 1:
            return distinct(options)
        for value in dict.fromkeys(self.by_name[name].labels.get(uniformity) for name in options[0]):
            if value is None:
                continue
            alike = [[n for n in nodes if self.by_name[n].labels.get(uniformity) == value] for nodes in options]
            if (found := distinct(alike)) is not None:
                return found
        return None


def fits(asks: Amounts, free: Amounts) -> bool:
    return all(amount <= free.get(name, 0) for name, amount in asks.items())


def distinct(options: Sequence[Sequence[str]]) -> list[str] | None:
    """One choice from each list, no choice twice; earlier choices are preferred. None when there is no such set.

    Augmenting paths, so that a member with one possible node gets it although an earlier member would like it too.
    """
    owner: dict[str, int] = {}
    choice: list[str] = [""] * len(options)
    for start in range(len(options)):
        came_from: dict[str, int] = {}  # node: the member that looked at it
        frontier = [start]
        end = ""
        while frontier and not end:
            member = frontier.pop(0)
            for node in options[member]:
                if node in came_from:
                    continue
                came_from[node] = member
                if node not in owner:
                    end = node
                    break
                frontier.append(owner[node])
        if not end:
            return None
        while True:
            member = came_from[end]
            previous = choice[member]
            choice[member] = end
            owner[end] = member
            if member == start:
                break
            end = previous
    return choice
