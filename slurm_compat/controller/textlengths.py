"""How long the texts of a request may be, and how large its numbers: what one user writes, the controller keeps
in memory and shows to all.

Those of Slurm 26.05 where it has limits ("Pathname of a file, directory or other parameter too long"), roomy ones for
the rest. Script and environment are bounded elsewhere: they are kept in the store.
"""

from __future__ import annotations

from typing import Any

import msgspec

from slurm_compat.core.errors import BAD_ARGUMENT, PATHNAME_TOO_LONG, SlurmError
from slurm_compat.core.model import JobRequest, StepRequest

WORD, PATH, LIST = 1024, 4096, 128 << 10  # characters
WHOLE = 4 << 20  # of all arguments together, and of the line they were typed in
ENVIRONMENT = 16 << 20  # bytes
MOST_COMPONENTS = 128  # of a heterogeneous job

LIMITS = {
    **dict.fromkeys(
        (
            "name", "account", "partition", "qos", "wckey", "reservation", "comment", "admin_comment", "extra",
            "mcs_label", "network", "constraints", "prefer", "batch_features", "mail_user",
        ),
        WORD,
    ),
    **dict.fromkeys(
        ("current_working_directory", "standard_input", "standard_output", "standard_error", "array", "container"),
        PATH,
    ),
    "argv": WHOLE,
    "submit_line": WHOLE,
}  # fmt: skip

# what a number may be; the highest of a time limit is UNLIMITED, and dates are those that can be shown
NUMBER = (-(1 << 31), (1 << 32) - 1)
HELD = 1 << 63  # what the store has room for
DATE = (0, 253_402_300_799)  # to the end of 9999
MEMORY = (-1, 1 << 42)  # MiB
NUMBERS = {
    "umask": (0, 0o777),
    **dict.fromkeys(("begin_time", "deadline", "start_time", "end_time", "eligible_time"), DATE),
    **dict.fromkeys(("memory_per_node", "memory_per_cpu", "memory_per_gpu", "temporary_disk_per_node"), MEMORY),
}


def _fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(
        field.name for field in msgspec.structs.fields(struct) if field.name not in ("het_components", "environment")
    )


_REQUEST, _STEP = _fields(JobRequest), _fields(StepRequest)


def check_texts(request: JobRequest | StepRequest) -> None:
    """Raises SlurmError where a text is longer than it may be, or a number is none that anybody can mean."""
    for name in _REQUEST if isinstance(request, JobRequest) else _STEP:
        _check(name, getattr(request, name))


def check_changes(changes: dict[str, Any]) -> None:
    """The same of what is to be changed of a job; an update is refused so, too."""
    for name, value in changes.items():
        _check(name, value)


def check_numbers(job: object) -> None:
    """Of a job that was changed: what counted from what it had may have come to anything."""
    for name in ("time_limit", "nice", "priority", "fixed_priority", "begin_time", "deadline", "end_time"):
        _check(name, getattr(job, name, None))


def _check(name: str, value: Any) -> None:
    if isinstance(value, int):
        low, high = NUMBERS.get(name, NUMBER)
        if not low <= value <= high:
            raise SlurmError(BAD_ARGUMENT)
    elif value and _length(value) > LIMITS.get(name, LIST):
        raise SlurmError(PATHNAME_TOO_LONG)


def _length(value: Any) -> int:
    """Characters of a text, or of all texts in a list or table and a place for each.

    Raises SlurmError for a number in it that nothing can hold.
    """
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, (list, tuple)):
        return sum(_length(part) + 1 for part in value)
    if isinstance(value, int) and not -HELD <= value < HELD:
        raise SlurmError(BAD_ARGUMENT)
    return 0
