"""`slurm-compat translate`: what `sbatch ARGUMENTS` would hand to Armada. Nothing is submitted, no controller asked."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from typing import Any

from slurm_compat.cli import sbatch, where
from slurm_compat.cli.context import Context
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.host import this_machine
from slurm_compat.controller.main import read_conf
from slurm_compat.controller.nodes import Cluster
from slurm_compat.controller.submission import check
from slurm_compat.core import errors
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import JobRequest
from slurm_compat.translators.yamlview import translate


class Recorder:
    """Stands where the controller would: keeps the request sbatch makes."""

    def __init__(self) -> None:
        self.request = JobRequest()

    def call(self, name: str, /, **args: Any) -> dict[str, Any]:
        self.request = args["request"]
        return {"job_id": 0, "messages": []}

    def rows(self, name: str, fields: list[str], /, **args: Any) -> Iterator[list[Any]]:
        return iter(())

    def events(self, name: str, /, **args: Any) -> Any:
        return iter(())


def translated(
    arguments: list[str], env: Mapping[str, str], cwd: str, user: tuple[int, int, str] = (0, 0, "user")
) -> str:
    """The YAML text. `user`: uid, gid and name whose rights the checks go by. Raises CommandError and SlurmError."""
    recorder = Recorder()
    ctx = Context(
        argv=["sbatch", *arguments], env=env, cwd=cwd, stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO(),
        connect=lambda: recorder, now=time.time,
    )  # fmt: skip
    sbatch.submitted(ctx)
    cluster = Cluster.from_conf(read_conf(where.cluster_file(env)), this_machine())
    if recorder.request.het_components:
        text = "the components of a heterogeneous job start as one gang; translate each by itself to see its part"
        raise SlurmError(errors.NOT_SUPPORTED, text)
    uid, gid, name = user
    accepted = check(recorder.request, Caller(uid, gid, name, name, True, True), cluster, int(time.time()))
    return translate(
        recorder.request, cluster, time_limit=accepted.time_limit, account=accepted.account, user_name=name
    )
