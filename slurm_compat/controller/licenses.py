"""Licences: what the cluster has, what a job asks for, what is taken.

Source: sbatch(1), --licenses; observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Mapping

from slurm_compat.core.errors import INVALID_LICENSES, BadValue, SlurmError

Counts = dict[str, int]


def configured(text: str) -> Counts:
    """Licenses of the cluster file: "matlab:10,ansys" -> {"matlab": 10, "ansys": 1}. Raises BadValue."""
    try:
        return {name: number for name, number in map(_count, filter(None, text.split(",")))}
    except ValueError:
        raise BadValue(f"Licenses: {text}") from None


def asked(text: str, there: Mapping[str, int]) -> list[Counts]:
    """The alternatives of a --licenses text: "matlab:2,ansys" is one, "matlab:1|ansys:1" two.

    Raises SlurmError for names nobody has, and for more than there are.
    """
    alternatives = []
    for alternative in text.split("|") if text else []:
        counts: Counts = {}
        for part in filter(None, alternative.replace(";", ",").split(",")):
            try:
                name, number = _count(part)
            except ValueError:
                raise SlurmError(INVALID_LICENSES) from None
            counts[name] = counts.get(name, 0) + number
        if any(name not in there or number > there[name] for name, number in counts.items()):
            raise SlurmError(INVALID_LICENSES)
        alternatives.append(counts)
    return alternatives


def available(text: str, there: Mapping[str, int], used: Mapping[str, int]) -> Counts | None:
    """The first alternative that can be had now; None when none can. A text of a job that was accepted."""
    try:
        alternatives = asked(text, there)
    except SlurmError:
        return None
    for counts in alternatives:
        if all(used.get(name, 0) + number <= there[name] for name, number in counts.items()):
            return counts
    return None if alternatives else {}


def _count(part: str) -> tuple[str, int]:
    name, _, number = part.strip().replace("=", ":").partition(":")
    if not name or not (number.isdigit() or not number):
        raise ValueError(part)
    return name, int(number or 1)
