"""How long the texts of a request may be: what one user writes, the controller keeps in memory and shows to all.

Those of Slurm 26.05 where it has limits ("Pathname of a file, directory or other parameter too long"), roomy ones for
the rest. Script and environment are bounded elsewhere: they are kept in the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from slurm_compat.core.model import JobRequest

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

_FIELDS = tuple(field.name for field in msgspec.structs.fields(JobRequest) if field.name != "het_components")


def too_long(request: JobRequest) -> bool:
    """Whether one of its texts is longer than it may be."""
    return any(_length(getattr(request, name)) > LIMITS.get(name, LIST) for name in _FIELDS)


def changes_too_long(changes: dict[str, Any]) -> bool:
    """The same of what is to be changed of a job; an update is refused so, too."""
    return any(_length(value) > LIMITS.get(name, LIST) for name, value in changes.items())


def _length(value: Any) -> int:
    """Characters of a text, or of all texts in a list or table and a place for each."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, Iterable):
        return sum(_length(part) + 1 for part in value)
    return 0
