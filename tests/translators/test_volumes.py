"""Armada.Volumes as a pod's volumes."""

from types import SimpleNamespace

import pytest
import yaml

from slurm_compat.armada.messages import submit_item
from slurm_compat.core.cluster import ArmadaConf, VolumeConf, cluster_conf
from slurm_compat.core.errors import BadValue
from slurm_compat.core.model import JobRequest
from slurm_compat.translators.jobspec import job_items
from slurm_compat.translators.volumes import volumes
from slurm_compat.translators.yamlview import translate
from tests.controller.reference import job, reference_cluster

HOME = {"Name": "home", "NFS": "filer:/export/home", "MountPath": "/home"}
SCRATCH = {"Name": "scratch", "HostPath": "/scratch", "MountPath": "/scratch"}
DATA = {"Name": "data", "PersistentVolumeClaim": "data", "MountPath": "/data", "SubPath": "2026", "ReadOnly": True}


def items(**armada):
    cluster = reference_cluster()
    cluster.conf.armada = cluster_conf({"Armada": armada}).armada
    settings = SimpleNamespace(conf=cluster.conf, cluster=cluster, authority="MII")
    return job_items(job(cluster, 7), settings)


def test_pods_on_kubernetes_have_the_folders():
    (item,) = items(Address="armada:1", Volumes=[HOME, SCRATCH, DATA])
    pod = item["pod_specs"][0]
    assert pod["volumes"] == [
        {"name": "home", "volumeSource": {"nfs": {"server": "filer", "path": "/export/home"}}},
        {"name": "scratch", "volumeSource": {"hostPath": {"path": "/scratch"}}},
        {"name": "data", "volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}},
    ]
    assert pod["containers"][0]["volumeMounts"] == [
        {"name": "home", "mountPath": "/home"},
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "data", "mountPath": "/data", "subPath": "2026", "readOnly": True},
    ]
    message = submit_item(item).pod_specs[0]
    assert message.volumes[0].volumeSource.nfs.server == "filer"
    assert message.securityContext.runAsUser == 0


def test_translate_writes_them_as_kubernetes_does():
    cluster = reference_cluster()
    cluster.conf.armada = cluster_conf({"Armada": {"Address": "armada:1", "Volumes": [SCRATCH]}}).armada
    document = yaml.safe_load(translate(JobRequest(tasks=1), cluster))
    pod = document["jobs"][0]["podSpecs"][0]
    assert pod["volumes"] == [{"name": "scratch", "hostPath": {"path": "/scratch"}}]


def test_the_embedded_engines_pods_have_this_machines_files():
    pod = items(Volumes=[HOME])[0]["pod_specs"][0]
    assert "volumes" not in pod and "securityContext" not in pod


def test_an_image_may_name_the_user():
    assert "securityContext" not in items(Address="armada:1", RunAsRoot=False)[0]["pod_specs"][0]


@pytest.mark.parametrize("address, told", [("", None), ("head:6817", "MII")])
def test_agents_over_tcp_are_told_the_authority(address, told):
    pod = items(Address="armada:1", ControllerAddress=address)[0]["pod_specs"][0]
    environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert environment.get("SLURM_COMPAT_AUTHORITY") == told


@pytest.mark.parametrize(
    "volume, words",
    [
        (VolumeConf(name="a", mount_path="/a"), "one of HostPath, NFS, PersistentVolumeClaim"),
        (VolumeConf(name="a", mount_path="/a", host_path="/x", nfs="b:/c"), "one of"),
        (VolumeConf(name="a", mount_path="a", host_path="/x"), "no absolute path"),
        (VolumeConf(name="a", mount_path="/a", nfs="server"), "not server:/path"),
    ],
)
def test_what_is_no_volume(volume, words):
    with pytest.raises(BadValue, match=words):
        volumes(ArmadaConf(volumes=[volume]))


def test_one_volume_may_be_mounted_twice_but_not_be_two():
    one = VolumeConf(name="a", mount_path="/a", host_path="/x")
    two = VolumeConf(name="a", mount_path="/b", host_path="/x", sub_path="b")
    found, mounts = volumes(ArmadaConf(volumes=[one, two]))
    assert (len(found), len(mounts)) == (1, 2)
    with pytest.raises(BadValue, match="two different volumes"):
        volumes(ArmadaConf(volumes=[one, VolumeConf(name="a", mount_path="/b", host_path="/y")]))
