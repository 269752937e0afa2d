"""kill -9 of anything at any moment: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.conftest import CLUSTER, PATIENCE, Cluster, running_cluster, until

JOBS = 200
CLIENTS = 4


@pytest.fixture(scope="module")
def victim() -> Iterator[Cluster]:
    with running_cluster(CLUSTER) as one:
        yield one
        one.start()


@pytest.fixture
def hurt(victim: Cluster) -> Cluster:
    """A cluster to be maltreated, whole again whatever the test before did to it."""
    victim.start()
    return victim


class Clients:
    """Several users' loops of sbatch; `acknowledged` is what each was told."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.acknowledged: list[str] = []
        self.script = folder / "job.sh"
        # one write: lines of jobs that end together don't mix
        self.script.write_text(f'#!/bin/sh\nsleep 0.$(($SLURM_JOB_ID % 4))\necho "$SLURM_JOB_ID $1" >> {folder}/ran\n')
        self.ran = folder / "ran"

    def submit(self, number: int) -> None:
        self.acknowledged.append(self.cluster.sbatch("-o", "/dev/null", self.script, str(number)))

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.ran.read_text().splitlines()] if self.ran.exists() else []


def test_kill_9_of_everything_among_200_submits_and_completions(hurt: Cluster, folder: Path) -> None:
    clients = Clients(hurt, folder)

    def reached(submitted: int, ran: int) -> None:
        until(lambda: len(clients.acknowledged) >= submitted and len(clients.lines()) >= ran, f"{submitted}, {ran}")

    with ThreadPoolExecutor(CLIENTS) as pool:
        work = [pool.submit(clients.submit, number) for number in range(JOBS)]
        reached(40, 10)
        hurt.kill("controller")
        hurt.start()
        reached(80, 40)
        hurt.kill("engine")
        reached(110, 70)
        hurt.kill("kubelet")
        reached(140, 90)
        hurt.kill("engine")
        hurt.kill("controller")
        hurt.start()
        for one in work:
            one.result()
    assert len(set(clients.acknowledged)) == JOBS
    ended = hurt.ended(*clients.acknowledged)
    assert Counter(ended.values()) == {("COMPLETED", "0:0"): JOBS}
    assert sorted(int(number) for _, number in clients.lines()) == list(range(JOBS)), "each ran once"
    assert {job for job, _ in clients.lines()} == set(clients.acknowledged)
    assert set(hurt.accounts()) == set(clients.acknowledged), "nobody's job is there besides"


def test_what_ends_while_the_controller_is_away_ends_as_it_did(hurt: Cluster, folder: Path) -> None:
    gate = folder / "gate"
    wait = f"while ! test -e {gate}; do sleep 0.05; done; "
    good, bad, shot = (hurt.wrap(wait + end, "-o", "/dev/null") for end in ("exit 0", "exit 7", "kill -USR1 $$"))
    for job in (good, bad, shot):
        hurt.becomes(job, "RUNNING")
    hurt.kill("controller")
    gate.touch()
    hurt.start()
    assert hurt.ended(good, bad, shot) == {
        good: ("COMPLETED", "0:0"), bad: ("FAILED", "7:0"), shot: ("FAILED", "0:10"),
    }  # fmt: skip


def test_a_step_goes_on_while_the_controller_is_away(hurt: Cluster, folder: Path) -> None:
    gate = folder / "gate"
    step = f"srun sh -c 'echo began; while ! test -e {gate}; do sleep 0.05; done; echo ended; exit 4'; echo code $?"
    job = hurt.wrap(f"{step}; srun echo next", "-o", f"{folder}/out")
    until(lambda: "began" in (folder / "out").read_text() if (folder / "out").exists() else False, "the step runs")
    hurt.kill("controller")
    gate.touch()
    until(lambda: "ended" in (folder / "out").read_text(), "the step ended")
    hurt.start()
    assert hurt.ended(job)[job] == ("COMPLETED", "0:0")
    lines = (folder / "out").read_text().splitlines()
    assert [line for line in lines if not line.startswith("srun: ")] == ["began", "ended", "code 4", "next"]
    steps = hurt.run("sacct", "-nP", "-j", job, "-o", "jobid,state,exitcode").out
    assert f"{job}.0|FAILED|4:0" in steps and f"{job}.1|COMPLETED|0:0" in steps


def test_what_ends_while_the_engine_is_away_ends_as_it_did(hurt: Cluster, folder: Path) -> None:
    gate = folder / "gate"
    jobs = [
        hurt.wrap(f"while ! test -e {gate}; do sleep 0.05; done; exit {code}", "-o", "/dev/null") for code in (0, 3)
    ]
    for job in jobs:
        hurt.becomes(job, "RUNNING")
    hurt.kill("engine")
    gate.touch()
    assert list(hurt.ended(*jobs).values()) == [("COMPLETED", "0:0"), ("FAILED", "3:0")]
    hurt.pid("engine")  # the controller started it again


@pytest.mark.parametrize("away", ["engine", "kubelet"])
def test_cancelled_while_somebody_is_away(hurt: Cluster, away: str) -> None:
    job = hurt.wrap("sleep 600", "-o", "/dev/null")
    hurt.becomes(job, "RUNNING")
    hurt.kill(away)
    assert hurt.run("scancel", job) == (0, "", "")
    assert hurt.ended(job)[job][0].startswith("CANCELLED by ")


def test_scancel_while_the_controller_is_away_waits_for_it(hurt: Cluster) -> None:
    job = hurt.wrap("sleep 600", "-o", "/dev/null")
    hurt.becomes(job, "RUNNING")
    hurt.kill("controller")
    with hurt.popen("scancel", job) as scancel:
        hurt.start()
        assert scancel.communicate(timeout=PATIENCE) == (b"", b"")
    assert scancel.returncode == 0
    assert hurt.ended(job)[job][0].startswith("CANCELLED by ")


def test_pending_jobs_of_before_a_kill_start_after_it(hurt: Cluster, folder: Path) -> None:
    held = hurt.wrap(f"echo ran >> {folder}/held", "--hold", "-o", "/dev/null")
    first = hurt.wrap("true", "--hold", "-o", "/dev/null")
    second = hurt.wrap(f"echo ran >> {folder}/second", "-d", f"afterok:{first}", "-o", "/dev/null")
    hurt.kill("controller")
    hurt.start()
    assert hurt.accounts([held, first, second]) == dict.fromkeys((held, first, second), ("PENDING", "0:0"))
    assert hurt.run("scontrol", "release", f"{held},{first}").code == 0
    assert set(hurt.ended(held, first, second).values()) == {("COMPLETED", "0:0")}
    assert [(folder / name).read_text() for name in ("held", "second")] == ["ran\n", "ran\n"]


def agent_of(cluster: Cluster, shell: int) -> int:
    """The process of this cluster's pods that the script's shell is a child of."""
    parent = int(Path(f"/proc/{shell}/stat").read_text().rpartition(")")[2].split()[1])
    assert cluster.state in Path(f"/proc/{parent}/cmdline").read_text(), "forked from our kubelet"
    return parent


def test_an_agent_that_is_killed_takes_its_job_with_it(hurt: Cluster, folder: Path) -> None:
    job = hurt.wrap(f"echo $$ > {folder}/pid; exec sleep 600", "--no-requeue", "-o", "/dev/null")
    until(lambda: (folder / "pid").exists() and (folder / "pid").read_text(), "it runs")
    hurt.becomes(job, "RUNNING")
    shell = int((folder / "pid").read_text())
    os.kill(agent_of(hurt, shell), signal.SIGKILL)
    assert hurt.ended(job)[job] == ("FAILED", "0:9")
    until(lambda: not Path(f"/proc/{shell}").exists(), "its script is gone too")


def raw(cluster: Cluster) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(f"{cluster.state}/run/controller.sock")
    return sock


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 4096,
        struct.pack(">I", 0xFFFFFFFF),
        frame(b"\x00\x01\x02"),
        frame(b"[]"),
        frame(b"null"),
        frame(b'{"call": 7}'),
        frame(b"[" * 100_000),
        frame(b'{"call": "agent", "args": 1}'),
    ],
    ids=["http", "ff", "length", "binary", "list", "null", "number", "deep", "agent"],
)
def test_garbage_on_the_socket_closes_that_connection_only(hurt: Cluster, garbage: bytes) -> None:
    with raw(hurt) as bystander, raw(hurt) as rude:
        rude.sendall(garbage)
        rude.shutdown(socket.SHUT_WR)
        try:
            while rude.recv(65536):  # an error's words perhaps, then the end
                pass
        except ConnectionResetError:
            pass
        bystander.sendall(frame(b'{"call": "ping", "args": {}}'))
        assert b'"result"' in bystander.recv(65536)
    assert hurt.run("squeue", "-h").code == 0


def test_half_a_frame_and_silence_keeps_nobody_waiting(hurt: Cluster) -> None:
    with raw(hurt) as rude:
        rude.sendall(struct.pack(">I", 1000) + b"{")
        assert hurt.run("squeue", "-h").code == 0


def test_a_hundred_rude_connections_at_once(hurt: Cluster) -> None:
    def be_rude() -> None:
        with raw(hurt) as sock:
            sock.sendall(os.urandom(64))

    threads = [threading.Thread(target=be_rude) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hurt.run("squeue", "-h").code == 0
