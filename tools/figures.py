"""Speed of the sbatch, squeue, … that are on PATH, as JSON: {name: [value, unit]}. Standard library only: it also runs
where the real Slurm is. Everything it does is bounded in count and time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from timing import NULL, latency, note, results, run, together

HELD = ["sbatch", "-Q", "-H", "-J", "fig", "-o", "/dev/null", "--wrap", "true"]
TRIVIAL = ["sbatch", "-Q", "-J", "fig", "-o", "/dev/null", "--wrap", "true"]


def output(argv: list[str]) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, stdin=NULL, check=True).stdout.decode()


def queued() -> int:
    return len(output(["squeue", "-h", "-r", "-o", "%i"]).split())


def drain(limit: float = 300) -> None:
    end = time.monotonic() + limit
    while queued():
        if time.monotonic() > end:
            sys.exit(f"the queue did not empty in {limit} s")
        time.sleep(0.05)


def fill(count: int, clients: int, argv: list[str] = HELD) -> float:
    """Submissions a second of `clients` at once, `count` in all."""
    return together(argv, count, clients)


def memory(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def idle(reps: int, cold: bool) -> None:
    latency("a process that does nothing", ["/bin/true"], reps)
    latency("sbatch", HELD, reps)
    latency("squeue, empty or nearly", ["squeue", "-u", "nobody"], reps)
    latency("sinfo", ["sinfo"], reps)
    latency("scontrol show config", ["scontrol", "show", "config"], reps)
    latency("scontrol show hostnames", ["scontrol", "show", "hostnames", "n[1-4]"], reps)
    if cold:
        for name, argv in (("sbatch", HELD), ("squeue", ["squeue"]), ("sinfo", ["sinfo"]),
                           ("scontrol", ["scontrol", "show", "config"])):  # fmt: skip
            latency(f"{name}, cold", argv, max(5, reps // 4), SLURM_COMPAT_COLD="1")
    run(["scancel", "-n", "fig"])
    drain()


def work(tiny: int) -> None:
    began = time.perf_counter()
    for _ in range(tiny):
        run(TRIVIAL)
    drain()
    note(f"{tiny} trivial jobs to completion", tiny / (time.perf_counter() - began), "jobs/s")
    note("sbatch --wait of a trivial job", statistics.median(run([*TRIVIAL, "--wait"]) for _ in range(5)) * 1000, "ms")
    latency("srun true", ["srun", "-n1", "true"], 10)


def full(jobs: int, reps: int, pid: int) -> None:
    note("8 clients' sbatch", fill(1000, 8), "per s")
    latency("squeue, 1,000 jobs", ["squeue"], reps // 2)
    note("8 clients filling the queue", fill(jobs - 1000, 8), "per s")
    latency(f"squeue, {jobs:,} jobs", ["squeue"], 10)
    ids = output(["squeue", "-h", "-o", "%i"]).split()
    latency(f"squeue -j one, {jobs:,} jobs", ["squeue", "-j", ids[5]], reps)
    latency(f"scontrol show job one, {jobs:,} jobs", ["scontrol", "show", "job", ids[5]], reps)
    latency(f"sbatch, {jobs:,} jobs", HELD, reps)
    note(f"controller memory, {jobs:,} pending", memory(pid), "MiB")
    began = time.perf_counter()
    run(["scancel", "-n", "fig"])
    note(f"scancel of all {jobs:,} by name", time.perf_counter() - began, "s")
    drain()


def pipelines(array: int, chain: int, waiting: int) -> None:
    """What workflow engines make of a queue: arrays, chains, jobs that wait for others."""
    began = time.perf_counter()
    run(["sbatch", "-Q", "-J", "fig", "-o", "/dev/null", "-a", f"1-{array}", "--wrap", "true"])
    drain(600)
    note(f"array of {array:,} no-op tasks to completion", array / (time.perf_counter() - began), "tasks/s")
    began = time.perf_counter()
    last = output([*TRIVIAL[:1], "--parsable", *TRIVIAL[2:]]).strip()
    for _ in range(chain - 1):
        last = output(["sbatch", "--parsable", "-d", f"afterok:{last}", *TRIVIAL[2:]]).strip()
    drain(600)
    note(f"chain of {chain:,} jobs (afterok)", chain / (time.perf_counter() - began), "jobs/s")
    fan(waiting)
    if "4000001" in output(["scontrol", "show", "config"]):
        held = ["sbatch", "-Q", "-H", "-J", "fig", "-o", "/dev/null", "-a", "1-1000000", "--wrap", "true"]
        note("sbatch of an array of 1,000,000 tasks", run(held) * 1000, "ms")
        latency("squeue, that array one row", ["squeue"], 5)
        note("scancel of it", run(["scancel", "-n", "fig"]) * 1000, "ms")
        drain()


def fan(waiting: int) -> None:
    """Many jobs that wait for one. It fails, so that none of them can run: what is measured is how they are judged."""
    first = output(["sbatch", "--parsable", *HELD[2:]]).strip()
    note(f"sbatch of {waiting:,} jobs that wait for one", fill(waiting, 8, dependent(first)), "per s")
    latency(f"squeue of those {waiting:,}", ["squeue"], 3)
    began = time.perf_counter()
    run(["scancel", first])
    end = time.monotonic() + 300
    while output(["squeue", "-h", "-t", "PD", "-o", "%r"]).split().count("DependencyNeverSatisfied") < waiting:
        if time.monotonic() > end:
            sys.exit("the jobs that wait were not judged")
        time.sleep(0.05)
    note(f"those {waiting:,}, from its end until all are judged", time.perf_counter() - began, "s")
    began = time.perf_counter()
    run(["scancel", "-n", "fig"])
    drain(600)
    note(f"scancel of those {waiting:,}", time.perf_counter() - began, "s")


def dependent(on: str) -> list[str]:
    return ["sbatch", "-Q", "-d", f"afterok:{on}", *TRIVIAL[2:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10000)
    parser.add_argument("--tiny", type=int, default=500)
    parser.add_argument("--reps", type=int, default=40)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--chain", type=int, default=1000)
    parser.add_argument("--waiting", type=int, default=10000)
    parser.add_argument("--pid", type=int, required=True, help="the controller's")
    parser.add_argument("--cold", action="store_true", help="without the warm host too")
    args = parser.parse_args()
    os.chdir(tempfile.mkdtemp(prefix="figures", dir="/tmp"))
    idle(args.reps, args.cold)
    work(args.tiny)
    pipelines(args.tasks, args.chain, args.waiting)
    full(args.jobs, args.reps, args.pid)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
