"""Armada's job items: what Armada takes, and what it is told of a job."""

from types import SimpleNamespace

import pytest

from slurm_compat.armada.messages import submit_item
from slurm_compat.core.model import UNLIMITED
from slurm_compat.translators import jobspec
from slurm_compat.translators.jobspec import armada_priority, client_id, deadline, job_items
from tests.controller.reference import ROOT_USER, job, reference_cluster


@pytest.fixture
def settings():
    cluster = reference_cluster()
    return SimpleNamespace(conf=cluster.conf, cluster=cluster, authority="")


def items(settings, **asked):
    return job_items(job(settings.cluster, 20001, **asked), settings)


def expressions(item):
    """(key, operator, values) of each term of an item's affinity."""
    node = item["pod_specs"][0]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return [
        [(each["key"], each["operator"], each["values"]) for each in term["matchExpressions"]]
        for term in node["nodeSelectorTerms"]
    ]


def test_a_job_of_one_node(settings):
    (item,) = items(settings, tasks=2, time_limit=10)
    pod = item["pod_specs"][0]
    container = pod["containers"][0]
    assert item["client_id"] == "oracle-20001-1-0"
    assert item["external_job_uri"] == "slurm://oracle/20001/1/0"
    assert container["resources"]["requests"] == container["resources"]["limits"] == {"cpu": "2", "memory": "1000Mi"}
    assert container["command"] == ["python3", "-m", "slurm_compat.agent"]
    assert pod["terminationGracePeriodSeconds"] == 10
    assert pod["activeDeadlineSeconds"] > 10 * 60
    assert jobspec.GANG_ID not in item["annotations"]
    values = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert values["SLURM_COMPAT_JOB_ID"] == "20001"
    assert values["SLURM_COMPAT_TOKEN"] == "secret"
    assert {"SLURM_COMPAT_NODE", "SLURM_COMPAT_POD_IP"} <= values.keys()


def test_a_job_of_several_nodes_is_a_gang(settings):
    three = items(settings, minimum_nodes=3, maximum_nodes=3, tasks=7)
    assert [item["pod_specs"][0]["containers"][0]["resources"]["requests"]["cpu"] for item in three] == ["4", "2", "1"]
    assert {item["annotations"][jobspec.GANG_ID] for item in three} == {"oracle-20001-1"}
    assert {item["annotations"][jobspec.GANG_CARDINALITY] for item in three} == {"3"}
    assert len({item["client_id"] for item in three}) == 3


def test_pods_keep_away_from_closed_and_excluded_nodes(settings):
    (item,) = items(settings, excluded_nodes="node01")
    assert expressions(item) == [
        [
            ("slurm-compat/partition-compute", "In", ["true"]),
            ("kubernetes.io/hostname", "NotIn", ["node01", "node05"]),
        ]
    ]


def test_a_nodelist_pins_its_members_and_keeps_the_others_off(settings):
    both = items(settings, required_nodes="node02", minimum_nodes=2, maximum_nodes=2)
    hosts = sorted(
        (operator, values)
        for item in both
        for key, operator, values in expressions(item)[0]
        if key == "kubernetes.io/hostname"
    )
    assert ("In", ["node02"]) in hosts
    assert any(operator == "NotIn" and "node02" in values for operator, values in hosts)


def test_partitions_and_features_multiply(settings):
    (item,) = items(settings, partition="compute,debug", constraints="skylake|rome")
    keys = [[key for key, _, _ in term] for term in expressions(item)]
    assert keys == [
        ["slurm-compat/partition-compute", "slurm-compat/feature-skylake", "kubernetes.io/hostname"],
        ["slurm-compat/partition-compute", "slurm-compat/feature-rome", "kubernetes.io/hostname"],
        ["slurm-compat/partition-debug", "slurm-compat/feature-skylake", "kubernetes.io/hostname"],
        ["slurm-compat/partition-debug", "slurm-compat/feature-rome", "kubernetes.io/hostname"],
    ]


def test_gpus_and_their_type(settings):
    (item,) = items(settings, partition="gpu", gres="gpu:a100:2")
    assert item["pod_specs"][0]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert ("slurm-compat/gpu-type", "In", ["a100"]) in expressions(item)[0]


def test_on_a_distant_armada_members_have_disjoint_nodes(settings):
    settings.conf.armada.address = "armada:50051"
    two = items(settings, minimum_nodes=2, maximum_nodes=2)
    sets = [
        set(values)
        for item in two
        for key, operator, values in expressions(item)[0]
        if key == "kubernetes.io/hostname" and operator == "In"
    ]
    assert len(sets) == 2 and not sets[0] & sets[1]
    assert sets[0] | sets[1] == {"node01", "node02", "node03", "node04"}


def test_armada_takes_the_items_and_they_are_small(settings):
    for values in items(settings, minimum_nodes=4, maximum_nodes=4, constraints="skylake|rome", name="x" * 5000):
        assert submit_item(values).ByteSize() < 8000


def test_root_may_run_in_a_partition_with_a_class_of_its_own(settings):
    settings.cluster.partitions["debug"].priority_class = "armada-preemptible"
    made = job(settings.cluster, 5, ROOT_USER, partition="debug")
    (item,) = job_items(made, settings)
    assert item["pod_specs"][0]["priorityClassName"] == "armada-preemptible"


def test_a_high_priority_of_slurms_is_a_low_number_of_armadas():
    assert armada_priority(5000) < armada_priority(10) < armada_priority(0)
    assert armada_priority(0xFFFFFFFF) == 0


def test_client_ids_of_long_cluster_names_stay_short_and_apart():
    one, other = client_id("c" * 200, 1, 1, 0), client_id("c" * 199 + "d", 1, 1, 0)
    assert len(one) <= 100 and one != other


def test_without_a_limit_no_deadline_of_armadas_own(settings):
    assert deadline(UNLIMITED, settings.conf) == 0x7FFFFFFF
