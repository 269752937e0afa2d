"""scontrol's verbs on what runs on one node: listpids, listjobs, liststeps, pidinfo, getent, gethost.

A node's name may follow; else it is this host. slurmstepd's sockets are not there to be asked: the controller knows the
steps and their tasks, and /proc the processes those have started. Words as 26.05 has them.
"""

from __future__ import annotations

import os
import pwd
import time
from typing import Any, NamedTuple

from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core import hostlist, jobid
from slurm_compat.core.errors import BadValue

NONE_HERE = "No job steps exist on this node."
NO_STEPD = "No slurmstepd's found on this node"
LATER = ("batch", "interactive", "extern")  # behind the numbered steps, in this order
EXTERN_PID = -1  # the extern step has no task


class Process(NamedTuple):
    pid: int
    job_id: int
    step_id: str
    rank: int | None  # None: no task, but started by one
    place: int | None  # of the task among those of its node


def _here(words: list[str], at: int) -> str:
    return words[at] if len(words) > at else os.uname().nodename.partition(".")[0]


def _steps_of(session: Session, node: str) -> list[dict[str, Any]]:
    """The steps that run on a node, in order; each with `tasks`: [rank, pid] of those there."""
    rows = session.rows("steps", ["job_id", "step_id", "nodes", "pids", "user_name"])
    there = [row for row in rows if node in hostlist.expand(row["nodes"])]
    for row in there:
        row["tasks"] = sorted([rank, pid] for name, rank, pid in row["pids"] if name == node)
    return sorted(there, key=lambda row: (row["job_id"], *_order(row["step_id"])))


def _order(step_id: str) -> tuple[int, int]:
    return (LATER.index(step_id), 0) if step_id in LATER else (-1, int(step_id) if step_id.isdigit() else 0)


def _parents() -> dict[int, int]:
    """Each process of this machine with its parent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    # the command's name is in brackets and may hold anything
                    found[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    return found


def _started_by(tasks: list[int], parents: dict[int, int]) -> list[int]:
    """Processes below these, not these themselves."""
    below: set[int] = set()
    wave = set(tasks)
    while wave:
        wave = {pid for pid, parent in parents.items() if parent in wave} - below - set(tasks)
        below |= wave
    return sorted(below)


def pids_here(session: Session, words: list[str]) -> list[Process] | None:
    """The processes of one job or step, or of all, on a node; None when that was refused, with the reason."""
    job, dot, step_id = words[0].partition(".") if words else ("", "", "")
    job_id = 0
    if words:
        try:
            job_id = jobid.parse(job).job_id
        except BadValue:
            session.fail(f'"{words[0]}" does not look like a jobid')
            return None
    node = _here(words, 1)
    shown = words[1] if len(words) > 1 else "(null)"
    steps = [row for row in _steps_of(session, node) if not job_id or row["job_id"] == job_id]
    wanted = [row for row in steps if not dot or row["step_id"] == step_id]
    if job_id and not wanted:
        known = any(row["name"] == node for row in session.rows("nodes", ["name"]))
        if known and not steps:
            session.fail(f"There are no steps for job {job_id} on node {shown}.")
        else:
            what = f"StepId={job_id}.{step_id}" if dot else f"JobId={job_id}"
            session.fail(f"{what} does not exist on node {shown}.")
        return None
    parents = _parents() if wanted else {}
    return [process for row in wanted for process in _processes(row, parents)]


def _processes(row: dict[str, Any], parents: dict[int, int]) -> list[Process]:
    job_id, step_id = row["job_id"], row["step_id"]
    if step_id == "extern" and not row["tasks"]:
        return [Process(EXTERN_PID, job_id, step_id, 0, 0)]
    tasks = [Process(pid, job_id, step_id, rank, place) for place, (rank, pid) in enumerate(row["tasks"])]
    further = _started_by([pid for _, pid in row["tasks"]], parents)
    return tasks + [Process(pid, job_id, step_id, None, None) for pid in further]


def listpids(session: Session, words: list[str]) -> bool:
    found = pids_here(session, words)
    if found is None:
        return False
    if not found:
        return session.fail(NONE_HERE)
    session.ctx.out("PID      JOBID    STEPID   LOCALID GLOBALID")
    for pid, job_id, step_id, rank, place in found:
        local, everywhere = ("-", "-") if rank is None else (str(place), str(rank))
        session.ctx.out(f"{pid:<8} {job_id:<8} {step_id:<8} {local:<7} {everywhere:<8}")
    return True


def steps_here(session: Session, words: list[str]) -> list[tuple[int, str]]:
    return [(row["job_id"], row["step_id"]) for row in _steps_of(session, _here(words, 0))]


def listjobs(session: Session, words: list[str]) -> bool:
    jobs = list(dict.fromkeys(job for job, _ in steps_here(session, words)))
    if not jobs:
        return session.fail(NO_STEPD)
    session.ctx.out("JOBID")
    for job in jobs:
        session.ctx.out(f"{job:<8}")
    return True


def liststeps(session: Session, words: list[str]) -> bool:
    steps = steps_here(session, words)
    if not steps:
        return session.fail(NO_STEPD)
    session.ctx.out(f"{'JOBID':<8} {'STEPID':<8}")
    for job, step in steps:
        session.ctx.out(f"{job:<8} {step:<8}")
    return True


def pidinfo(session: Session, words: list[str]) -> bool:
    """The job of a process of this machine: that of the task which it is, or which started it."""
    pid = int(words[0]) if words[0].isascii() and words[0].isdigit() else 0
    owners = {
        task: (row["job_id"], row["step_id"]) for row in session.rows("steps", ["job_id", "step_id", "pids"])
        for _, _, task in row["pids"]
    }  # fmt: skip
    parents = _parents()
    while pid and pid not in owners:
        pid = parents.get(pid, 0)
    if not pid:
        return session.fail("Failed to locate job for requested pid")
    job_id, step_id = owners[pid]
    end = int(session.rows("jobs", ["end_time"], job_ids=[job_id])[0]["end_time"])
    moment = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(end))
    session.ctx.out(f"Slurm JobId={job_id}.{step_id} ends at {moment}")
    session.ctx.out(f"Job remaining time is {end - int(session.ctx.now())} seconds")
    return True


def getent(session: Session, words: list[str]) -> bool:
    """Each step's user, as getpwnam in the step gives him."""
    for row in _steps_of(session, _here(words, 0)):
        session.ctx.out(f"JobId={row['job_id']}.{row['step_id']}:\nUser:\n{_password_line(row['user_name'])}")
        session.ctx.out("Groups:\n")
    return True


def _password_line(name: str) -> str:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return ""
    return f"{name}:*:{user.pw_uid}:{user.pw_gid}:{user.pw_gecos}:{user.pw_dir}:{user.pw_shell}"


def gethost(session: Session, words: list[str]) -> bool:
    """Hosts that a step knows by itself alone: none, its names are the node's."""
    if len(words) != 2:
        return session.fail("two arguments required for keyword:gethost")
    for row in _steps_of(session, words[0]):
        if str(row["job_id"]) == words[1]:
            session.ctx.out(f"JobId={row['job_id']}.{row['step_id']}:\nHost:\n")
    return True


def getaddrs(session: Session, words: list[str]) -> bool:
    if len(words) != 1:
        return session.fail("one argument required for keyword:getaddrs")
    try:
        names = hostlist.expand(words[0])
    except BadValue:
        return session.fail(f"Invalid hostlist: {words[0]}")
    nodes = {row["name"]: row for row in session.rows("nodes", ["name", "address", "port"])}
    for name in names:
        if name in nodes:
            session.ctx.out(f"{name}: {nodes[name]['address']}:{nodes[name]['port']}")
    return True


def show_slurmd(session: Session, words: list[str]) -> bool:
    """slurmd's part is each job's agent's: what is known of this host as a node. Elsewhere nobody listens."""
    node = _here(words, 0)
    fields = ["name", "cpus", "boards", "sockets", "cores", "threads", "real_memory", "temporary_disk", "boot_time",
              "version", "hostname"]  # fmt: skip
    row = next((row for row in session.rows("nodes", fields) if row["name"] == node), None)
    if row is None:
        session.ctx.error("slurm_slurmd_info: Connection refused")
        return session.fail("slurm_load_slurmd_status:Connection refused")
    steps = [f"{job}.{step}" if step != "batch" else str(job) for job, step in steps_here(session, [node])]
    from slurm_compat.core.timefmt import clock

    now = clock(int(session.ctx.now()), session.time_format)
    for label, value in (
        ("Active Steps", ", ".join(steps) or "NONE"),
        ("Actual CPUs", row["cpus"]),
        ("Actual Boards", row["boards"]),
        ("Actual sockets", row["sockets"]),
        ("Actual cores", row["cores"]),
        ("Actual threads per core", row["threads"]),
        ("Actual real memory", f"{row['real_memory']} MB"),
        ("Actual temp disk space", f"{row['temporary_disk']} MB"),
        ("Boot time", clock(row["boot_time"], session.time_format)),
        ("Hostname", row["hostname"]),
        ("Last slurmctld msg time", now),
        ("Slurmd PID", 0),
        ("Slurmd Debug", 3),
        ("Slurmd Logfile", "(null)"),
        ("Version", row["version"]),
    ):
        session.ctx.out(f"{label:<24} = {value}")
    return True
