"""What a step is on one node: what was asked, which tasks are here, and where they stand in the whole step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slurm_compat.agent import step_tasks, usage
from slurm_compat.agent.launch import User
from slurm_compat.agent.step_tasks import Task

Message = dict[str, Any]


class Part:
    """Of a step over several components of a heterogeneous job, `first_task` and `first_node` are what comes before
    this component's own 0, and `whole` is the layout of all of it."""

    def __init__(self, message: Message, launched: Mapping[str, Any], user: User) -> None:
        self.message = message
        self.request: Message = message["request"]
        self.user = user
        self.job_id: int = launched["job"]["job_id"]
        self.step_id = str(message["step_id"])
        self.node: str = launched["nodes"][launched["rank"]]["name"]
        self.launch = step_tasks.with_step_gpus(launched, message.get("resources") or [])
        self.node_rank = next(i for i, entry in enumerate(message["layout"]) if entry[0] == self.node)
        self.ranks: list[int] = list(message["layout"][self.node_rank][1])
        self.tasks = {rank: Task(rank, usage.Meter(self.node, rank)) for rank in self.ranks}
        het: Message = message.get("het") or {}
        self.first_task = int(het.get("first_task", 0))
        self.first_node = int(het.get("first_node", 0))
        self.component = int(het.get("component", 0))
        self.whole: list[Any] = het.get("layout") or message["layout"]
        self.environments: dict[int, dict[str, str]] = {}  # of each task, once it starts

    @property
    def directory(self) -> str:
        return str(self.request.get("current_working_directory") or "/")
