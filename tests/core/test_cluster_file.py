from pathlib import Path

import msgspec
import pytest
import yaml

from slurm_compat.core import cluster
from slurm_compat.core.errors import BadValue

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("path", sorted((ROOT / "fixtures" / "clusters").glob("*.yaml")), ids=lambda path: path.name)
def test_the_fixtures_are_cluster_files(path):
    assert cluster.cluster_conf(yaml.safe_load(path.read_text())).partitions


def test_a_misspelt_key_is_named():
    with pytest.raises(BadValue, match="NodeNmae"):
        cluster.cluster_conf({"Nodes": [{"NodeNmae": "n1"}]})


def test_no_file_at_all_is_the_defaults():
    assert cluster.cluster_conf(None) == cluster.ClusterConf()


STRUCTS = [cluster.ClusterConf, cluster.NodeConf, cluster.PartitionConf, cluster.QosConf, cluster.AccountConf,
           cluster.UserConf, cluster.ArmadaConf, cluster.KubernetesConf, cluster.VolumeConf]  # fmt: skip


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_key_is_documented(struct):
    text = (ROOT / "docs" / "cluster-file.md").read_text()
    for field in msgspec.structs.fields(struct):
        if not field.encode_name.startswith("PriorityWeight"):
            assert field.encode_name in text
