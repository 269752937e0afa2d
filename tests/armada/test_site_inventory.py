"""A site's nodes as Kubernetes and Armada's scheduler tell of them, from small servers that answer in their shapes."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlparse

import pytest
import yaml

from slurm_compat.armada import kubernetes, prometheus
from slurm_compat.armada.inventory import Allocation, SeenNode, merged, overlaid
from slurm_compat.armada.kubernetes import Unreachable, Worker, quantity, seen
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.siteinventory import Inventory, Sources, first_look
from slurm_compat.core.cluster import KubernetesConf, cluster_conf
from slurm_compat.core.errors import BadValue, SlurmError
from tests.controller.reference import MACHINE, NOW

METRICS = """\
# HELP armada_scheduler_node_allocatable_resource Resource that can be allocated on this node
# TYPE armada_scheduler_node_allocatable_resource gauge
armada_scheduler_node_allocatable_resource{pool="default",node="n1",cluster="east",nodeType="a",resource="cpu",reservation="",schedulable="true",overAllocated="false"} 31
armada_scheduler_node_allocatable_resource{pool="default",node="n1",cluster="east",nodeType="a",resource="memory",reservation="",schedulable="true",overAllocated="false"} 1.34217728e+11
armada_scheduler_node_allocatable_resource{pool="default",node="n9",cluster="west",nodeType="a",resource="cpu",reservation="",schedulable="false",overAllocated="false"} 8
armada_scheduler_node_allocatable_resource{pool="default",node="n9",cluster="west",nodeType="a",resource="memory",reservation="",schedulable="false",overAllocated="false"} 1.073741824e+09
# HELP armada_scheduler_node_allocated_resource Resource allocated on this node
# TYPE armada_scheduler_node_allocated_resource gauge
armada_scheduler_node_allocated_resource{pool="default",node="n1",cluster="east",nodeType="a",resource="cpu",reservation="",schedulable="true",overAllocated="false"} 11.5
armada_scheduler_node_allocated_resource{pool="default",node="n1",cluster="east",nodeType="a",resource="memory",reservation="",schedulable="true",overAllocated="false"} 2.097152e+06
armada_scheduler_fair_share{pool="default",queue="q"} 0.5
"""  # noqa: E501


READY = {"True": "KubeletReady"}


def kubernetes_node(name, labels=None, ready="True", unschedulable=None, gpus=0, **allocatable):
    amounts = {"cpu": "31500m", "memory": "128Gi", "pods": "110", "ephemeral-storage": "10Gi", **allocatable}
    if gpus:
        amounts["nvidia.com/gpu"] = str(gpus)
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}, "annotations": {}},
        "spec": {"podCIDR": "10.0.0.0/24", **({"unschedulable": True} if unschedulable else {})},
        "status": {
            "allocatable": amounts,
            "capacity": amounts,
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": ready, "reason": READY.get(ready, "NodeStatusUnknown")},
            ],
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "10.1.0.7"}],
            "nodeInfo": {
                "architecture": "amd64", "osImage": "Debian 12", "kernelVersion": "6.1.0", "machineID": "m",
                "systemUUID": "u", "bootID": "b", "containerRuntimeVersion": "c", "kubeletVersion": "v",
                "kubeProxyVersion": "v", "operatingSystem": "linux",
            },
        },
    }  # fmt: skip


class Site(ThreadingHTTPServer):
    """A worker cluster's API, a scheduler's metrics and a Prometheus, all at one port."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.nodes = []
        self.patched = []
        self.broken = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def end(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def reply(self, body, status=200, kind="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        url = urlparse(self.path)
        asked = {key: value[0] for key, value in parse_qs(url.query).items()}
        if self.server.broken:
            self.reply({"kind": "Status", "message": "etcd"}, 503)
        elif url.path == "/metrics":
            self.reply(METRICS, kind="text/plain; version=0.0.4")
        elif url.path == "/api/v1/query":
            found = [
                {"metric": {"__name__": name, **labels}, "value": [1.5, str(value)]}
                for name, labels, value in prometheus.exposed(METRICS)
                if name == asked["query"]
            ]
            self.reply({"status": "success", "data": {"resultType": "vector", "result": found}})
        elif url.path == "/api/v1/nodes":
            start, size = int(asked.get("continue") or 0), int(asked["limit"])
            some = self.server.nodes[start : start + size]
            wanted = [pair.split("=") for pair in asked.get("labelSelector", "").split(",") if pair]
            items = [node for node in some if all(node["metadata"]["labels"].get(k) == v for k, v in wanted)]
            more = str(start + size) if start + size < len(self.server.nodes) else ""
            self.reply({"kind": "NodeList", "apiVersion": "v1", "metadata": {"continue": more}, "items": items})
        else:
            self.reply({}, 404)

    def do_PATCH(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.patched.append((self.path, self.headers["Content-Type"], body))
        self.reply(kubernetes_node("n1"))


@pytest.fixture
def site():
    one = Site()
    yield one
    one.end()


@pytest.fixture
def worker(site, tmp_path):
    path = tmp_path / "kubeconfig"
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
    return KubernetesConf(cluster="east", kubeconfig=str(path))


LABELS = {
    "slurm-compat/feature-skylake": "true", "slurm-compat/feature-ib": "true", "slurm-compat/feature-old": "false",
    "slurm-compat/partition-long": "true", "slurm-compat/gpu-type": "a100", "pool": "batch",
}  # fmt: skip


def test_a_node_of_the_api():
    found = seen(kubernetes_node("n1", LABELS, gpus=4, **{"slurm-compat/shard": "8"}), "east")
    assert (found.name, found.cluster, found.cpus, found.memory_mib) == ("n1", "east", 31, 131072)
    assert (found.gpus, found.gpu_type, found.others) == (4, "a100", {"shard": 8})
    assert (found.features, found.partitions) == (["ib", "skylake"], ["long"])
    assert (found.ready, found.cordoned, found.address) == (True, False, "10.1.0.7")
    assert (found.architecture, found.operating_system) == ("amd64", "Debian 12 6.1.0")


@pytest.mark.parametrize("ready, reason", [("False", "NodeStatusUnknown"), ("Unknown", "NodeStatusUnknown")])
def test_a_node_that_is_not_ready(ready, reason):
    found = seen(kubernetes_node("n1", ready=ready), "east")
    assert (found.ready, found.reason) == (False, reason)


def test_a_node_that_tells_nothing_is_not_ready():
    assert seen({"metadata": {"name": "n1"}}, "east").ready is False


@pytest.mark.parametrize(
    "text, value",
    [("4", 4), ("3920m", 3.92), ("16Gi", 16 << 30), ("16G", 16 * 10**9), ("128974848", 128974848), ("1e3", 1000),
     ("123Ki", 123 << 10), ("0", 0), ("", 0), ("much", 0)],
)  # fmt: skip
def test_amounts(text, value):
    assert float(quantity(text)) == value


def test_the_schedulers_metrics():
    found = prometheus.by_node(prometheus.exposed(METRICS))
    n1, n9 = found["n1"], found["n9"]
    assert (n1.cpus, n1.used_cpus, n1.memory_mib, n1.used_memory_mib) == (31, 12, 128000, 2)
    assert (n9.cluster, n9.schedulable, n9.cpus) == ("west", False, 8)


def test_the_scheduler_itself_and_a_prometheus_tell_the_same(site):
    assert prometheus.allocations(f"{site.url}/metrics") == prometheus.allocations(site.url)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/metrics", "nonsense"])
def test_only_http_is_asked(url):
    with pytest.raises(ValueError):
        prometheus.allocations(url)


def test_nonsense_of_a_prometheus_is_an_error():
    with pytest.raises(ValueError):
        list(prometheus.answered(b'{"status": "error"}'))


def test_the_client_asks_page_by_page(site, worker, monkeypatch):
    monkeypatch.setattr(kubernetes, "PAGE", 2)
    site.nodes = [kubernetes_node(f"n{number}") for number in range(5)]
    assert [node.name for node in Worker(worker).nodes()] == ["n0", "n1", "n2", "n3", "n4"]


def test_a_selector_leaves_others_out(site, worker):
    site.nodes = [kubernetes_node("n1", LABELS), kubernetes_node("n2")]
    worker.node_selector = {"pool": "batch"}
    assert [node.name for node in Worker(worker).nodes()] == ["n1"]


def test_a_cluster_that_fails_is_said_so_by_name(site, worker):
    site.broken = True
    with pytest.raises(Unreachable, match="east: 503"):
        Worker(worker).nodes()
    with pytest.raises(Unreachable, match="nowhere"):
        Worker(KubernetesConf(kubeconfig="/nowhere/kubeconfig")).nodes()


def test_cordon_and_uncordon(site, worker):
    one = Worker(worker)
    one.cordon("n1", True, "psu failed")
    one.cordon("n1", False)
    (path, kind, on), (_, _, off) = site.patched
    assert (path, "patch+json" in kind) == ("/api/v1/nodes/n1", True)
    assert on == {
        "spec": {"unschedulable": True}, "metadata": {"annotations": {"slurm-compat/cordon-reason": "psu failed"}},
    }  # fmt: skip
    assert off == {"spec": {"unschedulable": None}, "metadata": {"annotations": {"slurm-compat/cordon-reason": None}}}


def test_what_two_sources_know_is_one_node():
    east = [SeenNode(name="n1", cluster="east", cpus=32, memory_mib=131072, gpus=2)]
    west = [SeenNode(name="n1", cluster="west", cpus=4)]
    found = merged([east, west], {"n1": Allocation(cpus=31, memory_mib=128000, used_cpus=12), "n9": Allocation(cpus=8)})
    assert sorted(found) == ["n1", "n1.west", "n9"]
    assert (found["n1"].cpus, found["n1"].gpus, found["n1"].used_cpus) == (31, 2, 12)
    assert found["n9"].cpus == 8


SEEN = {
    "n1": SeenNode(name="n1", cpus=32, memory_mib=64000, gpus=2, gpu_type="a100", features=["ib"], partitions=["long"]),
    "n2": SeenNode(name="n2", cpus=16, memory_mib=32000, labels={"pool": "batch"}),
}


def cluster_of(document, found=SEEN):
    return Cluster.from_conf(overlaid(cluster_conf(document), found), MACHINE, NOW)


def test_a_site_without_nodes_in_its_file():
    cluster = cluster_of({})
    assert [(node.name, node.cpus, node.real_memory) for node in cluster.nodes.values()] == [
        ("n1", 32, 64000), ("n2", 16, 32000),
    ]  # fmt: skip
    assert (cluster.nodes["n1"].gpu_types, cluster.nodes["n1"].features) == (["a100", "a100"], ["ib"])
    assert cluster.partitions["long"].node_names == ["n1"]
    assert cluster.default_partition() == "long"


def test_what_the_file_says_counts():
    cluster = cluster_of({"Nodes": [{"NodeName": "n[1-3]", "CPUs": 8, "Feature": "mine"}]})
    assert [(node.cpus, node.real_memory, node.features) for node in cluster.nodes.values()] == [
        (8, 64000, ["mine"]), (8, 32000, ["mine"]), (8, MACHINE.memory_mib, ["mine"]),
    ]  # fmt: skip


def test_a_partitions_nodes():
    parts = [
        {"PartitionName": "batch", "NodeSelector": {"pool": "batch"}, "Default": True},
        {"PartitionName": "long"},
        {"PartitionName": "named", "Nodes": "n[1-2]"},
        {"PartitionName": "all"},
    ]
    cluster = cluster_of({"Partitions": parts})
    members = {part.name: part.node_names for part in cluster.partitions.values()}
    assert members == {"batch": ["n2"], "long": ["n1"], "named": ["n1", "n2"], "all": ["n1", "n2"]}


def test_nothing_seen_changes_nothing():
    conf = cluster_conf({})
    assert overlaid(conf, {}) is conf


class PlayedController:
    def __init__(self, conf):
        self.cluster = Cluster.from_conf(conf, MACHINE, NOW)
        self.conf = self.cluster.conf
        self.reasons = SimpleNamespace(stale=lambda: None)
        self.changes = 0

    def now(self):
        return NOW

    def rebuild(self, conf):
        self.cluster = Cluster.from_conf(conf, MACHINE, NOW)
        self.conf = self.cluster.conf

    async def changed(self):
        self.changes += 1


def an_inventory(document, sources):
    file_conf = cluster_conf(document)
    controller = PlayedController(overlaid(file_conf, SEEN))
    return Inventory(controller, sources, file_conf, controller.rebuild, controller.changed), controller


def shown(node):
    return node.state, node.state_flags, node.reason


def test_states_follow_the_source(tmp_path):
    inventory, controller = an_inventory({}, Sources(cluster_conf({}).armada, str(tmp_path)))
    first = SEEN["n1"]

    def take(**changes):
        values = {name: getattr(first, name) for name in first.__struct_fields__} | changes
        asyncio.run(inventory.take({**SEEN, "n1": SeenNode(**values)}))
        return shown(controller.cluster.nodes["n1"])

    assert take() == ("IDLE", [], "")
    assert take(used_cpus=12) == ("MIXED", [], "")
    assert take(used_cpus=32) == ("ALLOCATED", [], "")
    assert take(cordoned=True, reason="psu") == ("IDLE", ["DRAIN"], "psu")
    assert take(cordoned=True, used_cpus=3) == ("MIXED", ["DRAIN"], "psu")
    assert take() == ("IDLE", [], "")
    assert take(ready=False, reason="NodeStatusUnknown") == ("DOWN", ["NOT_RESPONDING"], "NodeStatusUnknown")
    assert take() == ("IDLE", [], "")
    assert take(stale=True) == ("IDLE", ["NOT_RESPONDING"], "")
    assert controller.cluster.nodes["n1"].available  # what we don't hear of may well run
    assert controller.changes == 4


def test_an_administrators_word_stays(tmp_path):
    inventory, controller = an_inventory({}, Sources(cluster_conf({}).armada, str(tmp_path)))
    asyncio.run(inventory.take(SEEN))
    node = controller.cluster.nodes["n1"]
    node.flags.add("DRAIN")
    node.reason, node.reason_user = "mine", "root"
    asyncio.run(inventory.take(SEEN))
    assert shown(controller.cluster.nodes["n1"]) == ("IDLE", ["DRAIN"], "mine")


def test_a_node_that_joins_is_there(tmp_path):
    inventory, controller = an_inventory({}, Sources(cluster_conf({}).armada, str(tmp_path)))
    asyncio.run(inventory.take({**SEEN, "n3": SeenNode(name="n3", cpus=4, memory_mib=4000)}))
    assert list(controller.cluster.nodes) == ["n1", "n2", "n3"]
    before = controller.cluster
    asyncio.run(inventory.take({**SEEN, "n3": SeenNode(name="n3", cpus=4, memory_mib=4000)}))
    assert controller.cluster is before


def test_agents_are_known_by_the_nodes_name_here(tmp_path):
    inventory, _ = an_inventory({}, Sources(cluster_conf({}).armada, str(tmp_path)))
    found = SeenNode(name="n1", object_name="ip-10-1-0-7.internal", cpus=4)
    asyncio.run(inventory.take({"n1": found}))
    names = [inventory.name_of(name) for name in ("n1", "ip-10-1-0-7.internal", "unknown")]
    assert names == ["n1", "n1", "unknown"]


def site_conf(site, worker):
    return cluster_conf(
        {"Armada": {
            "Address": "armada:1", "PrometheusURL": f"{site.url}/metrics",
            "Kubernetes": [{"Cluster": "east", "Kubeconfig": worker.kubeconfig}],
        }}
    )  # fmt: skip


def test_sources_that_go_away_and_come_back(site, worker, tmp_path):
    site.nodes = [kubernetes_node("n1", LABELS, gpus=4), kubernetes_node("n2")]
    conf = site_conf(site, worker)

    async def story():
        sources = Sources(conf.armada, str(tmp_path))
        started = await first_look(conf, sources)
        site.broken = True
        away = await sources.ask()
        states = dict(sources.up)
        again = Sources(conf.armada, str(tmp_path)).read_back()
        site.broken = False
        back = await sources.ask()
        return started, away, states, again, back, sources.up

    started, away, states, again, back, up = asyncio.run(story())
    assert [node.node_name for node in started.nodes] == ["n1", "n2", "n9"]
    assert (away["n1"].stale, away["n1"].cpus, back["n1"].stale) == (True, 31, False)
    assert set(states.values()) == {0} and set(up.values()) == {1}
    assert again["n1"].stale and again["n1"].gpus == 4


def test_a_site_nobody_knows_a_node_of_does_not_start(site, worker, tmp_path):
    site.broken = True
    conf = site_conf(site, worker)
    with pytest.raises(BadValue, match="no node is known"):
        asyncio.run(first_look(conf, Sources(conf.armada, str(tmp_path))))


def test_a_drain_becomes_a_cordon(site, worker, tmp_path):
    site.nodes = [kubernetes_node("n1")]
    conf = site_conf(site, worker)

    async def story():
        sources = Sources(conf.armada, str(tmp_path))
        controller = PlayedController(await first_look(conf, sources))
        inventory = Inventory(controller, sources, conf, controller.rebuild, controller.changed)
        await inventory.refresh()
        await inventory.cordon(["n1"], True, "psu")
        with pytest.raises(SlurmError, match="has this node"):
            await inventory.cordon(["nowhere"], True, "")
        with pytest.raises(SlurmError, match="names no cluster west"):
            await inventory.cordon(["n9"], True, "")

    asyncio.run(story())
    assert [path for path, _, _ in site.patched] == ["/api/v1/nodes/n1"]
