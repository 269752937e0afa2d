"""The recorded month: its jobs, what else there was, and a controller that answers from it."""

from __future__ import annotations

import calendar
import time
from pathlib import Path
from typing import Any

import yaml

from slurm_compat.controller.reports import SizedRun, sizes_of
from slurm_compat.controller.rollup import ASSOCIATION, Asked, Down, Hour, Reserved, Window
from slurm_compat.core import bookargs
from slurm_compat.store.rollups import PARTS

HERE = Path(__file__).parent
NAMES = [
    "cpu",
    "mem",
    "energy",
    "node",
    "billing",
    "fs/disk",
    "vmem",
    "pages",
    "gres/gpu",
    "gres/gpumem",
    "gres/gpuutil",
]
CAPACITY = dict.fromkeys(NAMES, 0) | {"cpu": 20, "mem": 20000, "node": 5, "billing": 20, "gres/gpu": 2}
NODE = {"cpu": 4, "mem": 4000, "billing": 4}
UIDS = {"alice": 2001, "bob": 2002, "root": 0}


def at(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


DOWN = (
    Down(at("2026-10-05T01:10:00"), at("2026-10-05T03:20:00"), NODE),
    Down(at("2026-10-06T01:10:00"), at("2026-10-06T03:20:00"), NODE),
    Down(at("2026-10-06T05:10:00"), at("2026-10-06T05:40:00"), NODE),
    Down(at("2026-10-20T12:00:00"), 0, NODE),
)
MAINT = Reserved("maint", at("2026-10-07T10:00:00"), at("2026-10-07T12:00:00"), {"cpu": 4}, True, (("root", "root"),))
COURSE = Reserved(
    "course", at("2026-10-08T10:00:00"), at("2026-10-08T12:00:00"), {"cpu": 8}, owners=(("project2", "bob"),)
)

RECORDED: dict[str, Any] = yaml.load((HERE / "recorded_month.yaml").read_text(), yaml.CSafeLoader)


def runs(further_accounts: bool = False) -> list[SizedRun]:
    """The jobs. `further_accounts`: some of project2's are of division and team, as in the second recording."""
    found = []
    for place, row in enumerate(RECORDED["jobs"]):
        user, account, qos, wckey, _, eligible, start, end, state, cpus, gpus, nodes = row
        if further_accounts and account == "project2" and place % 3 == 0:
            account = "team" if user == "bob" else "division"
        amounts = f"cpu={cpus},mem={500 * cpus}M,node={nodes},billing={cpus}" + (f",gres/gpu={gpus}" if gpus else "")
        found.append(
            SizedRun(
                user_name=user, account=account, qos=qos, request=Asked(wckey), state=state, eligible_time=eligible,
                start_time=start, end_time=end, nodes="node01" if start else "", tres_req_str=amounts,
                tres_alloc_str=amounts if start else "", job_id=30001 + place, user_id=UIDS[user],
                group_id=UIDS[user], partition="compute",
            )
        )  # fmt: skip
    # the first of bob's after the course's day had begun names it too, and one ran in it
    named = next(run for run in found if run.user_name == "bob" and run.start_time > at("2026-10-08T00:00:00"))
    named.request = Asked(named.request.wckey, "course")
    amounts = "cpu=4,mem=2000M,node=1,billing=4"
    found.append(
        SizedRun(
            user_name="bob", account="project2", qos="normal", request=Asked("", "course"), state="COMPLETED",
            eligible_time=at("2026-10-08T10:00:00"), start_time=at("2026-10-08T10:30:00"),
            end_time=at("2026-10-08T11:15:00"), nodes="node02", tres_req_str=amounts, tres_alloc_str=amounts,
            job_id=39000, user_id=2002, group_id=2002, partition="compute",
        )
    )  # fmt: skip
    return found


def hours(jobs: list[SizedRun], start: str = "2026-09-25T00:00:00", end: str = "2026-11-21T00:00:00") -> list[Hour]:
    window = Window(at(start), at(end), CAPACITY)
    for down in DOWN:
        window.down(down)
    for reserved in (MAINT, COURSE):
        window.reservation(reserved)
    for run in jobs:
        window.job(run)
    return window.settled()


ASSOCIATIONS = [
    (1, "root", "", "", "/"), (2, "root", "root", "", "/0-root/"), (3, "project1", "", "root", "/project1/"),
    (4, "project2", "", "root", "/project2/"), (5, "project1", "alice", "", "/project1/0-alice/"),
    (6, "project2", "alice", "", "/project2/0-alice/"), (7, "project2", "bob", "", "/project2/0-bob/"),
    (8, "project1", "root", "", "/project1/0-root/"),
]  # fmt: skip
FURTHER = [
    (9, "division", "", "root", "/division/"), (10, "team", "", "division", "/division/team/"),
    (11, "team", "bob", "", "/division/team/0-bob/"), (12, "division", "alice", "", "/division/0-alice/"),
]  # fmt: skip
COLUMNS = ("id", "account", "user", "parent_account", "lineage")


class Controller:
    """Answers sreport's calls from the month, without a store."""

    def __init__(self, further_accounts: bool = False) -> None:
        self._runs = runs(further_accounts)
        self._hours = hours(self._runs)
        self._associations = ASSOCIATIONS + (FURTHER if further_accounts else [])

    def call(self, name: str, /, **args: Any) -> dict[str, Any]:
        if name == "ping":
            return {"cluster": "oracle"}
        inside = [hour for hour in self._hours if args["start"] <= hour.start < args["end"]]
        cluster = _cluster(inside)
        if name == "cluster_usage":
            return {"tres": cluster}
        if name == "usage":
            total = {tres: sums["total"] for tres, sums in cluster.items()}
            return {"rows": _used(inside, args["kind"]), "total": total}
        if name == "job_sizes":
            return {"rows": sizes_of(bookargs.JobSizes(**args), self._runs)}
        assert name == "reservation_usage"
        rows = [
            {"name": one.name, "id": number, "start": one.start, "end": one.end, "tres": one.tres, "used": used,
             "nodes": "node02", "flags": ["MAINT"] if one.maintenance else [], "associations": one.owners}
            for number, one, used in ((11, MAINT, {}), (12, COURSE, {"cpu": 4 * 45 * 60}))
        ]  # fmt: skip
        return {"rows": [row for row in rows if row["start"] < args["end"] and row["end"] > args["start"]]}

    def rows(self, name: str, fields: list[str], /, **args: Any) -> list[list[Any]]:
        if name == "tres":
            return [[kind, rest] for kind, _, rest in (tres.partition("/") for tres in NAMES)]
        return [[row[COLUMNS.index(field)] for field in fields] for row in self._associations]


def _cluster(inside: list[Hour]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for hour in inside:
        for tres, of in hour.cluster.items():
            sums = found.setdefault(tres, dict.fromkeys(("total", *PARTS), 0))
            sums["count"] = of.count
            for part in ("total", *PARTS):
                sums[part] += getattr(of, part)
    return found


def _used(inside: list[Hour], kind: str = ASSOCIATION) -> list[list[Any]]:
    sums: dict[tuple[str, str, str], int] = {}
    for hour in inside:
        for ((of, first, second), tres), seconds in hour.used.items():
            if of == kind:
                sums[first, second, tres] = sums.get((first, second, tres), 0) + seconds
    return [[*key, seconds] for key, seconds in sums.items()]
