"""Throwaway clusters for tests that run the real controller, engine, kubelet and commands as processes.

Whoever runs the tests, root or not, gets one; as root it has other users too. When a cluster ends, nothing of it may
still run and none of its logs may hold a traceback.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from slurm_compat import operator
from slurm_compat.launcher.install import install

PATIENCE = 40.0  # seconds after which a condition counts as never met
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED", "DEADLINE")
# ordinary users that every system has; only root may act as them
ALICE, BOB = "nobody", "daemon"

CLUSTER = """\
ClusterName: throwaway
KillWait: 1
DefMemPerCPU: 64
PrologFlags: Contain
MailProg: /bin/true
Nodes:
  - {NodeName: "node[01-03]", CPUs: 16, CoresPerSocket: 16, RealMemory: 8000, Feature: "skylake,ib"}
  - {NodeName: node04, CPUs: 4, CoresPerSocket: 4, RealMemory: 4000, State: DOWN, Reason: psu failed}
Partitions:
  - {PartitionName: compute, Nodes: "node[01-04]", Default: true}
  - {PartitionName: debug, Nodes: node01, MaxTime: "2:00:00"}
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


def until(condition: Callable[[], Any], what: str = "", patience: float = PATIENCE) -> Any:
    """The first true answer of the condition."""
    deadline = time.monotonic() + patience
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what or condition}")
        time.sleep(0.02)
    return answer


def processes_of(mark: str) -> dict[int, str]:
    """Living processes whose command line or environment has `mark` in it: pid, command line."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            line = Path("/proc", entry, "cmdline").read_bytes()
            if not line:
                continue  # a zombie, or the kernel's own
            if mark.encode() in line or mark.encode() in Path("/proc", entry, "environ").read_bytes():
                found[int(entry)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def any_thread(pid: int) -> bool:
    """Does any thread of it run? A process's sockets are there until its last thread is gone, zombie or not."""
    states = []
    for path in Path("/proc", str(pid), "task").glob("*/stat"):
        with contextlib.suppress(OSError):
            states.append(path.read_text().rpartition(")")[2].split()[0])
    return any(state not in "ZX" for state in states)


class Cluster:
    """A running cluster, and the commands as a user types them."""

    def __init__(self, bin_folder: Path, file: Path, state: str) -> None:
        self.bin = bin_folder
        self.file = file
        self.state = state

    def environment(self, user: str = "", extra: dict[str, str] | None = None) -> dict[str, str]:
        home, name = ("/tmp", user) if user else (os.environ.get("HOME", "/tmp"), pwd.getpwuid(os.getuid()).pw_name)
        path = f"{self.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {
            "PATH": path, "SLURM_CONF": str(self.file), "HOME": home, "USER": name, "LOGNAME": name,
            "SHELL": "/bin/sh", "LANG": "C.UTF-8", "TZ": "UTC", **(extra or {}),
        }  # fmt: skip

    def popen(
        self,
        *argv: str | bytes | Path,
        user: str = "",
        cwd: Any = "/tmp",
        env: dict[str, str] | None = None,
        **more: Any,
    ) -> subprocess.Popen[bytes]:
        if user:
            more |= {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        for stream in ("stdin", "stdout", "stderr"):
            more.setdefault(stream, subprocess.PIPE)
        return subprocess.Popen(argv, cwd=cwd, env=self.environment(user, env), **more)

    def run(self, *argv: str | bytes | Path, stdin: bytes = b"", **more: Any) -> Done:
        """A command, to its end. None of them may ever show a traceback."""
        process = self.popen(*argv, **more)
        try:
            out, err = process.communicate(stdin, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{argv} did not end; {out!r} {err!r}") from None
        done = Done(process.returncode, os.fsdecode(out or b""), os.fsdecode(err or b""))
        assert "Traceback" not in done.out + done.err, done
        assert "internal error" not in done.err, done
        return done

    def sbatch(self, *options: str | bytes | Path, **more: Any) -> str:
        """The id of a job that must be accepted."""
        done = self.run("sbatch", "--parsable", *options, **more)
        assert (done.code, done.err) == (0, ""), done
        return done.out.strip()

    def wrap(self, command: str, *options: str, **more: Any) -> str:
        return self.sbatch(*options, "--wrap", command, **more)

    def accounts(self, ids: Iterable[str] = (), fields: str = "jobid,state,exitcode") -> dict[str, tuple[str, ...]]:
        """What sacct says: job id -> the other fields. A job in it twice fails the test."""
        chosen = ["-j", ",".join(ids)] if ids else ["-a", "-D", "-S", "now-1day"]
        done = self.run("sacct", "-nXP", "-o", fields, *chosen)
        assert (done.code, done.err) == (0, ""), done
        rows = [tuple(line.split("|")) for line in done.out.splitlines()]
        found = {row[0]: row[1:] for row in rows}
        assert len(found) == len(rows), f"jobs that are there twice: {rows}"
        return found

    def state_of(self, job: str) -> str:
        return self.accounts([job]).get(job, ("",))[0].split(" ")[0]

    def ended(self, *ids: str) -> dict[str, tuple[str, ...]]:
        """Wait until all have ended and nothing of them completes any more; then as `accounts`."""

        def over() -> dict[str, tuple[str, ...]] | None:
            found = self.accounts(ids)
            return found if found and all(row[0].split(" ")[0] in FINAL for row in found.values()) else None

        found = until(over, f"{ids} end")
        until(lambda: "COMPLETING" not in self.run("squeue", "-ha", "-o", "%T").out, "nothing completes")
        return found

    def becomes(self, job: str, state: str) -> None:
        until(lambda: self.state_of(job) == state, f"job {job} becomes {state}")

    # what may happen to it

    def pid(self, daemon: str) -> int:
        return until(lambda: operator.running(self.state, daemon), f"the {daemon} runs")

    def kill(self, daemon: str) -> int:
        """kill -9, and it is gone. The answer is the pid it had."""
        pid = self.pid(daemon)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not any_thread(pid), f"the {daemon} is gone")
        return pid

    def start(self) -> None:
        operator.start(str(self.file), self.state)

    def log(self, daemon: str) -> str:
        path = Path(self.state, "log", f"{daemon}.log")
        return path.read_text(errors="replace") if path.exists() else ""


@contextlib.contextmanager
def running_cluster(text: str = CLUSTER, inside: str = "/tmp") -> Iterator[Cluster]:
    """A cluster, its state in a folder of its own below `inside`."""
    with tempfile.TemporaryDirectory(prefix="slurm-system-", dir="/tmp") as folder:
        source = Path(folder, "cluster.yaml")
        source.write_text(text)
        with operator.throwaway(str(source), inside=inside) as (commands, file, state):
            # warm hosts of a name of our own: they can be ended without harm to anybody else's
            build = f"system{uuid.uuid4().hex[:8]}"
            install(commands, str(file), build=build)
            cluster = Cluster(commands, file, state)
            try:
                yield cluster
                tracebacks = [daemon for daemon in operator.DAEMONS if "Traceback" in cluster.log(daemon)]
                assert not tracebacks, "\n".join(cluster.log(daemon)[-3000:] for daemon in tracebacks)
            finally:
                operator.stop(state, jobs=True)
                end_hosts(build)
        base = str(Path(state).parent)
        until(lambda: not processes_of(base), f"nothing is left: {processes_of(base)}")
        assert not Path(base).exists()


def end_hosts(build: str) -> None:
    """End the warm hosts that the cluster's commands started, each user's."""
    for folder in Path("/tmp").glob("slurm-compat-*"):
        with contextlib.suppress(OSError, ValueError):
            for lock in folder.glob(f"{build}-*.lock"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(lock.read_text()), signal.SIGTERM)
                lock.unlink()
                Path(str(lock).removesuffix(".lock")).unlink(missing_ok=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One for all tests that do it no harm."""
    with running_cluster() as one:
        yield one


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may write to."""
    path = Path(tempfile.mkdtemp(prefix="slurm-system-", dir="/tmp"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def as_root() -> None:
    if os.getuid() != 0:
        pytest.skip("only root may act as other users")
    probe = ["runuser", "-u", ALICE, "--", sys.executable, "-c", "import slurm_compat.cli.main"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip(f"other users can't run {sys.executable} or read the package: put both where they can")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """A failed test shows the last words of its cluster's daemons, and who waits."""
    report = yield
    if report.failed:
        for one in getattr(item, "funcargs", {}).values():
            if isinstance(one, Cluster):
                for daemon in operator.DAEMONS:
                    report.sections.append((f"{daemon}.log", one.log(daemon)[-3000:]))
                jobs = subprocess.run([one.bin / "squeue", "-a"], env=one.environment(), capture_output=True, text=True)
                report.sections.append(("squeue", jobs.stdout[-3000:] + jobs.stderr))
    return report
