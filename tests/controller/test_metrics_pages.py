"""The metrics' pages: the real one's names and help lines, figures that add up, and who may read them."""

import asyncio
import time
from types import SimpleNamespace

import pytest
import yaml

from slurm_compat.controller.metricshttp import MetricsServer, Request, parsed, place, written
from slurm_compat.controller.statistics import Statistics
from slurm_compat.controller.tokens import Tokens
from slurm_compat.core.cluster import cluster_conf
from slurm_compat.core.errors import BadValue
from tests.controller.reference import ROOT, job, reference_cluster

RECORDED = yaml.safe_load((ROOT / "fixtures/openmetrics.yaml").read_text())
KEY = b"k" * 32


def a_controller(**keys):
    cluster = reference_cluster()
    running = job(cluster, 1, tasks=2, partition="debug")
    running.state, running.start_time, running.cpus, running.node_count = "RUNNING", 5, 2, 1
    running.resources = [("node01", 2, "0-1", 1000, "")]
    cluster.reserve(1, running.resources)
    held = job(cluster, 2)
    held.hold = "user"
    array = job(cluster, 3, minimum_nodes=2, tasks=2)
    array.array_job_id, array.array_ranges = 3, [(0, 39, 1)]
    failed = job(cluster, 4)
    failed.state, failed.start_time = "FAILED", 5
    jobs = {one.job_id: one for one in (running, held, array, failed)}
    outbox = SimpleNamespace(length=2, failures=1, kinds=lambda: {"submit": 2})
    staging = SimpleNamespace(waiting=1, blocked={}, inside=iter((3,)))
    return SimpleNamespace(
        cluster=cluster,
        conf=cluster_conf({"ClusterName": "c", **keys}),
        table=SimpleNamespace(jobs=jobs, pending={2: None, 3: None}, running={1: None}),
        statistics=Statistics(1000),
        counters={"submitted": 4, "FAILED": 1, "reprioritize calls": 3},
        outbox=outbox,
        staging=staging,
        store=SimpleNamespace(waiting=0, commits=7, changes=9),
        agents=SimpleNamespace(runs={}),
        sources=lambda: {"east": 1, "west": 0},
        now=lambda: 1090,
        started_at=1000,
        tokens=Tokens(KEY),
        caller=lambda uid, gid: SimpleNamespace(operator=uid == 0),
    )


def got(path, token="", method="GET", **keys):
    reply = asyncio.run(MetricsServer(a_controller(**keys)).answer(Request(method, path, token)))
    return reply.status.value, reply.body.decode()


def values(path):
    found = {}
    for line in got(path)[1].splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


@pytest.mark.parametrize("path", RECORDED)
def test_names_and_help_lines_are_the_real_ones(path):
    text = got(path)[1]
    ours = {line[len("# HELP ") :] for line in text.splitlines() if line.startswith("# HELP ")}
    assert ours == set(RECORDED[path])
    assert {line.split(" ")[3] for line in text.splitlines() if line.startswith("# TYPE ")} == {"gauge"}


def test_jobs_add_up():
    found = values("/metrics/jobs")
    shown = {name.removeprefix("slurm_jobs"): value for name, value in found.items() if value}
    assert shown == {
        "": 43, "_running": 1, "_pending": 41, "_hold": 1, "_failed": 1, "_finished": 1, "_started": 2,
        "_cpus_alloc": 2, "_nodes_alloc": 1, "_memory_alloc": 1000,
    }  # fmt: skip


def test_users_and_accounts_count_an_arrays_record_once():
    found = values("/metrics/jobs-users-accts")
    assert found['slurm_user_jobs{username="alice"}'] == 4
    assert found['slurm_user_jobs_pending{username="alice"}'] == 41
    assert found['slurm_account_jobs_running{account="project1"}'] == 1


def test_nodes_and_partitions_add_up():
    nodes, parts = values("/metrics/nodes"), values("/metrics/partitions")
    assert (nodes["slurm_nodes"], nodes["slurm_nodes_mixed"], nodes["slurm_nodes_down"]) == (5, 1, 1)
    assert nodes['slurm_node_cpus_alloc{node="node01"}'] == 2
    assert nodes['slurm_node_gpus{node="node04"}'] == 2
    assert parts['slurm_partition_cpus{partition="compute"}'] == 20
    assert parts['slurm_partition_nodes_cpus_idle{partition="debug"}'] == 6
    assert parts['slurm_partition_jobs_max_job_nodes_nohold{partition="compute"}'] == 2


def test_the_scheduler_and_the_controller_tell_sdiags_figures():
    assert values("/metrics/scheduler")["slurm_sdiag_jobs_failed"] == 1
    own = values("/metrics/controller")
    assert own["slurm_compat_outbox"] == 2
    assert own["slurm_compat_armada_reprioritize_calls_total"] == 3
    assert (own['slurm_compat_inventory_up{source="east"}'], own['slurm_compat_inventory_up{source="west"}']) == (1, 0)


@pytest.mark.parametrize(
    "path, status, words",
    [
        ("/", 200, "index of endpoints"),
        ("/metrics", 200, "'/metrics/jobs': get job metrics"),
        ("/metrics/", 200, "'/metrics/jobs'"),
        ("/readyz", 204, ""),
        ("/livez", 204, ""),
        ("/healthz", 204, ""),
        ("/nope", 404, "slurmctld HTTP server request for 'GET /nope':\nFailed: Invalid or unknown URL path\n\n"),
        ("/metrics/../etc/passwd", 404, "Failed: Invalid or unknown URL path"),
    ],
)
def test_other_paths(path, status, words):
    code, text = got(path)
    assert code == status and words in text


def test_only_reading_is_known():
    assert got("/metrics", method="POST")[0] == 405


@pytest.mark.parametrize(
    "private, user, path, status",
    [
        ("", "", "/metrics/jobs", 200),
        ("none", "", "/metrics/jobs", 200),
        ("jobs", "", "/metrics/jobs", 401),
        ("jobs", "", "/metrics", 401),
        ("jobs", "", "/", 200),
        ("jobs", "", "/readyz", 204),
        ("jobs", "root", "/metrics/jobs", 200),
        ("jobs", "nobody", "/metrics/jobs", 200),  # one of MetricsAuthUsers
        ("jobs", "daemon", "/metrics/jobs", 401),
        ("jobs", "nobodyhere", "/metrics/jobs", 401),
    ],
)
def test_private_data_is_an_operators_to_read(private, user, path, status):
    token = Tokens(KEY).make(user, 60, int(time.time())) if user else ""
    assert got(path, token, PrivateData=private, MetricsAuthUsers="nobody, other")[0] == status


def test_the_refusal_has_the_real_ones_words():
    text = got("/metrics/jobs", PrivateData="jobs")[1]
    words = "slurmctld HTTP server request for 'GET /metrics/jobs':\nFailed: Invalid authentication credential\n\n"
    assert text == words


@pytest.mark.parametrize(
    "head, found",
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Request("GET", "/metrics", "")),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", Request("GET", "/metrics", "")),
        (b"GET / HTTP/1.1\r\nX-SLURM-USER-TOKEN: abc\r\n\r\n", Request("GET", "/", "abc")),
        (b"GET / HTTP/1.1\r\nauthorization: Bearer abc\r\n\r\n", Request("GET", "/", "abc")),
        (b"\xff\xfe\r\n\r\n", None),
        (b"GET /\r\n\r\n", None),
        (b"", None),
    ],
)
def test_requests(head, found):
    assert parsed(head) == found


@pytest.mark.parametrize(
    "text, found",
    [("", None), ("9100", ("127.0.0.1", 9100)), (9100, ("127.0.0.1", 9100)), ("0.0.0.0:1", ("0.0.0.0", 1)),
     ("[::]:1", ("::", 1))],
)  # fmt: skip
def test_where_they_are(text, found):
    assert place(cluster_conf({"MetricsAddress": text})) == found


def test_an_address_that_is_none():
    with pytest.raises(BadValue, match="MetricsAddress"):
        place(cluster_conf({"MetricsAddress": "here"}))


def test_the_port_answers_many_and_outlives_garbage():
    async def run():
        server = MetricsServer(a_controller())
        port = await server.start("127.0.0.1", 0)

        async def ask(data):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return answer

        bad = await ask(b"\0\0\0\0\r\n\r\n")
        long = await ask(b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n")
        good = await asyncio.gather(*(ask(b"GET /metrics/jobs HTTP/1.1\r\n\r\n") for _ in range(20)))
        head = await ask(b"HEAD /metrics/jobs HTTP/1.1\r\n\r\n")
        server.close()
        return bad, long, good, head

    bad, long, good, head = asyncio.run(run())
    assert bad.startswith(b"HTTP/1.1 400") and b"200" not in long[:20]
    assert all(b"slurm_jobs 43.0" in one for one in good)
    assert head.endswith(b"\r\n\r\n") and b"Content-Length" in head


def test_an_empty_answer_has_no_body():
    reply = asyncio.run(MetricsServer(a_controller()).answer(Request("GET", "/livez", "")))
    assert written(reply) == b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n"
