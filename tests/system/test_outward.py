"""Outside of the controller's machine: commands and agents over TLS, tokens, metrics; and the order inside Armada."""

import contextlib
import os
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.system.conftest import BOB, running_cluster, until

CLUSTER = """\
ClusterName: outward
KillWait: 1
DefMemPerCPU: 64
MailProg: /bin/true
AuthAltTypes: auth/jwt
ControllerAddress: 127.0.0.1:{tcp}
MetricsAddress: {metrics}
Armada: {{ControllerAddress: "127.0.0.1:{tcp}", ReprioritizeInterval: 1}}
Nodes:
  - {{NodeName: "node[01-02]", CPUs: 2, CoresPerSocket: 2, RealMemory: 2000}}
Partitions:
  - {{PartitionName: compute, Nodes: node01, Default: true}}
  - {{PartitionName: one, Nodes: node02}}
"""
REFUSED = "Protocol authentication error"


def free_ports(count):
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]


class Outside:
    """The cluster, and the environment of a machine that only has a client's file and the authority's certificate."""

    def __init__(self, cluster, folder, tcp, metrics):
        self.cluster = cluster
        self._metrics = metrics
        file = folder / "client.yaml"
        file.write_text(f"ClusterName: outward\nControllerAddress: 127.0.0.1:{tcp}\nTLSAuthority: ca.pem\n")
        shutil.copy(Path(cluster.state, "tls", "ca.pem"), folder / "ca.pem")
        self.env = {"SLURM_CONF": str(file)}

    def token(self, *words):
        done = self.cluster.run("scontrol", "token", *words)
        assert done.out.startswith("SLURM_JWT="), done
        return {**self.env, "SLURM_JWT": done.out.strip().partition("=")[2]}

    def figures(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics/controller", timeout=20) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0].removeprefix("slurm_compat_"): float(line.rpartition(" ")[2]) for line in lines}


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    for path in (folder, *folder.parents[:2]):
        with contextlib.suppress(PermissionError):
            path.chmod(0o755)
    tcp, metrics = free_ports(2)
    with running_cluster(CLUSTER.format(tcp=tcp, metrics=metrics)) as cluster:
        yield Outside(cluster, folder, tcp, metrics)


def test_elsewhere_a_token_is_all_that_counts(outside):
    cluster = outside.cluster
    assert cluster.run("squeue", env=outside.env) == (1, "", f"slurm_load_jobs error: {REFUSED}\n")
    done = cluster.run("sbatch", "--wrap", "true", env=outside.env)
    assert done == (1, "", f"sbatch: error: Batch job submission failed: {REFUSED}\n")
    assert "is DOWN" in cluster.run("scontrol", "ping", env=outside.env).out
    env = outside.token()
    assert cluster.run("squeue", "-h", env=env) == (0, "", "")
    assert "is UP" in cluster.run("scontrol", "ping", env=env).out
    assert cluster.run("srun", "hostname", env=env).out.split(".")[0].strip()


@pytest.mark.parametrize("bad", ["", "garbage", "forged"])
def test_a_token_that_does_not_count_is_refused_here_and_there(outside, bad):
    env = outside.token()
    env["SLURM_JWT"] = env["SLURM_JWT"] + "x" if bad == "forged" else bad
    for where in (env, {"SLURM_JWT": env["SLURM_JWT"]}):
        assert outside.cluster.run("squeue", env=where) == (1, "", f"slurm_load_jobs error: {REFUSED}\n")


def test_a_step_whose_agent_reaches_no_srun_is_relayed_over_tls(outside):
    env = outside.token() | {"SLURM_COMPAT_SRUN_HOST": "none"}
    script = "head -c 1000000 /dev/zero | srun -Q sh -c 'wc -c; head -c 2000000 /dev/zero' | wc -c"
    assert outside.cluster.run("sh", "-c", script, env=env) == (0, "2000008\n", "")
    assert outside.cluster.run("srun", "-Q", "sh", "-c", "exit 7", env=env).code == 7


def test_another_authority_is_not_trusted(outside, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=other", "-keyout", tmp_path / "k",
         "-out", tmp_path / "ca.pem"],
        check=True, capture_output=True,
    ) if shutil.which("openssl") else pytest.skip("makes a certificate with openssl")  # fmt: skip
    file = tmp_path / "client.yaml"
    file.write_text(Path(outside.env["SLURM_CONF"]).read_text())
    done = outside.cluster.run("squeue", env=outside.token() | {"SLURM_CONF": str(file)})
    assert done.code == 1 and "is not vouched for by TLSAuthority" in done.err


def test_a_jobs_own_commands_reach_the_controller_as_its_user(outside, folder):
    cluster = outside.cluster
    out = folder / "out"
    script = "squeue -h -o %i; srun hostname; sbatch --parsable --wrap true; env | grep -c SLURM_JWT"
    job = cluster.run("sbatch", "--parsable", "-o", str(out), "--wrap", script, env=outside.token()).out.strip()
    assert cluster.ended(job)[job][0] == "COMPLETED" or out.read_text()
    seen, host, submitted, tokens = out.read_text().split()
    assert (seen, tokens) == (job, "0") and host
    cluster.ended(submitted)


def test_a_token_speaks_for_its_user_whoever_shows_it(outside, as_root):
    cluster = outside.cluster
    mine = cluster.run("scontrol", "token", user=BOB)
    assert mine.out.startswith("SLURM_JWT=")
    words = "scontrol: error: slurm_fetch_token: error with request: Invalid user id\n"
    assert cluster.run("scontrol", "token", "username=root", user=BOB) == (1, "", words)
    env = outside.token(f"username={BOB}", "lifespan=600")
    job = cluster.run("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "true", env=env).out.strip()
    assert cluster.accounts([job], "jobid,user")[job] == (BOB,)
    # and he is not let at others' jobs by showing it as root
    held = cluster.sbatch("-H", "--wrap", "true")
    assert "Access/permission denied" in cluster.run("scancel", held, env=env).err
    cluster.run("scancel", held)


def test_agents_find_the_controller_again_over_tls(outside, folder):
    cluster = outside.cluster
    go = folder / "go"
    job = cluster.sbatch("-o", "/dev/null", "--wrap", f"until [ -e {go} ]; do sleep 0.05; done")
    cluster.becomes(job, "RUNNING")
    cluster.kill("controller")
    go.touch()
    cluster.start()
    assert cluster.ended(job)[job] == ("COMPLETED", "0:0")


def test_a_priority_changed_inside_armada_changes_who_starts_next(outside, folder):
    cluster = outside.cluster
    go, order = folder / "go", folder / "order"
    alone = ("-p", "one", "-c", "2", "-o", "/dev/null")
    first = cluster.sbatch(*alone, "--wrap", f"until [ -e {go} ]; do sleep 0.05; done")
    cluster.becomes(first, "RUNNING")
    waiting = [cluster.sbatch(*alone, "--wrap", f"echo $SLURM_JOB_ID >> {order}") for _ in range(3)]
    until(lambda: outside.figures()["jobs_inside"] == 3, "all wait inside Armada")
    before = outside.figures()["armada_reprioritize_calls_total"]
    assert cluster.run("scontrol", "update", f"jobid={waiting[2]}", "priority=4000000").code == 0
    assert cluster.run("scontrol", "update", f"jobid={waiting[1]}", "priority=3000000").code == 0

    def told():
        now = outside.figures()
        return now["armada_reprioritize_calls_total"] > before and now["outbox"] == 0

    until(told, "Armada is told")
    until(lambda: outside.figures()["armada_reprioritize_calls_total"] >= before + 1)
    go.touch()
    cluster.ended(*waiting)
    assert order.read_text().split()[0] == waiting[2]
    assert outside.figures()["armada_reprioritize_calls_total"] - before <= 4


def test_what_is_wrong_in_the_cluster_file_stops_the_start_by_name(tmp_path):
    from slurm_compat import operator

    file = tmp_path / "cluster.yaml"
    file.write_text(f"StateSaveLocation: {tmp_path}/state\nAuthAltTypes: auth/none\n")
    with pytest.raises(operator.NotStarted, match="only auth/jwt is known here"):
        operator.start(str(file), f"{tmp_path}/state")
    assert not os.path.exists(tmp_path / "state" / "run" / "engine.pid")
