"""Pods that share a node with their own user's only, and those of all others."""

import pytest

from slurm_compat.engine.nodes import Node
from slurm_compat.engine.place import Pool
from slurm_compat.engine.shape import Shape, with_tenant


def asks(tenant="", exclusive=False):
    annotations = {"slurm-compat/user": tenant} if tenant else {}
    if exclusive:
        annotations["slurm-compat/exclusive"] = "user"
    return with_tenant(Shape(amounts=(("cpu", 1000),)), annotations)


def pool_of(*there):
    pool = Pool([Node(name, {"cpu": 4000}, {}) for name in ("node01", "node02")])
    for number, shape in enumerate(there):
        pool.take(f"run{number}", "node01", shape.asks())
        pool.tenants.come(f"run{number}", "node01", shape)
    return pool


@pytest.mark.parametrize(
    "there, new, node",
    [
        ([], asks("bob"), "node01"),
        ([asks("alice")], asks("bob"), "node01"),
        ([asks("alice", True)], asks("bob"), "node02"),
        ([asks("alice", True)], asks("bob", True), "node02"),
        ([asks("alice", True)], asks("alice"), "node01"),
        ([asks("alice", True)], asks("alice", True), "node01"),
        ([asks("alice")], asks("bob", True), "node02"),
        ([asks("alice"), asks("bob")], asks("alice", True), "node02"),
        ([asks("alice", True)], asks(), "node02"),
    ],
)
def test_where_it_goes(there, new, node):
    assert pool_of(*there).place([new]) == [node]


def test_the_node_is_everybody_s_when_they_are_gone():
    pool = pool_of(asks("alice", True), asks("alice"))
    pool.release("run0")
    assert pool.place([asks("bob")]) == ["node01"]
    assert pool.place([asks("bob", True)]) == ["node02"]
    pool.release("run1")
    assert pool.place([asks("bob", True)]) == ["node01"]
    assert pool.release("run1") is None
