"""File name patterns of --output, --error and --input: %j, %A, %a, %N and their kin.

What a symbol stands for arrives as a mapping from its letter to a text, so that the controller expands what it knows
when it shows a job, and the agent expands the same pattern when it opens the file. A symbol whose value is None is not
known yet and shows as "(null)", as Slurm's controller shows %N of a pending job. Standard library only.
Source: sbatch(1), filename pattern; widths, backslashes and odd ends as observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NO_TASK = 4294967294  # what %a is in a job that is no array's task
MAX_WIDTH = 10  # a wider zero padding than this is cut to it
ZERO_PADDED = frozenset("AabJjnst")  # a width pads these, where their value is a number; the others ignore it

DEFAULT_OUTPUT = "slurm-%j.out"
DEFAULT_ARRAY_OUTPUT = "slurm-%A_%a.out"

# a symbol, an escaped percent sign, a width that no letter follows, a lone percent sign at the end
_SYMBOL = re.compile(r"%(\d*)([AabJjNnstux])|%%|%\d+%|%\Z")


def expand(pattern: str, values: Mapping[str, str | None]) -> str:
    """The file name that `pattern` stands for. Symbols that `values` has no key for stay as they are written.

    A backslash anywhere takes every symbol's meaning away, and all backslashes are dropped.
    """
    if "\\" in pattern:
        return pattern.replace("\\", "")

    def value(symbol: re.Match[str]) -> str:
        width, letter = symbol[1], symbol[2]
        if letter is None:
            return {"%%": "%", "%": ""}.get(symbol[0], symbol[0])
        if letter not in values:
            return symbol[0]
        text = values[letter]
        if text is None:
            return "(null)"
        if width and letter in ZERO_PADDED and text.isdigit():
            return text.zfill(min(int(width[:3]), MAX_WIDTH))
        return text

    return _SYMBOL.sub(value, pattern)


def job_values(job: Mapping[str, Any], node: str | None = None) -> dict[str, str | None]:
    """What the symbols stand for in a batch script's files. `job`: JOB_FIELDS; `node` where it runs, None: pending."""
    task = job.get("array_task_id")
    task = NO_TASK if task is None else int(task)
    job_id = str(job["job_id"])
    return {
        "A": str(job.get("array_job_id") or job_id),
        "a": str(task),
        "b": str(task % 10),
        "J": job_id,
        "j": job_id,
        "N": node,
        "n": "0",
        "s": "batch",
        "t": "0",
        "u": str(job.get("user_name", "")),
        "x": str(job.get("name", "")),
    }


def step_values(
    job: Mapping[str, Any], step_id: str, node: str, node_rank: int = 0, task: int = 0
) -> dict[str, str | None]:
    """What they stand for in the files of one task of a step."""
    return job_values(job, node) | {
        "J": f"{job['job_id']}.{step_id}",
        "a": str(job.get("array_task_id") or 0),
        "n": str(node_rank),
        "s": step_id,
        "t": str(task),
    }


def default_output(job: Mapping[str, Any]) -> str:
    """The pattern that counts when --output was not given."""
    return DEFAULT_ARRAY_OUTPUT if job.get("array_job_id") else DEFAULT_OUTPUT
