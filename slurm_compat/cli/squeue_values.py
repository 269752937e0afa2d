"""What squeue's columns show: one small function a value, over the fields of a job or a step.

Source: squeue(1), --format; observed on 26.05.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from slurm_compat.core import taskids
from slurm_compat.core.jobid import job_name
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.sizes import mem_text
from slurm_compat.core.states import COMPLETING, PENDING, compact_state, shown_state
from slurm_compat.core.timefmt import clock, short_duration, time_format_error

LONGEST_RUN_MIN = 365 * 24 * 60  # what a started job without a limit is given
ID_BYTES = 31  # an array's id is cut there unless SLURM_BITSTR_LEN is set
TASK_BYTES = 64  # SLURM_BITSTR_LEN when it is not set
REASON_INSTEAD = {PENDING, "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE", "FAILED"}  # %R tells these jobs' reason, not nodes


class Settings(NamedTuple):
    """What of the command line and the environment changes how values look."""

    now: float = 0.0
    time_format: str = ""
    convert: bool = True  # 2048M as 2G
    bitstr_len: int | None = None  # SLURM_BITSTR_LEN, None when not set
    expand: bool = False  # --expand-patterns
    cluster: str = ""
    complain: Callable[[str], None] = lambda text: None

    def moment(self, epoch: int) -> str:
        if not epoch:
            return "N/A"
        if self.time_format and (problem := time_format_error(self.time_format)):
            self.complain(problem)
            return clock(epoch)
        return _clock(epoch, self.time_format, int(self.now))


@lru_cache(maxsize=8192)
def _clock(epoch: int, time_format: str, now: int) -> str:
    return clock(epoch, time_format or "standard", now)


# identity


def bitstr_len(env: Mapping[str, str]) -> int | None:
    """SLURM_BITSTR_LEN as atoi reads it: no number is 0, which is no bound; below 0 is the default."""
    text = env.get("SLURM_BITSTR_LEN")
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        return 0
    return number if number >= 0 else TASK_BYTES


def tasks_text(settings: Settings, task: int | None, waiting: str, throttle: int) -> str:
    if task is not None:
        return str(task)
    if not waiting:
        return "N/A"
    size = TASK_BYTES if settings.bitstr_len is None else settings.bitstr_len
    text = taskids.shortened(waiting, size)
    return f"{text}%{throttle}" if throttle else text


def id_text(
    settings: Settings,
    job_id: int,
    array_job_id: int,
    task: int | None,
    waiting: str,
    throttle: int,
    het_job_id: int,
    offset: int,
) -> str:
    if task is None and waiting:
        text = f"{array_job_id or job_id}_[{tasks_text(settings, None, waiting, throttle)}]"
        return text if settings.bitstr_len is not None else text[:ID_BYTES]
    return job_name(job_id, array_job_id, task, het_job_id, offset)


def array_id(job_id: int, array_job_id: int) -> int:
    return array_job_id or job_id


def het_text(value: Any, het_job_id: int) -> Any:
    return value if het_job_id else "N/A"


# what is absent


def or_na(value: Any) -> Any:
    return value or "N/A"


def or_star(value: int | None) -> Any:
    return "*" if value is None else value


def or_zero(value: int | None) -> int:
    return value or 0


def none_as_na(value: int | None) -> Any:
    return "N/A" if value is None else value


def shape_text(sockets: int | None, cores: int | None, threads: int | None) -> str:
    return f"{or_star(sockets)}:{or_star(cores)}:{or_star(threads)}"


def max_nodes_text(max_nodes: int, tasks: int, nodes: int) -> int:
    return max_nodes or max(tasks, nodes)


def max_cpus_text(max_cpus: int, cpus: int) -> int:
    return max_cpus or cpus


def batch_host_text(host: str) -> str:
    return host or "n/a"


def yes_no(value: bool) -> str:
    return "Yes" if value else "No"


def not_federated() -> str:
    return "NA"


def zero() -> int:
    return 0


def nothing() -> str:
    return "(null)"


def profile_text(profile: str) -> str:
    return ",".join(word.capitalize() for word in profile.split(",")) if profile else "NotSet"


# time


def moment_text(settings: Settings, epoch: int) -> str:
    return settings.moment(epoch)


def end_text(settings: Settings, state: str, end: int, start: int, limit: int) -> str:
    """Of a pending job with an expected start: when it would end."""
    if state == PENDING and not end and start:
        end = start + (LONGEST_RUN_MIN if limit >= UNLIMITED else limit) * 60
    return settings.moment(end)


def limit_text(width: int, limit: int) -> str:
    if limit >= UNLIMITED:
        return "UNLIMITED"[: width or None]
    return short_duration(_seconds(limit))


def left_text(width: int, limit: int, used: int) -> str:
    if limit >= UNLIMITED:
        return "UNLIMITED"[: width or None]
    return short_duration(_seconds(limit) - used)


def _seconds(limit: int) -> int:
    """As Slurm counts them, in 32 bits: what is too long for that shows as INVALID."""
    return ((limit * 60 + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def minutes_text(limit: int) -> str:
    return short_duration(limit * 60)


def pending_seconds(settings: Settings, submitted: int, start: int, state: str) -> int:
    if state != PENDING and start:
        return start - submitted
    return max(int(settings.now) - submitted, 0)


def priority_text(weight: float) -> str:
    return f"{weight:16.14f}"


# state


def compact_text(state: str, flags: list[str]) -> str:
    return compact_state(state, flags)


def state_text(state: str, flags: list[str]) -> str:
    return shown_state(state, flags)


def reason_text(reason: str, description: str) -> str:
    return description or reason


def nodes_or_reason(width: int, state: str, flags: list[str], nodes: str, reason: str, description: str) -> str:
    if state in REASON_INSTEAD and COMPLETING not in flags:
        return f"({description or reason})"[: width or None]
    return nodes


# size


def mem(settings: Settings, mib: int) -> str:
    if settings.convert or not mib:
        return mem_text(mib)
    return f"{mib}M"


def memory_of(per_node: int | None, per_cpu: int | None, per_tres: str) -> int:
    """MiB asked for a node, a CPU or a GPU, whichever was said."""
    if per_node is not None:
        return per_node
    if per_cpu is not None:
        return per_cpu
    amount = per_tres.rpartition(":")[2]
    return int(amount) if amount.isdigit() else 0


def memory_text(settings: Settings, per_node: int | None, per_cpu: int | None, per_tres: str) -> str:
    return mem(settings, memory_of(per_node, per_cpu, per_tres))


def tres_text(allocated: str, requested: str) -> str:
    return allocated or requested or "N/A"


# files


def output_text(settings: Settings, batch: bool, given: str, expanded: str, cwd: str, array_job_id: int) -> str:
    """--output as the user gave it; the default's name when none was given."""
    if not batch:
        return "(null)"
    if settings.expand:
        return expanded or "(null)"
    if given:
        return os.path.join(cwd, given)
    return "slurm-%A_%a.out" if array_job_id else "slurm-%j.out"


def error_text(settings: Settings, given: str, expanded: str, cwd: str) -> str:
    if not given:
        return "(null)"
    return expanded if settings.expand else os.path.join(cwd, given)


def input_text(settings: Settings, batch: bool, given: str, expanded: str, cwd: str) -> str:
    if not batch:
        return "(null)"
    if settings.expand or not given:
        return expanded or "/dev/null"
    return os.path.join(cwd, given)


# steps


def step_id_text(job_id: int, array_job_id: int, task: int | None, step_id: str) -> str:
    return f"{job_name(job_id, array_job_id, task)}.{step_id}"


def cpu_freq_text(cpu_freq: str, step_id: str) -> str:
    """min-max:governor. Only srun's steps have any to tell."""
    return cpu_freq or ("Unknown-Unknown:Unknown" if step_id.isdigit() else "0-0:0")


def step_cpus(cpus: int, step_id: str) -> int:
    return cpus if step_id.isdigit() else 0


def cluster_text(settings: Settings) -> str:
    return settings.cluster
