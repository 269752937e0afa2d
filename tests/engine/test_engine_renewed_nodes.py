"""Nodes that change while the engine runs: what was set of them, and a cluster file that was read again."""

import json

import pytest

from slurm_compat.engine.main import NODE_STATES, States, node_states
from slurm_compat.engine.nodes import Node, as_set, free_address
from slurm_compat.engine.place import Pool
from slurm_compat.engine.shape import Shape


def node(name, cpus=4, weight=1, schedulable=True, **labels):
    return Node(name, {"cpu": cpus * 1000}, {"kubernetes.io/hostname": name, **labels}, weight, schedulable)


def shape(cpus, selector=()):
    return Shape((("cpu", cpus * 1000),), tuple(selector), None, "armada-default")


@pytest.mark.parametrize("text, read", [
    ('{"serial": 7, "nodes": {"a": {"state": "IDLE+DRAIN", "weight": 3}}}',
     States(7, {"a": {"state": "IDLE+DRAIN", "weight": 3}})),
    ('{"a": "DOWN"}', States(0, {"a": {"state": "DOWN"}})), ("[]", States()), ("{", States()), ("", States()),
])  # fmt: skip
def test_what_was_set_of_nodes_as_it_is_written(tmp_path, text, read):
    (tmp_path / NODE_STATES).write_text(text)
    assert node_states(str(tmp_path)) == read
    assert node_states(str(tmp_path / "nowhere")) == States()


@pytest.mark.parametrize("told, is_open, weight, feature", [
    ({}, True, 1, "old"), ({"state": "IDLE"}, True, 1, "old"), ({"state": "IDLE+DRAIN"}, False, 1, "old"),
    ({"state": "DOWN", "weight": 9}, False, 9, "old"), ({"features": ["new"]}, True, 1, "new"),
    ({"features": "junk", "weight": "junk"}, True, 1, "old"),
])  # fmt: skip
def test_what_was_set_outranks_the_cluster_file(told, is_open, weight, feature):
    (one,) = as_set([node("a", **{"slurm-compat/feature-old": "true"})], {"a": told})
    assert (one.schedulable, one.weight) == (is_open, weight)
    assert {f"slurm-compat/feature-{feature}", "kubernetes.io/hostname"} == set(one.labels)


def test_what_is_taken_stays_taken_when_nodes_are_others():
    pool = Pool([node("a"), node("b")])
    pool.take("run1", "a", {"cpu": 3000})
    pool.take("run2", "b", {"cpu": 1000})
    # a grew, b is gone from the cluster file, c is new
    pool.renew([node("a", 8), node("b", schedulable=False), node("c", 2)])
    assert pool.free["a"]["cpu"] == 5000
    assert pool.place([shape(5)]) == ["a"]
    assert pool.place([shape(2)] * 3) is None  # nothing goes to b any more
    assert pool.place([shape(2)] * 2) == ["a", "c"]
    pool.release("run1")
    pool.release("run2")
    assert pool.free == {"a": {"cpu": 8000}, "b": {"cpu": 4000}, "c": {"cpu": 2000}}
    assert pool.total == {"cpu": 14000}


def test_nodes_go_by_their_new_labels_and_weights():
    pool = Pool([node("a"), node("b", weight=2)])
    wanted = shape(1, [("slurm-compat/feature-new", "true")])
    assert pool.place([wanted]) is None and pool.place([shape(1)]) == ["a"]
    pool.renew([node("a", weight=3), node("b", weight=2, **{"slurm-compat/feature-new": "true"})])
    assert pool.place([wanted]) == ["b"] and pool.place([shape(1)]) == ["b"]


def test_a_pod_of_a_node_that_nobody_knows_is_counted_and_let_go():
    pool = Pool([node("a")])
    pool.take("run", "gone", {"cpu": 1000})
    assert pool.release("run") == "gone"
    assert pool.release("run") is None


def test_new_nodes_have_addresses_of_their_own():
    assert free_address({"127.90.0.1", "127.90.0.3"}) == "127.90.0.2"


def test_the_controller_and_the_engine_agree_on_the_file(tmp_path):
    from slurm_compat.controller.nodekeeping import standing
    from tests.controller.reference import NOW, reference_cluster

    cluster = reference_cluster()
    cluster.update_node(["node01"], {"state": "DRAIN", "reason": "x"}, "root", NOW)
    written = {"serial": 5, "nodes": {each.name: standing(each) for each in cluster.nodes.values()}}
    (tmp_path / NODE_STATES).write_text(json.dumps(written))
    read = node_states(str(tmp_path))
    found = {one.name: one.schedulable for one in as_set([node(name) for name in cluster.nodes], read.nodes)}
    assert read.serial == 5
    assert found == {"node01": False, "node02": True, "node03": True, "node04": True, "node05": False}
