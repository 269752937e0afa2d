"""squeue -S: which letters sort by what.

Keys are applied from the last to the first, each sort being stable, so that the first decides. Rows come newest first,
as the real command shows jobs that no key tells apart. Source: squeue(1), --sort; observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from slurm_compat.cli.squeue_values import memory_of, state_text
from slurm_compat.core.errors import CommandError
from slurm_compat.core.hostlist import expand
from slurm_compat.core.states import compact_state

JOB_DEFAULT = "P,t,-p"
STEP_DEFAULT = "P,i"
START_DEFAULT = "S"

LAST = 1 << 40  # where what has no number sorts
_STEP_ORDER = {"interactive": LAST, "batch": LAST + 1, "extern": LAST + 2, "TBD": LAST + 3}

Row = list[Any]


class SortKey(NamedTuple):
    fields: tuple[str, ...]
    value: Callable[..., Any]
    turns: bool = False  # rows that have no value are turned round


def _same(value: Any) -> Any:
    return value


def _number(value: int | None) -> int:
    return LAST if value is None else value


def _moment(epoch: int) -> int:
    return epoch or LAST


def _id(job_id: int, array_job_id: int, task: int | None, het_job_id: int, offset: int) -> tuple[int, int, int]:
    return (array_job_id or het_job_id or job_id, _number(task) if array_job_id else offset, job_id)


def _nodes(nodes: str) -> str:
    return expand(nodes)[0] if nodes else ""


def _left(limit: int, used: int) -> int:
    return limit * 60 - used


def _shape(sockets: int | None, cores: int | None, threads: int | None) -> tuple[int, int, int]:
    return (sockets or 0, cores or 0, threads or 0)


def _zero(value: int | None) -> int:
    return value or 0


JOB_KEYS: dict[str, SortKey] = {
    "B": SortKey(("batch_host",), _same),
    "c": SortKey(("minimum_cpus_per_node",), _same),
    "C": SortKey(("cpus",), _same),
    "d": SortKey(("minimum_tmp_disk_per_node",), _same),
    "D": SortKey(("node_count",), _same),
    "e": SortKey(("end_time",), _same),
    "f": SortKey(("features",), _same),
    "g": SortKey(("group_name",), _same),
    "G": SortKey(("group_id",), _same),
    "h": SortKey(("shared",), _same),
    "H": SortKey(("sockets_per_node",), _zero),
    "i": SortKey(("job_id", "array_job_id", "array_task_id", "het_job_id", "het_job_offset"), _id),
    "I": SortKey(("cores_per_socket",), _zero),
    "j": SortKey(("name",), _same),
    "J": SortKey(("threads_per_core",), _zero),
    "l": SortKey(("time_limit",), _same),
    "L": SortKey(("time_limit", "run_time"), _left),
    "m": SortKey(("memory_per_node", "memory_per_cpu", "memory_per_tres"), memory_of),
    "M": SortKey(("run_time",), _same),
    "n": SortKey(("required_nodes",), _nodes),
    "N": SortKey(("nodes",), _nodes, turns=True),
    "O": SortKey(("contiguous",), _same),
    "p": SortKey(("priority",), _same),
    "P": SortKey(("partition",), _same),
    "Q": SortKey(("priority",), _same),
    "S": SortKey(("start_time",), _moment, turns=True),
    "t": SortKey(("job_state", "state_flags"), compact_state),
    "T": SortKey(("job_state", "state_flags"), state_text),
    "u": SortKey(("user_name",), _same),
    "U": SortKey(("user_id",), _same),
    "v": SortKey(("resv_name",), _same),
    "V": SortKey(("submit_time",), _same),
    "z": SortKey(("sockets_per_node", "cores_per_socket", "threads_per_core"), _shape),
}

STEP_KEYS: dict[str, SortKey] = {
    "i": SortKey(
        ("job_id", "array_job_id", "array_task_id", "step_id"),
        lambda job, array, task, step: (
            array or job, _number(task), job, int(step) if step.isdigit() else _STEP_ORDER.get(step, LAST)
        ),
    ),
    "l": SortKey(("time_limit",), _same),
    "M": SortKey(("run_time",), _same),
    "N": SortKey(("nodes",), _nodes),
    "P": SortKey(("partition",), _same),
    "S": SortKey(("start_time",), _moment),
    "u": SortKey(("user_name",), _same),
    "U": SortKey(("user_id",), _same),
}  # fmt: skip


def keys_of(
    text: str, table: Mapping[str, SortKey], strict: bool, say: Callable[[str], None]
) -> list[tuple[SortKey, bool]]:
    """(key, downwards) in the order in which they are to be applied: from the last letter to the first.

    `strict`: a letter without a key is an error, else it does nothing. Raises CommandError naming it.
    """
    text = text.replace("cluster", "")  # one cluster: all its jobs are alike
    keys = []
    for index in range(len(text) - 1, -1, -1):
        letter = text[index]
        if letter in "+-,":
            continue
        if letter == "b":
            say("Invalid sort specification: b")
        elif letter in table:
            keys.append((table[letter], index > 0 and text[index - 1] == "-"))
        elif strict:
            raise CommandError(f"squeue: error: Invalid sort specification: {letter}")
    return keys


def fields_of(keys: Sequence[tuple[SortKey, bool]]) -> list[str]:
    return [name for key, _ in keys for name in key.fields]


def sort(rows: list[Row], keys: Sequence[tuple[SortKey, bool]], positions: Mapping[str, int]) -> None:
    """In place. `positions`: where a row has each field."""
    for key, downwards in keys:
        if key.turns and not (downwards and key is JOB_KEYS["N"]):
            # of two that have neither time nor nodes the real one's comparison puts the second first
            place = positions[key.fields[0]]
            rows[:] = [row for row in rows if row[place]] + [row for row in reversed(rows) if not row[place]]
        places = [positions[name] for name in key.fields]
        value = key.value
        if len(places) == 1:
            place = places[0]
            rows.sort(key=lambda row, v=value, p=place: v(row[p]), reverse=downwards)  # type: ignore[misc]
        else:
            rows.sort(key=lambda row, v=value, p=places: v(*[row[i] for i in p]), reverse=downwards)  # type: ignore[misc]
