"""The accounting's rows of the reference cluster, as the controller makes them, with use and priorities made up."""

from pathlib import Path
from typing import Any

import yaml

from slurm_compat.controller import associationrows, associations, shares
from slurm_compat.core.cluster import cluster_conf

NOW = 1795180000  # as fakecontroller has it
CLUSTERS = Path(__file__).parents[2] / "fixtures" / "clusters"
CONF = cluster_conf(yaml.safe_load((CLUSTERS / "oracle.yaml").read_text()))
USED = {number: {"billing": 115.0, "cpu": 115.0, "mem": 60000.0} for number in (5, 3)} | {
    number: {"billing": 2.0, "cpu": 2.0, "mem": 600.0} for number in (7, 4)
}
USED[1] = {"billing": 117.0, "cpu": 117.0, "mem": 60600.0}
PROMISED = {number: {"cpu": 28800.0, "node": 7200.0, "billing": 28800.0} for number in (5, 3, 1)}


def waiting(job_id: int, partition: str, **known: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "job_id": job_id, "array_job_id": 0, "sluid": "s3Y5M7WMRP9J00", "user_id": 2001, "user_name": "alice",
        "account": "project1", "partition": partition, "qos": "normal", "nice": 0, "age": 0.0000132, "fairshare": 0.2,
        "job_size": 0.5, "partition_factor": 1.0, "qos_factor": 0.0, "priority": 3500,
    }  # fmt: skip
    return values | known


PRIORITIES = [
    waiting(20004, "compute"),
    waiting(20008, "debug", user_id=0, user_name="root", fairshare=1.0, job_size=0.25, priority=11250, nice=5),
    waiting(20008, "compute", user_id=0, user_name="root", fairshare=1.0, job_size=0.25, priority=11250, nice=5),
    waiting(20009, "gpu", account="project2", fairshare=1.0, job_size=0.125, priority=11125),
    waiting(20011, "compute", array_job_id=20010, fairshare=1.0, job_size=0.125, priority=13125, qos="high",
            qos_factor=1.0),
]  # fmt: skip

NODES = [
    {
        "name": f"node{number:02}", "state": "DOWN" if number == 5 else "IDLE", "state_flags": [], "cpus": 4,
        "reason": "psu failed" if number == 5 else "", "reason_set_by_user": "root" if number == 5 else "",
        "reason_changed_at": NOW - 50 if number == 5 else 0, "slurmd_start_time": NOW - 60,
        "tres": "cpu=4,mem=4000M,node=1,billing=4" + (",gres/gpu=2" if number == 4 else ""),
    }
    for number in range(1, 6)
]  # fmt: skip

CONFIG = {
    "ClusterName": "oracle", "SLURM_CONF": "/etc/slurm-compat/cluster.yaml", "PriorityWeightAge": "1000",
    "PriorityWeightAssoc": "0", "PriorityWeightFairShare": "10000", "PriorityWeightJobSize": "1000",
    "PriorityWeightPartition": "1000", "PriorityWeightQOS": "2000",
}  # fmt: skip

ROUNDS = {
    "cycles": 2, "last": 30, "longest": 35, "total": 64, "last_depth": 2, "depth": 4, "last_queue": 6, "queue": 12,
    "started": 1, "last_at": NOW - 2,
}  # fmt: skip
FIGURES: dict[str, Any] = {
    "now": NOW, "since": NOW - 30, "server_threads": 1, "outbox": 0, "sending": 0, "store_queue": 0,
    "jobs_submitted": 9, "jobs_started": 8, "jobs_completed": 7, "jobs_canceled": 1, "jobs_failed": 0,
    "jobs_pending": 3, "running": 2, "main": ROUNDS, "backfill": ROUNDS | {"cycles": 0, "started_ever": 4},
    "latency": 21, "latency_calls": 1000,
    "calls": [["ping", "", 1, 37], ["jobs", "one", 5, 204], ["hold", "", 2, 60], ["release", "", 1, 30],
              ["accounting", "", 4, 400], ["users", "", 2, 100], ["novel", "", 1, 9]],
    "users": [["root", 0, 3, 300], ["alice", 2001, 8, 200]],
}  # fmt: skip


class Accounting:
    def __init__(self, priorities: list[dict[str, Any]] = PRIORITIES) -> None:
        found = shares.fair_tree(associations.tree(CONF), USED, PROMISED)
        self.tables = {
            "associations": [row | shares.values(found[row["id"]]) for row in associationrows.association_rows(CONF)],
            "accounts": associationrows.account_rows(CONF),
            "users": associationrows.user_rows(CONF),
            "qos": associationrows.qos_rows(CONF),
            "tres": associations.tres_rows(CONF),
            "priorities": priorities,
            "nodes": NODES,
            "events": [],
            "transactions": [],
        }
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def call(self, name: str, **args: Any) -> dict[str, Any]:
        self.asked.append((name, args))
        if name == "ping":
            return {"hostname": "ctl01", "boot_time": NOW - 60}
        if name == "statistics":
            return FIGURES
        if name == "book_records":
            return {"wckeys": [], "resources": [], "deleted": []}
        return {"pairs": list(CONFIG.items())}

    def rows(self, name: str, fields: list[str], **filters: Any) -> Any:
        return iter([[row[field] for field in fields] for row in self.tables[name]])

    def events(self, name: str, **args: Any) -> Any:
        raise AssertionError(name)
