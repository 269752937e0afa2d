"""Job and step ids as users write them: 123, 123_4, 123_[1-3,7], 123+1, 123.0, 123.batch, 123_4.extern.

Source: scontrol(1), scancel(1), sacct(1), squeue(1); observed on 26.05.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from slurm_compat.core import taskids
from slurm_compat.core.errors import BadValue

NO_VAL = 0xFFFFFFFE
NAMED_STEPS = ("batch", "extern", "interactive", "TBD")

_SLUID = re.compile(r"s[0-9A-HJKMNP-TV-Z]{13}")
_EXPRESSION = re.compile(
    r"\s*\+?(?P<job>\d+)(?:_(?:(?P<task>\d+)|\[(?P<tasks>[^\[\]]*)\]|(?P<all>\*))|\+(?P<offset>\d+))?"
    r"(?:\.(?P<step>\w+)(?:\+(?P<component>\d+))?)?",
    re.ASCII,
)


class JobExpression(NamedTuple):
    """What an id names. Without a task, offset or step: the whole job, or the whole array."""

    job_id: int  # 0 when `sluid` names the job
    tasks: tuple[tuple[int, int, int], ...] = ()  # ranges (first, last, step); () is all
    offset: int | None = None  # component of a heterogeneous job
    step: str = ""  # "0", "batch", "extern", "interactive"
    sluid: str = ""

    @property
    def task(self) -> int | None:
        """The one task it names; None for none or several."""
        if len(self.tasks) == 1 and self.tasks[0][0] == self.tasks[0][1]:
            return self.tasks[0][0]
        return None

    def has_task(self, task: int) -> bool:
        return not self.tasks or taskids.contains(self.tasks, task)


def parse(text: str, most: float = NO_VAL - 1) -> JobExpression:
    """The id `text` is. Raises BadValue for everything that is none, job 0 and those above `most` included."""
    name, dot, step = text.partition(".")
    if is_sluid(name):
        if dot and not _is_step(step):
            raise BadValue(text)
        return JobExpression(0, step=step, sluid=name)
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise BadValue(text)
    job_id = int(match["job"])
    step = match["step"] or ""
    if not 0 < job_id <= most or (step and not _is_step(step)):
        raise BadValue(text)
    tasks: tuple[tuple[int, int, int], ...] = ()
    if match["task"]:
        number = int(match["task"])
        tasks = ((number, number, 1),)
    elif match["tasks"] is not None:
        if "%" in match["tasks"] or "]" in match["tasks"]:
            raise BadValue(text)
        tasks = tuple(taskids.parse(match["tasks"], NO_VAL).ranges)
    offset = int(match["offset"]) if match["offset"] else None
    return JobExpression(job_id, tasks, offset, str(int(step)) if step.isdigit() else step)


def is_sluid(text: str) -> bool:
    return _SLUID.fullmatch(text) is not None


def _is_step(text: str) -> bool:
    return text.isascii() and (text.isdigit() or text in NAMED_STEPS)


def show(expression: JobExpression) -> str:
    """The id as Slurm prints it: 123_4.batch, 123_[1-3]."""
    text = expression.sluid or str(expression.job_id)
    if expression.task is not None:
        text += f"_{expression.task}"
    elif expression.tasks:
        text += f"_[{taskids.show_ranges(list(expression.tasks))}]"
    elif expression.offset is not None:
        text += f"+{expression.offset}"
    return f"{text}.{expression.step}" if expression.step else text


def job_name(job_id: int, array_job_id: int, array_task_id: int | None, het_job_id: int = 0, offset: int = 0) -> str:
    """The id a user knows one job by: 123, 123_4 or 123+1."""
    if array_job_id and array_task_id is not None:
        return f"{array_job_id}_{array_task_id}"
    if het_job_id:
        return f"{het_job_id}+{offset}"
    return str(job_id)
