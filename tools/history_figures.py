"""Figures of a store that has a million finished jobs: how soon a controller is up on it, and how fast sacct, sreport
and squeue are then. The jobs are written straight into the store of a throwaway cluster, as its controller writes them.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slurm_compat import operator
from slurm_compat.controller.jobs import Job, Step
from slurm_compat.controller.table import job_row, step_row
from slurm_compat.core.model import JobRequest
from slurm_compat.launcher.install import install
from slurm_compat.store.rollups import marks
from slurm_compat.store.schema import jobs as jobs_table
from slurm_compat.store.schema import steps as steps_table
from slurm_compat.store.store import Store
from slurm_compat.translators.shapes import Member, Shape

DAYS = 31
ACCOUNTS, USERS = 20, 200
AT_ONCE = 5000
FIRST_INDEX = 1 << 56  # SLUIDs of the past: below any of now

Figures = dict[str, tuple[float, str]]


def cluster_file(state: str, user: str) -> str:
    lines = [
        "ClusterName: history", f"StateSaveLocation: {state}", "MaxJobId: 60000000", "FirstJobId: 5000001",
        "KillWait: 5", "MailProg: /bin/true",
        'Nodes: [{NodeName: "n[0001-0256]", CPUs: 64, CoresPerSocket: 64, RealMemory: 256000}]',
        "Partitions: [{PartitionName: batch, Default: true}]",
        "Accounts:", *(f"  - {{Name: account{number:02d}}}" for number in range(ACCOUNTS)),
        "Users:", f"  - {{Name: {user}, Account: account00, Default: true}}",
        *(f"  - {{Name: user{number:03d}, Account: account{number % ACCOUNTS:02d}}}" for number in range(1, USERS)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def made(count: int, until: int, user: str, uid: int) -> Iterator[tuple[Job, Step]]:
    """Jobs of the days before `until`, in the order of their submission; one in 200 is the user's."""
    dice = random.Random(26)
    shapes = {cpus: Shape(members=[Member(cpus=cpus, memory_mib=cpus * 1000)]) for cpus in (1, 2, 4, 16, 64)}
    begin = until - DAYS * 86400
    request = JobRequest(batch=True, current_working_directory="/home/someone/project", submit_line="sbatch job.sh")
    for number in range(count):
        whose = dice.randrange(USERS)
        cpus = dice.choice((1, 1, 2, 4, 16, 64))
        submit = begin + (until - begin) * number // count
        start = submit + dice.randrange(600)
        end = min(start + dice.randrange(10, 7200), until)
        start = min(start, end)
        failed = dice.random() < 0.05
        job = Job(
            job_id=number + 1, db_index=FIRST_INDEX + number, request=request, shape=shapes[cpus],
            user_id=whose + 10000 if whose else uid, user_name=f"user{whose:03d}" if whose else user,
            group_id=whose + 10000 if whose else uid, group_name="users", name=f"run{number % 500}",
            account=f"account{whose % ACCOUNTS:02d}", partition="batch", qos="normal",
            tres_req_str=f"cpu={cpus},mem={cpus}000M,node=1,billing={cpus}", submit_line="sbatch job.sh",
            state="FAILED" if failed else "COMPLETED", exit_code=256 if failed else 0, submit_time=submit,
            eligible_time=submit, start_time=start, end_time=end, time_limit=240,
            nodes=f"n{number % 256 + 1:04d}", node_count=1, cpus=cpus,
            tres_alloc_str=f"cpu={cpus},mem={cpus}000M,node=1,billing={cpus}",
        )  # fmt: skip
        usage = {"max_rss": 1 << 28, "user_cpu": (end - start) * cpus, "system_cpu": 1}
        step = Step(job_id=job.job_id, db_index=job.db_index, step_id="batch", name="batch", state=job.state,
                    start_time=start, end_time=end, nodes=job.nodes, cpus=cpus, usage=usage)  # fmt: skip
        yield job, step


def fill(url: str, count: int, until: int, user: str, uid: int) -> float:
    """Write them; answers in how many seconds."""
    began = time.perf_counter()
    store = Store(url)
    jobs: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []

    def write() -> None:
        with store.engine.begin() as connection:
            connection.execute(jobs_table.insert(), jobs)
            connection.execute(steps_table.insert(), steps)
        jobs.clear()
        steps.clear()

    for job, step in made(count, until, user, uid):
        jobs.append(job_row(job, live=False))
        steps.append(step_row(step))
        if len(jobs) == AT_ONCE:
            write()
    if jobs:
        write()
    store.engine.dispose()
    return time.perf_counter() - began


def run(argv: list[str], env: dict[str, str]) -> tuple[float, int]:
    """Seconds of a whole process, and the lines it wrote."""
    began = time.perf_counter()
    done = subprocess.run(argv, env=env, capture_output=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{argv}: exit code {done.returncode}: {done.stderr.decode()[:500]}")
    return took, done.stdout.count(b"\n")


def memory(pid: int, field: str = "VmRSS") -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


def peak(argv: list[str], env: dict[str, str]) -> float:
    """The most memory a command had, MiB, started without the warm host."""
    probe = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
    probe += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", probe, *argv], env=env | {"SLURM_COMPAT_COLD": "1"}, stdout=subprocess.PIPE, check=True
    )
    return int(done.stdout) / 1024


def rolled(url: str, until: int, limit: float = 600.0) -> None:
    """Wait until the hours are added up."""
    store = Store(url)
    end = time.monotonic() + limit
    while store.ask(marks)[1] < until - 3600:
        if time.monotonic() > end:
            sys.exit(f"the hours were not added up in {limit} s")
        time.sleep(0.2)
    store.engine.dispose()


def measured(count: int, reps: int, url: str = "") -> Figures:
    """`url`: of the store; without it SQLite in the cluster's folder."""
    figures: Figures = {}
    label = f"{count:,} finished jobs"

    def note(name: str, value: float, unit: str) -> None:
        figures[f"{label}: {name}"] = (round(value, 3), unit)
        print(f"{label}: {name}: {value:.2f} {unit}", file=sys.stderr, flush=True)

    user = pwd.getpwuid(os.getuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="slurm-history-", dir="/tmp") as folder:
        state = os.path.join(folder, "state")
        os.makedirs(state)
        file = Path(folder, "cluster.yaml")
        file.write_text(cluster_file(state, user) + (f'Store: "{url}"\n' if url else ""))
        store = url or os.path.join(state, "store.sqlite")
        until = int(time.time()) - 1800
        note("written to the store at", count / fill(store, count, until, user, os.getuid()), "per s")
        commands = Path(folder, "bin")
        install(commands, str(file))
        env = dict(os.environ, PATH=f"{commands}:{os.environ['PATH']}", SLURM_CONF=str(file))
        began = time.perf_counter()
        operator.start(str(file), state)
        try:
            note("controller up after its start", (time.perf_counter() - began) * 1000, "ms")
            rolled(store, until)
            note("all hours added up", time.perf_counter() - began, "s")
            pid = operator.running(state, "controller")
            assert pid is not None
            _ask(note, env, reps, until, user)
            # what a listing adds to the controller, from a start that had nothing else to do
            operator.stop(state, jobs=True)
            operator.start(str(file), state)
            pid = operator.running(state, "controller")
            assert pid is not None
            run(["sacct", "-X", "-j", "1"], env)
            before = memory(pid)
            note("controller memory", before, "MiB")
            everyone = [*_day(until, -1), "-a", "-X"]
            run(["sacct", *everyone], env)
            note("controller memory, more after a day's listing", memory(pid, "VmHWM") - before, "MiB")
            note("sacct's memory, one day's listing", peak(["sacct", *everyone], env), "MiB")
        finally:
            operator.stop(state, jobs=True)
    return figures


def _day(until: int, days: int) -> list[str]:
    day = time.localtime(until + days * 86400)
    text = time.strftime("%Y-%m-%d", day)
    return ["-S", text, "-E", f"{text}T23:59:59"]


def _ask(note: Any, env: dict[str, str], reps: int, until: int, user: str) -> None:
    month = [time.strftime("start=%Y-%m-%d", time.localtime(until - DAYS * 86400)), "end=now"]
    since = ["-S", f"now-{DAYS}days", "-E", "now"]
    questions = (
        ("sacct -j of one", ["sacct", "-j", "500000"], reps),
        ("sacct of a user's day", ["sacct", "-X", "-u", user, *_day(until, -2)], reps),
        ("sacct of a user's failed jobs, a month", ["sacct", "-X", "-u", user, "-s", "F", *since], reps // 2),
        ("sacct of a name, a month", ["sacct", "-X", "-a", "--name", "run77", *since], reps // 4),
        ("squeue", ["squeue"], reps),
        ("sreport cluster utilization, a month", ["sreport", "cluster", "utilization", *month], reps // 4),
        ("sreport AccountUtilizationByUser, a month", ["sreport", "cluster", "AccountUtilizationByUser", *month], 3),
        ("sreport user top, a day", ["sreport", "user", "top"], reps // 4),
    )  # fmt: skip
    for name, argv, times in questions:
        run(argv, env)
        note(name, statistics.median(run(argv, env)[0] for _ in range(max(times, 3))) * 1000, "ms")
    took, lines = run(["sacct", "-a", "-X", "-n", *_day(until, -1)], env)
    note(f"sacct of all jobs of a day, {lines:,} lines", took, "s")
    note("the same, lines", lines / took, "per s")
    took, _ = run(["sreport", "job", "sizesbyaccount", *month], env)
    note("sreport job SizesByAccount, a month", took, "s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--reps", type=int, default=20)
    parser.add_argument("--store", default="", help="an SQLAlchemy URL; default: SQLite")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    json.dump(measured(args.jobs, args.reps, args.store), sys.stdout)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
