"""Speed of srun and salloc, as tools/figures.py measures the other commands: JSON {name: [value, unit]}. Standard
library only: it also runs where the real Slurm is. Four nodes must be idle.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from timing import NULL, latency, note, results, together

GIB = 1 << 30


def rate(name: str, argv: list[str], count: int, clients: int) -> None:
    note(name, together(argv, count, clients), "steps/s")


def peak(pid: int) -> float:
    """MiB a process had at most so far; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return 0.0


def parent_of(name: str) -> int:
    """The parent of the process of that name, 0 when there is none."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    comm, _, rest = stat.read().partition(") ")
            except OSError:
                continue
            if comm.endswith(f"({name}"):
                return int(rest.split()[1])
    return 0


def writers(pipe: int) -> list[int]:
    """Who has that pipe for its standard output: srun may be more than one process."""
    name = f"pipe:[{os.fstat(pipe).st_ino}]"
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/fd/1") == name:
                    found.append(int(entry))
            except OSError:
                continue
    return found


def flood(size: int) -> None:
    """One task's output through srun to us: its speed, and what srun and the task's keeper needed of memory."""
    # a name of its own, by which it is found
    folder = tempfile.mkdtemp(prefix="flood", dir="/tmp")
    program = os.path.join(folder, "floodhead")
    with open("/usr/bin/head", "rb") as real, open(program, "wb") as copy:
        copy.write(real.read())
    os.chmod(folder, 0o755)
    os.chmod(program, 0o755)
    argv = ["srun", "-N1", "-n1", "-u", program, "-c", str(size), "/dev/zero"]
    began = time.perf_counter()
    srun = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=NULL)
    assert srun.stdout is not None
    got, looked, most_srun, most_keeper = 0, 0, 0.0, 0.0
    while data := os.read(srun.stdout.fileno(), 1 << 20):
        got += len(data)
        if got - looked > size // 8:
            looked = got
            most_srun = max(most_srun, *map(peak, writers(srun.stdout.fileno())))
            most_keeper = max(most_keeper, peak(parent_of("floodhead")))
    took = time.perf_counter() - began
    if srun.wait() or got != size:
        sys.exit(f"{argv}: exit code {srun.returncode}, {got} of {size} bytes")
    os.unlink(program)
    os.rmdir(folder)
    note(f"{size >> 20:,} MiB through a step's output", size / took / (1 << 20), "MiB/s")
    note("its srun's memory at most", most_srun, "MiB")
    note("its step daemon's memory at most", most_keeper, "MiB")


def inside(reps: int, size: int) -> None:
    """Within an allocation of four whole nodes."""
    latency("srun -N1 -n1 true, in an allocation", ["srun", "-N1", "-n1", "true"], reps)
    latency("srun -N4 -n4 true, in an allocation", ["srun", "-N4", "-n4", "true"], reps)
    latency("srun of 64 tasks over 4 nodes", ["srun", "-N4", "-n64", "-O", "true"], max(3, reps // 4))
    rate("steps in one allocation, one at a time", ["srun", "-N1", "-n1", "true"], reps, 1)
    rate("steps in one allocation, 8 at once", ["srun", "-N1", "-n1", "--overlap", "true"], 4 * reps, 8)
    flood(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=20)
    parser.add_argument("--size", type=int, default=GIB)
    parser.add_argument("--inside", action="store_true", help="in the allocation that this script makes")
    args = parser.parse_args()
    options = ["--reps", str(args.reps), "--size", str(args.size)]
    if args.inside:
        inside(args.reps, args.size)
        json.dump(results, sys.stdout)
        return
    latency("salloc true", ["salloc", "-Q", "-n1", "true"], max(5, args.reps // 2))
    latency("srun -N4 -n4 true, alone", ["srun", "-Q", "-N4", "-n4", "true"], max(3, args.reps // 4))
    argv = ["salloc", "-Q", "-N4", "--exclusive", sys.executable, os.path.abspath(__file__), "--inside", *options]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stdin=NULL, check=True)
    json.dump(results | json.loads(done.stdout), sys.stdout)


if __name__ == "__main__":
    main()
