"""Submits a fixed population of jobs to whichever Slurm is first on PATH, and keeps what its --json commands print.

`json_collect.py OUT.json`: standard library only, as root, beside users alice and bob; json_compare.py runs it against
the real Slurm and against us. The file: {"jobs": {id: name}, "started": epoch, "ended": epoch, "runs": [{"command",
"user", "out", "err", "rc", "seconds"}…]}.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SETTLE = 40  # seconds for the running ones to run and the short ones to end
TIMED_OUT = 150  # seconds for a limit of one minute to be enforced

SLEEP = "sleep 900"
# name, user, arguments of sbatch; {NAME} is the id of the job of that name
POPULATION: tuple[tuple[str, str, list[str]], ...] = (
    ("late", "alice", ["-w", "node04", "-t", "1", "--wrap", SLEEP]),
    ("ended", "alice", ["--wrap", "true", "--comment=a comment", "-t", "10"]),
    ("failed", "bob", ["--wrap", "exit 3"]),
    ("stepped", "bob", ["--wrap", "srun -n1 true; srun -n2 --overlap hostname; exit 0", "-n", "2"]),
    ("killed", "alice", ["--wrap", "kill -9 $$"]),
    ("running", "alice", ["-w", "node03", "-n2", "-c1", "-t", "30", "--mem-per-cpu=100", "--wrap", SLEEP, "--nice=10"]),
    ("steps", "bob", ["-w", "node02", "-n2", "--mem-per-cpu=100", "--wrap", f"srun -n1 -J inner {SLEEP}"]),
    ("gpu", "alice", ["-p", "gpu", "--gres=gpu:a100:1", "--mem=200", "-t", "5:00", "--wrap", SLEEP]),
    ("licensed", "alice", ["--licenses=matlab:2", "-w", "node03", "--mem=200M", "--wrap", SLEEP]),
    ("high", "alice", ["--qos=high", "-A", "project1", "-C", "skylake&ib", "-N", "1", "-w", "node01",
                       "--mem-per-cpu=100", "--wrap", SLEEP]),
    ("two", "bob", ["-w", "node[01-02]", "-N2", "--ntasks-per-node=1", "--mem=100", "-x", "node04",
                    "--mail-type=END,FAIL", "--mail-user=bob@example.org", "--wrap", SLEEP]),
    ("stopped", "alice", ["-w", "node04", "--mem-per-cpu=100", "--wrap", SLEEP, "-t", "1:00:00"]),
    ("requeued", "alice", ["-w", "node02", "--mem-per-cpu=100", "--wrap", SLEEP, "--requeue"]),
    ("cancelled", "alice", ["-w", "node03", "--mem-per-cpu=100", "--wrap", f"exec {SLEEP}"]),
    ("array", "alice", ["-w", "node01", "--array=1-4%2", "--mem-per-cpu=100", "--wrap", SLEEP]),
    ("held", "alice", ["-H", "--wrap", SLEEP, "-o", "/tmp/x.%j.%u", "-e", "/tmp/e.%x", "-i", "/dev/null"]),
    ("heldarray", "bob", ["-H", "--array=0-9:3", "--wrap", SLEEP, "-D", "/tmp"]),
    ("withdrawn", "bob", ["-H", "--wrap", SLEEP]),
    ("later", "alice", ["--begin=now+2hours", "--deadline=now+9hours", "-t", "10", "--wrap", SLEEP]),
    ("after", "alice", ["-d", "afterok:{running},afterany:{gpu}", "--wrap", SLEEP]),
    ("never", "alice", ["-d", "afterok:{failed}", "--wrap", SLEEP]),
    ("down", "alice", ["-w", "node05", "--wrap", SLEEP]),
    ("wide", "bob", ["-N4", "--exclusive", "-c2", "--ntasks-per-node=2", "--wrap", SLEEP, "-t", "1-0"]),
    ("het", "bob", ["-H", "-n1", "--mem=100", "-J", "het", ":", "-n2", "--mem=50", "-J", "het", "--wrap", SLEEP]),
    ("sockets", "alice", ["-H", "-B", "1:2:1", "--ntasks-per-core=1", "--ntasks-per-socket=2", "-n4", "--tmp=10",
                          "--wrap", SLEEP, "--export=NONE", "--signal=B:USR1@60", "--spread-job"]),
    ("several", "alice", ["-H", "-p", "compute,debug", "--wrap", SLEEP, "--switches=1@10", "--no-requeue"]),
    ("gpus", "alice", ["-H", "-p", "gpu", "--gpus=2", "--mem-per-gpu=100", "--cpus-per-gpu=1", "--wrap", SLEEP]),
)  # fmt: skip

# of a node that is down, and far off: in nobody's way
RESERVATION = (
    "reservationname=later", "starttime=2031-01-01T00:00:00", "duration=60", "users=alice,bob", "nodes=node05",
    "flags=ignore_jobs,daily", "comment=kept",
)  # fmt: skip

EVERY = ("--json", "--json=v0.0.44", "--json=v0.0.43", "--json=v0.0.42", "--json=v0.0.45+complex", "--yaml")
# commands, user, and the forms of the option they are asked with; {NAME} as above
COMMANDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("squeue", "alice", EVERY),
    ("squeue -s", "alice", ("--json",)),
    ("squeue --start", "alice", ("--json",)),
    ("squeue -j {ended},{array}", "bob", ("--json",)),
    ("sinfo", "alice", EVERY),
    ("sinfo -N", "alice", ("--json",)),
    ("sinfo -a -n node04", "alice", ("--json",)),
    ("scontrol show job", "alice", EVERY),
    ("scontrol show job {running}", "bob", ("--json",)),
    ("scontrol show job 999999", "bob", ("--json",)),
    ("scontrol show node", "alice", EVERY),
    ("scontrol show node node04", "alice", ("--json",)),
    ("scontrol show node nosuch", "alice", ("--json",)),
    ("scontrol show partition", "alice", EVERY),
    ("scontrol show partition gpu", "alice", ("--json",)),
    ("scontrol show partition nosuch", "alice", ("--json",)),
    ("scontrol show step", "alice", EVERY),
    ("scontrol show step {steps}.0", "alice", ("--json",)),
    ("scontrol show reservation", "alice", EVERY),
    ("scontrol show reservation nosuch", "alice", ("--json",)),
    ("scontrol show licenses", "alice", EVERY),
    ("scontrol show licenses nosuch", "alice", ("--json",)),
    ("scontrol show config", "alice", EVERY),
    ("scontrol ping", "alice", EVERY),
    ("sacct -a -S now-1hour", "root", EVERY),
    ("sacct -j {stepped},{array}", "bob", ("--json",)),
    ("sacct -X", "alice", ("--json",)),
    ("sdiag", "root", EVERY),
    ("sshare -a", "root", EVERY),
    ("sshare", "alice", ("--json",)),
    ("sprio", "alice", ("--json",)),
    ("sstat -j {steps}", "bob", ("--json",)),
    ("sreport cluster utilization", "root", ("--json",)),
    ("strigger --get", "alice", ("--json",)),
    ("scancel {ended}", "alice", ("--json",)),
    *((f"sacctmgr show {entity}", "root", EVERY) for entity in (
        "account", "user", "association", "qos", "cluster", "tres", "wckey", "event", "transaction", "problem",
        "federation", "resource", "instance", "stats", "reservation", "runawayjobs", "configuration",
    )),
    ("sacctmgr show account withassoc withcoord", "root", ("--json",)),
    ("sacctmgr show user withassoc withcoord", "root", ("--json",)),
    ("sacctmgr ping", "root", ("--json",)),
)  # fmt: skip


def run(user: str, argv: list[str], cwd: str = "/tmp") -> dict[str, Any]:
    whole = ["runuser", "-u", user, "--", *argv] if user != "root" else argv
    began = time.monotonic()
    done = subprocess.run(whole, stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd, timeout=60, check=False)
    return {
        "out": done.stdout.decode("utf-8", "replace"), "err": done.stderr.decode("utf-8", "replace"),
        "rc": done.returncode, "seconds": round(time.monotonic() - began, 3),
    }  # fmt: skip


def until(condition: Any, within: float, what: str) -> None:
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            print(f"waited {within} s in vain: {what}", file=sys.stderr)
            return
        time.sleep(0.5)


def states(ids: dict[str, str]) -> dict[str, str]:
    """By name, of the jobs that are no array."""
    listed = run("root", ["squeue", "-a", "-h", "-t", "all", "-o", "%i %T"])["out"].split("\n")
    found = dict(line.split(" ", 1) for line in listed if " " in line)
    return {name: found.get(each, "") for name, each in ids.items()}


def submit(folder: str) -> dict[str, str]:
    ids: dict[str, str] = {}
    for name, user, argv in POPULATION:
        words = [word.format(**ids) if "{" in word else word for word in argv]
        output = [] if "-o" in argv else ["-o", "/dev/null"]
        done = run(user, ["sbatch", "--parsable", "-J", name, *output, *words], folder)
        match = re.match(r"\d+", done["out"])
        if match is None:
            print(f"{name} was refused: {done['err']}", file=sys.stderr)
            continue
        ids[name] = match[0]
    return ids


def collect(target: str) -> None:
    folder = tempfile.mkdtemp(prefix="population-", dir="/tmp")
    os.chmod(folder, 0o777)
    started = int(time.time())
    ids = submit(folder)
    over = {"ended": "COMPLETED", "failed": "FAILED", "stepped": "COMPLETED", "killed": "FAILED"}
    going = ("running", "steps", "gpu", "licensed", "high", "two", "stopped", "requeued", "cancelled")
    until(
        lambda: (
            (now := states(ids))
            and all(now.get(name) == state for name, state in over.items())
            and all(now.get(name) == "RUNNING" for name in going if name in ids)
        ),
        SETTLE,
        "the jobs to settle",
    )
    run("root", ["scontrol", "create", "reservation", *RESERVATION])
    run("root", ["scontrol", "suspend", ids["stopped"]])
    run("alice", ["scontrol", "requeue", ids["requeued"]])
    run("alice", ["scancel", ids["cancelled"]])
    run("bob", ["scancel", ids["withdrawn"]])
    until(lambda: states(ids).get("late") == "TIMEOUT", TIMED_OUT, "the time limit")
    until(lambda: states(ids).get("requeued") == "RUNNING", TIMED_OUT, "the requeued job's second run")
    time.sleep(3)  # accounting is written after the fact
    runs = []
    for command, user, forms in COMMANDS:
        for form in forms:
            words = command.format(**ids).split()
            # options before operands: what comes after some of them is theirs
            argv = [words[0], form, *words[1:]]
            runs.append({"command": f"{command} {form}", "user": user, **run(user, argv)})
    Path(target).write_text(
        json.dumps({"jobs": {each: name for name, each in ids.items()}, "started": started,
                    "ended": int(time.time()), "runs": runs})
    )  # fmt: skip
    run("root", ["scancel", *ids.values()])


if __name__ == "__main__":
    collect(sys.argv[1])
