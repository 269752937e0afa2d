"""The book of nodes: what is taken, what rows show, what an administrator changes."""

import pytest

from slurm_compat.controller.nodes import Cluster, gres_of_text
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.fields import NODE_FIELDS, PARTITION_FIELDS
from tests.controller.reference import MACHINE, NOW, reference_cluster


@pytest.fixture
def cluster():
    return reference_cluster()


def node(cluster, name, *fields):
    return cluster.node_row(name, fields)


def test_every_field_has_a_value(cluster):
    assert len(cluster.node_rows(list(NODE_FIELDS))) == 5
    assert len(cluster.partition_rows(list(PARTITION_FIELDS))) == 3


def test_the_nodes_as_configured(cluster):
    assert node(cluster, "node04", "cpus", "gres", "tres", "weight", "partitions", "state") == [
        4, "gpu:a100:2", "cpu=4,mem=4000M,billing=4,gres/gpu=2", 50, ["compute", "gpu"], "IDLE",
    ]  # fmt: skip
    assert node(cluster, "node05", "state", "reason", "reason_set_by_user") == ["DOWN", "psu failed", "root"]


def test_the_partitions_as_configured(cluster):
    fields = ("nodes", "total_nodes", "total_cpus", "tres", "default", "default_time", "max_time", "min_nodes")
    assert cluster.partition_row("compute", fields)[:4] == [
        "node[01-05]", 5, 20, "cpu=20,mem=20000M,node=5,billing=20,gres/gpu=2",
    ]  # fmt: skip
    assert cluster.partition_row("debug", fields)[4:] == [False, 30, 120, 0]


def test_the_lowest_free_cpus_and_gpus_are_given(cluster):
    assert cluster.allocate(1, [("node04", 1, 500, {"gpu": 1})]) == [("node04", 1, "0", 500, "gpu:a100:1(IDX:0)")]
    assert cluster.allocate(2, [("node04", 2, 1000, {"gpu:a100": 1})]) == [
        ("node04", 2, "1-2", 1000, "gpu:a100:1(IDX:1)")
    ]
    assert node(cluster, "node04", "state", "alloc_cpus", "alloc_memory", "gres_used", "tres_used") == [
        "MIXED", 3, 1500, "gpu:a100:2(IDX:0-1)", "cpu=3,mem=1500M,gres/gpu=2",
    ]  # fmt: skip
    cluster.release(1, NOW + 7)
    cluster.release(1, NOW + 8)
    assert cluster.allocate(3, [("node04", 2, 500, {})])[0][2] == "0,3"
    assert node(cluster, "node04", "state", "last_busy", "gres_used") == ["ALLOCATED", NOW + 7, "gpu:a100:1(IDX:1)"]


def test_the_gpus_a_pod_was_given_are_those_that_are_booked(cluster):
    assert cluster.allocate(1, [("node04", 1, 500, "gpu:1(IDX:1)")])[0][4] == "gpu:a100:1(IDX:1)"


def test_an_allocation_is_read_back_after_a_restart(cluster):
    resources = cluster.allocate(1, [("node04", 2, 1000, {"gpu": 2}), ("node01", 4, 2000, {})], "matlab:3")
    assert [entry[0] for entry in resources] == ["node01", "node04"]
    assert cluster.tres_of(resources) == "cpu=6,mem=3000M,node=2,billing=6,gres/gpu=2"
    again = reference_cluster()
    again.reserve(1, resources, "matlab:3")
    fields = ("state", "alloc_cpus", "alloc_memory", "gres_used")
    assert [node(again, name, *fields) for name in ("node01", "node04")] == [
        node(cluster, name, *fields) for name in ("node01", "node04")
    ]
    assert again.used_licenses() == {"matlab": 3}


def test_a_completing_job_leaves_its_node_marked(cluster):
    cluster.allocate(1, [("node01", 2, 500, {})])
    cluster.completing(1)
    assert node(cluster, "node01", "state", "state_flags") == ["IDLE", ["COMPLETING"]]


@pytest.mark.parametrize("states, base, flags", [
    (["DRAIN"], "IDLE", ["DRAIN"]),
    (["DRAIN", "RESUME"], "IDLE", ["NOT_RESPONDING"]),  # until it is heard of
    (["DRAIN", "UNDRAIN"], "IDLE", ["NOT_RESPONDING"]),
    (["DOWN"], "DOWN", []),
    (["DOWN", "IDLE"], "IDLE", []),
    (["DOWN", "RESUME"], "IDLE", ["NOT_RESPONDING"]),
    (["DOWN", "DRAIN", "UNDRAIN"], "DOWN", ["NOT_RESPONDING"]),
    (["FAIL"], "IDLE", ["FAIL"]),
    (["FAIL", "DRAIN"], "IDLE", ["DRAIN"]),
    (["FUTURE"], "FUTURE", []),
    (["FUTURE", "RESUME"], "IDLE", ["NOT_RESPONDING"]),
    (["NORESP"], "IDLE", ["NOT_RESPONDING"]),
])  # fmt: skip
def test_states_of_a_node(cluster, states, base, flags):
    for state in states:
        cluster.update_node(["node01"], {"state": state, "reason": "why"}, "root", NOW)
    assert node(cluster, "node01", "state", "state_flags") == [base, flags]
    closed = base == "DOWN" or bool(set(flags) & {"DRAIN", "FAIL"})
    assert bool(node(cluster, "node01", "reason")[0]) == closed


@pytest.mark.parametrize("changes, number", [
    ({"state": "IDLE"}, 2180), ({"state": "RESUME"}, 2180), ({"state": "CANCEL_REBOOT"}, 2180),
    ({"gres": "gpu:2"}, 2072),
    ({"state": "POWER_DOWN"}, 2187),
    ({"state": "BOGUS"}, 2028), ({"features": "a,b"}, 2031),
])  # fmt: skip
def test_what_a_node_refuses(cluster, changes, number):
    with pytest.raises(SlurmError) as refusal:
        cluster.update_node(["node01"], changes, "root", NOW)
    assert refusal.value.number == number


def test_unknown_nodes_change_nothing(cluster):
    with pytest.raises(SlurmError) as refusal:
        cluster.update_node(["node01", "nosuch"], {"weight": 9}, "root", NOW)
    assert refusal.value.number == 2018
    assert node(cluster, "node01", "weight") == [1]


def test_other_fields_of_a_node(cluster):
    changes = {"weight": 7, "comment": "hello", "features": "skylake,new", "active_features": "new"}
    cluster.update_node(["node01"], changes, "root", NOW)
    assert node(cluster, "node01", "weight", "comment", "features", "active_features") == [
        7, "hello", "skylake,new", "new",
    ]  # fmt: skip


def test_a_node_that_goes_down_under_a_job_is_told(cluster):
    cluster.allocate(1, [("node01", 1, 500, {})])
    assert cluster.update_node(["node01", "node02"], {"state": "DOWN", "reason": "x"}, "root", NOW) == ["node01"]


def test_what_was_set_of_nodes_outlives_a_restart(cluster):
    cluster.update_node(["node02"], {"state": "DRAIN", "reason": "disk", "comment": "c"}, "alice", NOW)
    again = reference_cluster()
    again.restore(cluster.saved())
    fields = ("state_flags", "reason", "reason_set_by_user", "reason_changed_at", "comment")
    assert node(again, "node02", *fields) == [["DRAIN"], "disk", "alice", NOW, "c"]


def test_partitions_are_made_changed_and_removed(cluster):
    cluster.create_partition("newp", {"nodes": "node[02-03]", "max_time": 60})
    assert cluster.partition_row("newp", ("nodes", "max_time", "min_nodes", "total_cpus")) == ["node[02-03]", 60, 1, 8]
    cluster.update_partition("newp", {"default": True})
    assert cluster.default_partition() == "newp"
    cluster.delete_partition("newp")
    assert "newp" not in cluster.partitions


@pytest.mark.parametrize("name, changes, number", [
    ("nosuch", {}, 2000), ("debug", {"nodes": "nodexx"}, 2018), ("debug", {"qos": "nosuch"}, 2066),
])  # fmt: skip
def test_what_a_partition_refuses(cluster, name, changes, number):
    with pytest.raises(SlurmError) as refusal:
        cluster.update_partition(name, changes)
    assert refusal.value.number == number


def test_nodes_of_a_new_partition_must_be_there(cluster):
    with pytest.raises(SlurmError):
        cluster.create_partition("newp", {"nodes": "nodexx"})
    assert "newp" not in cluster.partitions


def test_without_a_cluster_file_the_machine_is_the_cluster():
    cluster = Cluster.from_conf(ClusterConf(), MACHINE._replace(gpus=2, gpu_type="a100"), NOW)
    assert cluster.conf.cluster_name == "local"
    assert cluster.default_partition() == "compute"
    assert cluster.node_row("here", ("cpus", "real_memory", "gres")) == [8, 16000, "gpu:a100:2"]
    assert cluster.defaults("compute").memory_per_cpu == 2000
    assert not cluster.labelled


@pytest.mark.parametrize("text, want", [
    ("", ({}, 0)), ("gpu:a100:2(IDX:0-1)", ({"gpu:a100": 2}, 3)), ("gpu:1", ({"gpu": 1}, 0)),
    ("gpu:a100:2(IDX:0,2),shard:4", ({"gpu:a100": 2, "shard": 4}, 5)), ("gpu:a100:0(IDX:N/A)", ({"gpu:a100": 0}, 0)),
])  # fmt: skip
def test_gres_texts_are_read_back(text, want):
    assert gres_of_text(text) == want
