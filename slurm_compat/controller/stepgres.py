"""GPUs of a step among those of its job. A node's GPUs are a text "gpu:a100:2(IDX:0-1)", several kinds by comma."""

from __future__ import annotations

import re
from collections.abc import Sequence

from slurm_compat.core import errors
from slurm_compat.core.cpulist import cpu_numbers, cpu_text
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import StepRequest

_HELD = re.compile(r"gpu(?::([^:,(]+))?:(\d+)(?:\([^)]*IDX:([\d,-]*)\))?")
_ASKED = re.compile(r"(?:gres[:/])?gpu(?:[:/]([a-zA-Z_][\w.-]*))?(?:[:=](\d+))?$|^(?:([a-zA-Z_][\w.-]*)[:=])?(\d+)$")

Held = list[tuple[str, list[int]]]  # type, indices


def held(text: str) -> Held:
    found: Held = []
    for kind, count, indices in _HELD.findall(text):
        found.append((kind, cpu_numbers(indices) if indices else list(range(int(count)))))
    return found


def shown(gpus: Held) -> str:
    parts = []
    for kind, indices in gpus:
        if indices:
            parts.append(f"gpu:{kind + ':' if kind else ''}{len(indices)}(IDX:{cpu_text(indices)})")
    return ",".join(parts)


def without(text: str, taken: str) -> str:
    """What is left of a node's GPUs."""
    if not taken:
        return text
    gone = {index for _, indices in held(taken) for index in indices}
    return shown([(kind, [index for index in indices if index not in gone]) for kind, indices in held(text)])


def _asked(text: str) -> tuple[str, int]:
    """Type ("" any) and count of "2", "a100:2", "gpu:a100:2", "gpu". Several by comma are added up."""
    kind, total = "", 0
    for part in text.split(","):
        match = _ASKED.match(part.split("(")[0])
        if match is None:
            raise SlurmError(errors.INVALID_GRES)
        kind = match[1] or match[3] or kind
        total += int(match[2] or match[4] or 1)
    return kind, total


def _per_node(request: StepRequest, tasks: Sequence[int]) -> tuple[str, list[int]] | None:
    """Type and count for each node of the step; None: all that the job has there."""
    nodes = len(tasks)
    if "none" in (request.gres.lower(), request.gpus.lower()):
        return "", [0] * nodes
    if text := request.gres or request.gpus_per_node:
        kind, count = _asked(text)
        return kind, [count] * nodes
    if request.gpus_per_task:
        kind, count = _asked(request.gpus_per_task)
        return kind, [count * number for number in tasks]
    if request.gpus:
        kind, count = _asked(request.gpus)
        return kind, [count // nodes + (place < count % nodes) for place in range(nodes)]
    return None


def check(nodes: Sequence[str], request: StepRequest) -> None:
    """Raises SlurmError when the job has no such GPUs, or too few, whoever uses them."""
    needs = _per_node(request, [1] * len(nodes))
    if needs is None:
        return
    kind, counts = needs
    owned = [sum(len(ids) for own, ids in held(text) if kind in ("", own)) for text in nodes]
    spread = bool(request.gpus and not (request.gres or request.gpus_per_node or request.gpus_per_task))
    if (spread and sum(counts) > sum(owned)) or (not spread and min(counts) > max(owned)):
        raise SlurmError(errors.INVALID_GRES)


def share(nodes: Sequence[str], request: StepRequest, tasks: Sequence[int]) -> list[str]:
    """Each node's GPUs for the step, of what is free there. Raises SlurmError NODES_BUSY when others hold them."""
    needs = _per_node(request, tasks)
    if needs is None:
        return [shown(held(text)) for text in nodes]
    kind, counts = needs
    given = []
    for text, count in zip(nodes, counts, strict=True):
        left = count
        own: Held = []
        for name, indices in held(text):
            if kind in ("", name) and left:
                own.append((name, indices[:left]))
                left -= len(indices[:left])
        if left:
            raise SlurmError(errors.NODES_BUSY)
        given.append(shown(own))
    return given
