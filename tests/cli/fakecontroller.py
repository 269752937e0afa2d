"""A controller of dicts: rows of the fields asked for, filtered as the real one filters; calls are kept."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator
from typing import Any

from slurm_compat.cli import main as commands
from slurm_compat.cli.context import Context
from slurm_compat.core.errors import INVALID_JOB_ID, SlurmError
from slurm_compat.core.fields import JOB_FIELDS, STEP_FIELDS
from slurm_compat.core.model import UNLIMITED

NOW = 1795180000
ABSENT: dict[str, Any] = {"int": 0, "str": "", "bool": False, "float": 0.0, "int|None": None, "dict": {}}
USERS = {"alice": 2001, "bob": 2002, "root": 0}


def row(table: dict[str, str], **known: Any) -> dict[str, Any]:
    return {name: ABSENT.get(kind.partition(":")[0], []) for name, kind in table.items()} | known


def job(job_id: int, name: str, **known: Any) -> dict[str, Any]:
    """A pending job of alice's, but for what is said."""
    values: dict[str, Any] = {
        "job_id": job_id, "name": name, "user_id": 2001, "user_name": "alice", "group_id": 2001, "group_name": "alice",
        "account": "project1", "partition": "compute", "qos": "normal", "job_state": "PENDING", "state_reason": "None",
        "priority": 3000, "priority_weight": 3000 / 2**32, "requeue": True, "batch_flag": True, "submit_time": NOW - 99,
        "node_count": 1, "cpus": 1, "tasks": 1, "cpus_per_task": 1, "minimum_cpus_per_node": 1, "memory_per_cpu": 500,
        "time_limit": UNLIMITED, "cluster": "oracle", "shared": "NO", "exclusive": "NO", "sluid": "s6KNM7WE9P5Y00",
        "current_working_directory": "/tmp/work", "standard_input": "/dev/null",
        "tres_req_str": "cpu=1,mem=500M,node=1,billing=1",
    }  # fmt: skip
    return row(JOB_FIELDS, **(values | known))


def step(job_id: int, step_id: str, name: str, **known: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "job_id": job_id, "step_id": step_id, "name": name, "user_id": 2001, "user_name": "alice",
        "partition": "compute", "job_state": "RUNNING", "run_time": 8, "time_limit": UNLIMITED, "tasks": 1,
    }  # fmt: skip
    return row(STEP_FIELDS, **(values | known))


class FakeController:
    def __init__(self, jobs: list[dict[str, Any]], steps: list[dict[str, Any]] = [], hidden: str = "") -> None:  # noqa: B006
        self.tables = {"jobs": jobs, "steps": steps}
        self.hidden = hidden
        self.asked: list[tuple[str, dict[str, Any]]] = []  # what was called, with its arguments
        self.refusals: dict[str, tuple[int, str]] = {}  # target: error of cancel

    def call(self, name: str, **args: Any) -> dict[str, Any]:
        self.asked.append((name, args))
        if name == "config":
            return {"pairs": [["ClusterName", "oracle"]]}
        return {"errors": [[target, *self.refusals[target]] for target in args["targets"] if target in self.refusals]}

    def rows(self, name: str, fields: list[str], **filters: Any) -> Iterator[list[Any]]:
        self.asked.append((name, {"fields": fields, **filters}))
        if name == "nodes":
            known = {"sockets": 1, "cores": 4, "threads": 1}
            return iter([[known.get(field, f"node0{number}") for field in fields] for number in range(1, 6)])
        if name == "partitions":
            return iter([[part, part == self.hidden] for part in ("compute", "gpu", "debug")])
        found = self.tables[name]
        if ids := filters.get("job_ids"):
            found = [each for each in found if {each["job_id"], each["array_job_id"]} & set(ids)]
            if len(ids) == 1 and not found and name == "jobs":
                raise SlurmError(INVALID_JOB_ID)
        if users := filters.get("user_ids"):
            found = [each for each in found if each["user_id"] in users]
        if states := filters.get("states"):
            found = [each for each in found if {each["job_state"], *each["state_flags"]} & set(states)]
        return iter([[each[field] for field in fields] for each in found])

    def events(self, name: str, **args: Any) -> Any:
        raise AssertionError(name)


def run(
    line: str | list[str], controller: Any, env: dict[str, str] | None = None, stdin: str = "", uid: int = 2001
) -> tuple[str, str, int]:
    """stdout, stderr and exit code of a command line."""
    argv = shlex.split(line) if isinstance(line, str) else line
    out, err = io.StringIO(), io.StringIO()
    ctx = Context(
        argv=argv, env=env or {}, cwd="/tmp/work", stdin=io.StringIO(stdin), stdout=out, stderr=err,
        connect=lambda: controller, now=lambda: float(NOW), uid=uid, gid=uid,
    )  # fmt: skip
    code = commands.run(ctx)
    return out.getvalue(), err.getvalue(), code
