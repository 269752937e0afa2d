"""A real engine with its kubelet on a private state folder, and a client that speaks gRPC to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from armada_client.armada import event_pb2, event_pb2_grpc, job_pb2_grpc, submit_pb2, submit_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds after which a condition counts as never met

CLUSTER = """\
ClusterName: test
Nodes:
  - {NodeName: "node[01-02]", CPUs: 4, RealMemory: 4000, Feature: skylake}
  - {NodeName: node03, CPUs: 4, RealMemory: 4000, Gres: "gpu:a100:2", Weight: 50}
  - {NodeName: node04, CPUs: 4, RealMemory: 4000, State: DOWN}
Partitions:
  - {PartitionName: compute, Nodes: "node[01-04]", Default: true}
"""


def until(condition: Callable[[], Any], what: str | Callable[[], str] = "") -> Any:
    """The first true answer of the condition; `what` is for the one who reads that there was none."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.01)
    raise AssertionError(f"never: {(what() if callable(what) else what) or condition}")


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class EngineProcess:
    """The engine as a process; `kill` is kill -9, `close` leaves nothing behind."""

    def __init__(self, state: str, cluster: str = CLUSTER) -> None:
        self.state = state
        self.cluster = os.path.join(state, "cluster.yaml")
        with open(self.cluster, "w") as file:
            file.write(cluster)
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Any = None

    def start(self) -> None:
        with open(os.path.join(self.state, "engine.out"), "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "slurm_compat.engine", self.cluster, "--state", self.state],
                stdout=output,
                stderr=output,
                cwd=ROOT,
            )
        if self.channel is not None:
            self.channel.close()
        # a connection of its own: one that is shared may still wait out the refusals the last engine's end has met
        options = [
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 50),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self.channel = grpc.insecure_channel(f"unix:{self.state}/run/engine.sock", options=options)
        self.submit = submit_pb2_grpc.SubmitStub(self.channel)
        self.queues = submit_pb2_grpc.QueueServiceStub(self.channel)
        self.events = event_pb2_grpc.EventStub(self.channel)
        self.jobs = job_pb2_grpc.JobsStub(self.channel)
        grpc.channel_ready_future(self.channel).result(timeout=PATIENCE)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def kubelet_pid(self) -> int:
        def read() -> int:
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(os.path.join(self.state, "run", "kubelet.pid")) as file:
                    pid = int(file.read().split()[0])
                return pid if alive(pid) else 0
            return 0

        return until(read, "a kubelet runs")

    def close(self) -> None:
        if self.channel is not None:
            self.channel.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(os.path.join(self.state, "run", "kubelet.pid")) as file:
                pid = int(file.read().split()[0])
            os.kill(pid, signal.SIGQUIT)
            until(lambda: not alive(pid), "the kubelet leaves")

    # shorter words

    def queue(self, name: str = "q", factor: float = 1) -> None:
        self.queues.CreateQueue(submit_pb2.Queue(name=name, priority_factor=factor))

    def run(self, *items: Any, queue: str = "q", job_set: str = "s") -> list[str]:
        request = submit_pb2.JobSubmitRequest(queue=queue, job_set_id=job_set, job_request_items=items)
        return [item.job_id for item in self.submit.SubmitJobs(request).job_response_items]

    def log(self, job_set: str = "s", queue: str = "q", after: str = "", watch: bool = False) -> Any:
        return self.events.GetJobSetEvents(
            event_pb2.JobSetRequest(id=job_set, queue=queue, from_message_id=after, watch=watch)
        )

    def history(self, job_set: str = "s", queue: str = "q") -> dict[str, list[str]]:
        """job id: the kinds of its events, in their order."""
        kinds: dict[str, list[str]] = {}
        for entry in self.log(job_set, queue):
            kind = entry.message.WhichOneof("events")
            kinds.setdefault(getattr(entry.message, kind).job_id, []).append(kind)
        return kinds

    def event(self, kind: str, job_id: str, job_set: str = "s", queue: str = "q") -> Any:
        """The first event of a kind of a job, waited for."""

        def look() -> Any:
            for entry in self.log(job_set, queue):
                part = getattr(entry.message, kind)
                if entry.message.WhichOneof("events") == kind and part.job_id == job_id:
                    return part
            return None

        return until(look, lambda: f"{kind} of {job_id}; {self.history(job_set, queue)}")


def item(*command: str, cpu: str = "1", memory: str = "100Mi", gpus: int = 0, **fields: Any) -> Any:
    """An item that runs a command. Further fields: selector, deadline, grace, env, annotations, and the item's own."""
    made = submit_pb2.JobSubmitRequestItem(namespace="default")
    pod = made.pod_specs.add()
    container = pod.containers.add(name="main", command=list(command))
    amounts = {"cpu": cpu, "memory": memory, **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    for name, amount in amounts.items():
        container.resources.requests[name].string = amount
        container.resources.limits[name].string = amount
    for name, value in fields.pop("env", {}).items():
        container.env.add(name=name, value=value)
    for name, value in fields.pop("selector", {}).items():
        pod.nodeSelector[name] = value
    if deadline := fields.pop("deadline", 0):
        pod.activeDeadlineSeconds = deadline
    pod.terminationGracePeriodSeconds = fields.pop("grace", 1)
    if priority_class := fields.pop("priority_class", ""):
        pod.priorityClassName = priority_class
    for name, value in fields.pop("annotations", {}).items():
        made.annotations[name] = value
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def state() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="engine-test-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def engine(state: str) -> Iterator[EngineProcess]:
    process = EngineProcess(state)
    process.start()
    process.queue()
    yield process
    process.close()


@pytest.fixture
def make_item() -> Callable[..., Any]:
    return item


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return alive
