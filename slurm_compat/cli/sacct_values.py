"""What sacct's fields say, each from a record of the accounting: the job's own (step_id "") or a step's.

Every function takes the record and the `View` and gives a text, or None for an empty field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from slurm_compat.core import states, taskids, timefmt, units
from slurm_compat.core.folded import exit_text
from slurm_compat.core.jobid import job_name
from slurm_compat.core.model import UNLIMITED

Record = Mapping[str, Any]


class View(NamedTuple):
    """How the caller wants values shown."""

    time_format: str = "standard"
    units: units.Units = units.EXACT
    now: float = 0.0
    steps: bool = True
    expand_patterns: bool = False


Text = Callable[[Record, View], "str | None"]


def is_step(record: Record) -> bool:
    return bool(record["step_id"])


def plain(key: str) -> Text:
    """The value itself, of jobs and steps."""

    def text(record: Record, view: View) -> str | None:
        value = record[key]
        return None if value is None else str(value)

    return text


def of_job(inner: Text) -> Text:
    return lambda record, view: None if is_step(record) else inner(record, view)


def of_step(inner: Text) -> Text:
    return lambda record, view: inner(record, view) if is_step(record) else None


def nothing(record: Record, view: View) -> None:
    """A field whose matter does not exist here: no block ids, no CPU frequencies, no energy counters."""


def constant(value: str) -> Text:
    return lambda record, view: value


# identity


def job_id(record: Record, view: View) -> str:
    waiting = record["array_task_string"]
    if waiting and record["array_task_id"] is None:
        limit = record["array_max_tasks"]
        name = f"{record['array_job_id']}_[{waiting}{f'%{limit}' if limit else ''}]"
    else:
        name = job_name(
            record["job_id"], record["array_job_id"], record["array_task_id"],
            record["het_job_id"], record["het_job_offset"],
        )  # fmt: skip
    return f"{name}.{record['step_id']}" if is_step(record) else name


def job_id_raw(record: Record, view: View) -> str:
    return f"{record['job_id']}.{record['step_id']}" if is_step(record) else str(record["job_id"])


def tasks_of(record: Record) -> list[int]:
    """The tasks that an array's own record still stands for."""
    text = record["array_task_string"]
    if not text or record["array_task_id"] is not None:
        return []
    return list(taskids.each(taskids.parse(text, taskids.NO_TASK).ranges))


# state

# A job that is ended from outside is recorded at once, before its script has told how it took that.
_ENDED_BEFORE_EXIT = frozenset((states.CANCELLED, states.TIMEOUT, states.PREEMPTED, states.DEADLINE, states.NODE_FAIL))
_SHOWN_FLAGS = (states.RESIZING, states.REQUEUED, states.REVOKED)
_END_REASONS = frozenset(
    ("NonZeroExitCode", "TimeLimit", "RaisedSignal", "OutOfMemory", "NodeDown", "JobLaunchFailure")
)


def state(record: Record, view: View) -> str:
    word = str(record["job_state"])
    if word != states.PENDING:
        word = next((flag for flag in _SHOWN_FLAGS if flag in record["state_flags"]), word)
    if word == states.CANCELLED and record["kill_requid"] is not None:
        return f"{word} by {record['kill_requid']}"
    return word


def exit_code(record: Record, view: View) -> str:
    if not is_step(record) and record["job_state"] in _ENDED_BEFORE_EXIT:
        return "0:0"
    return exit_text(record["exit_code"] or 0)


def derived_exit_code(record: Record, view: View) -> str:
    return exit_text(record["derived_exit_code"] or 0)


def reason(record: Record, view: View) -> str:
    """Why it waited, before it started: what ended it is no reason here."""
    word = record["state_reason"] or "None"
    return "None" if word in _END_REASONS else str(word)


# time


def _moment(epoch: int, view: View) -> str:
    return timefmt.clock(epoch, view.time_format, view.now)


def has_started(record: Record) -> bool:
    return bool(record["start_time"]) and record["job_state"] != states.PENDING  # a pending job's is a forecast


def has_ended(record: Record) -> bool:
    return record["job_state"] in states.FINAL


def start(record: Record, view: View) -> str:
    if has_started(record):
        return _moment(record["start_time"], view)
    return "None" if has_ended(record) else "Unknown"


def end(record: Record, view: View) -> str:
    if has_ended(record) and record["end_time"]:
        return _moment(record["end_time"], view)
    return "Unknown"


def _of_job_or_start(key: str) -> Text:
    """A step is submitted and eligible when it starts."""

    def text(record: Record, view: View) -> str:
        epoch = record["start_time"] if is_step(record) else record[key]
        return _moment(epoch, view) if epoch else "Unknown"

    return text


submit = _of_job_or_start("submit_time")
eligible = _of_job_or_start("eligible_time")


def seconds(key: str) -> Text:
    return lambda record, view: timefmt.duration(record[key] or 0)


def planned_cpu_seconds(record: Record) -> int:
    return int((record["planned"] or 0) * (record["required_cpus"] or 0))


def time_limit(record: Record, view: View) -> str:
    limit = record["time_limit"]
    if limit is None:
        return "Partition_Limit"
    return "UNLIMITED" if limit == UNLIMITED else timefmt.duration(limit * 60)


def time_limit_raw(record: Record, view: View) -> str:
    limit = record["time_limit"]
    if limit is None:
        return "Partition_Limit"
    return "UNLIMITED" if limit == UNLIMITED else str(limit)


# size


def nodes(record: Record, view: View) -> str:
    return record["nodes"] or "None assigned"


def required_memory(record: Record, view: View) -> str:
    mib = units.mebibytes_of(record["required_memory"])
    return record["required_memory"] if mib is None else units.amount(mib, units.MEGA, view.units)


def tres(key: str) -> Text:
    """cpu=2,mem=1000M,node=1 with memory in the caller's units, by name as the accounting lists them."""

    def text(record: Record, view: View) -> str | None:
        return tres_text(record[key], view.units)

    return text


def tres_text(value: str, shown: units.Units) -> str | None:
    if not value:
        return None
    pairs = [pair.partition("=") for pair in value.split(",")]
    # billing first of all, then as they are named
    pairs.sort(key=lambda pair: pair[0])
    return ",".join(name + equals + _in_units(name, count, shown) for name, equals, count in pairs)


def _in_units(name: str, count: str, shown: units.Units) -> str:
    mib = units.mebibytes_of(count) if name in ("mem", "vmem", "bb") else None
    return count if mib is None else units.amount(mib, units.MEGA, shown)


def exclusive(record: Record, view: View) -> str:
    """Who has its nodes to themselves: the job, which scontrol calls YES, is NODE here."""
    return "NODE" if record["exclusive"] == "YES" else str(record["exclusive"] or "NO")


# files


def standard_input(record: Record, view: View) -> str | None:
    if not record["batch_flag"]:
        return None
    return record["standard_input_given"] or "/dev/null"


def standard_output(record: Record, view: View) -> str | None:
    if not record["batch_flag"]:
        return None
    if view.expand_patterns:
        return str(record["standard_output"])
    return record["standard_output_given"] or ("slurm-%A_%a.out" if record["array_job_id"] else "slurm-%j.out")


def standard_error(record: Record, view: View) -> str | None:
    if not record["batch_flag"] or not record["standard_error_given"]:
        return None
    return str(record["standard_error"] if view.expand_patterns else record["standard_error_given"])


def flags(record: Record, view: View) -> str:
    words = [f"Sched{record['scheduler']}"] if record["scheduler"] else []
    return ",".join([*words, "StartReceived"])


def cpu_frequency(record: Record, view: View) -> str:
    """--cpu-freq is not offered here: what Slurm shows where nobody asked."""
    return "0" if record["step_id"] in ("batch", "extern", "interactive") else "Unknown"


def optional_number(key: str) -> Text:
    return lambda record, view: str(record[key]) if record[key] else None


def layout(record: Record, view: View) -> str:
    return "Unknown" if record["step_id"] in ("batch", "extern", "interactive") else record["distribution"] or "Unknown"
