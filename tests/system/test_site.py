"""A site: a controller whose Armada and whose nodes are elsewhere.

Armada is another cluster's engine, Kubernetes is played. Nodes come from the inventory, jobs run where its labels say,
their agents dial in over TLS; a drain is a cordon there, a cordon there a drain here.
"""

import contextlib
import shutil
import socket

import pytest
import yaml

from tests.armada.test_site_inventory import Site, kubernetes_node
from tests.system.conftest import running_cluster, until

ENGINE = """\
ClusterName: far
KillWait: 1
Nodes:
  - {NodeName: "worker[1-3]", CPUs: 2, CoresPerSocket: 2, RealMemory: 2000, Feature: ib}
Partitions:
  - {PartitionName: batch, Nodes: "worker[1-3]", Default: true}
"""
CLUSTER = """\
ClusterName: site
KillWait: 1
DefMemPerCPU: 64
MailProg: /bin/true
Armada:
  Address: "unix:{engine}"
  ControllerAddress: "127.0.0.1:{port}"
  Image: none
  InventoryInterval: 1
  Kubernetes:
    - {{Cluster: east, Kubeconfig: {kubeconfig}}}
"""
LABELS = {"slurm-compat/partition-batch": "true", "slurm-compat/feature-ib": "true"}


def worker(number, **more):
    return kubernetes_node(f"worker{number}", LABELS, cpu="2", memory="2000Mi", **more)


@pytest.fixture(scope="module")
def far():
    with running_cluster(ENGINE) as one:
        yield one


@pytest.fixture(scope="module")
def site():
    one = Site()
    one.nodes = [worker(1), worker(2), worker(3)]
    yield one
    one.end()


@pytest.fixture(scope="module")
def cluster(far, site, tmp_path_factory):
    path = tmp_path_factory.mktemp("site") / "kubeconfig"
    path.write_text(
        yaml.dump(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "east",
                "clusters": [{"name": "c", "cluster": {"server": site.url}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "east", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )  # fmt: skip
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    text = CLUSTER.format(engine=f"{far.state}/run/engine.sock", port=port, kubeconfig=path)
    with running_cluster(text) as one:
        yield one
    shutil.rmtree(path.parent)


def nodes(cluster):
    """{node: state} as sinfo has them."""
    rows = cluster.run("sinfo", "-hN", "-o", "%N %T").out.split()
    return dict(zip(rows[::2], rows[1::2], strict=True))


def test_nodes_and_partitions_are_the_sites(cluster):
    assert nodes(cluster) == {"worker1": "idle", "worker2": "idle", "worker3": "idle"}
    shown = cluster.run("sinfo", "-h", "-o", "%R %D %c %m %f").out.split()
    assert shown == ["batch", "3", "2", "2000", "ib"]


def test_jobs_run_there_and_their_commands_find_back(cluster, folder):
    out = folder / "out"
    script = "echo $SLURM_JOB_NODELIST; srun -n2 -l hostname | sort | wc -l; squeue -h -o %i"
    job = cluster.sbatch("-N2", "-n2", "-C", "ib", "-o", str(out), "--wrap", script)
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0"), out.read_text()
    where, lines, seen = out.read_text().split()
    assert where.startswith("worker[") and (lines, seen) == ("2", job)


def test_a_drain_is_a_cordon_and_a_cordon_a_drain(cluster, site):
    assert cluster.run("scontrol", "update", "nodename=worker1", "state=drain", "reason=psu").code == 0
    assert nodes(cluster)["worker1"] == "drained"
    path, _, body = site.patched[-1]
    assert (path, body["spec"]["unschedulable"]) == ("/api/v1/nodes/worker1", True)
    site.nodes = [worker(1, unschedulable=True), worker(2, unschedulable=True), worker(3)]
    until(lambda: nodes(cluster)["worker2"] == "drained", "the site's cordon is seen")
    assert cluster.run("scontrol", "update", "nodename=worker1", "state=resume").code == 0
    assert site.patched[-1][2]["spec"]["unschedulable"] is None
    site.nodes = [worker(1), worker(2), worker(3)]
    until(lambda: set(nodes(cluster).values()) == {"idle"}, "all are open again")


def test_a_source_that_is_away_leaves_stars_and_a_restart_remembers(cluster, site):
    site.broken = True
    until(lambda: set(nodes(cluster).values()) == {"idle*"}, "the nodes are stale")
    cluster.kill("controller")
    cluster.start()
    assert sorted(nodes(cluster)) == ["worker1", "worker2", "worker3"]
    job = cluster.sbatch("-o", "/dev/null", "--wrap", "true")
    assert cluster.ended(job)[job][0] == "COMPLETED"
    site.broken = False
    until(lambda: set(nodes(cluster).values()) == {"idle"}, "they are seen again")
