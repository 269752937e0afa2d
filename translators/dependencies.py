"""--dependency: the text as typed conditions, which the controller keeps (Armada has none).

Source: sbatch(1), --dependency; what is refused was observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from slurm_compat.core.errors import DEPENDENCY, NOT_SUPPORTED, SlurmError
from slurm_compat.core.model import Depend

KINDS = ("after", "afterany", "afterok", "afternotok", "aftercorr", "afterburstbuffer")
# kinds that need to know how the other ended: an unknown job can't be waited for
NEED_AN_END = frozenset({"afterok", "afternotok"})

_JOB = re.compile(r"\s*(?P<job>\d+)(?:_(?P<task>\d+|\*))?(?:\+(?P<delay>\d+))?", re.ASCII)


class Dependency(NamedTuple):
    terms: list[Depend]
    any_of: bool  # "?": one of the terms is enough


def parse(text: str) -> Dependency:
    """ "afterok:7:8,singleton" -> terms in order, each once. Raises SlurmError for what is no dependency."""
    if not text:
        return Dependency([], False)
    if text.isascii() and text.replace(",", "").isdigit():
        text = ",".join(f"afterany:{one}" for one in text.split(",") if one)  # the oldest form
    any_of = "?" in text
    if any_of and "," in text:
        raise SlurmError(DEPENDENCY)
    terms: dict[tuple[str, int, int | None], Depend] = {}
    for part in text.split("?" if any_of else ","):
        for term in _terms(part):
            terms.setdefault((term.kind, term.job_id, term.task_id), term)
    return Dependency(list(terms.values()), any_of)


def _terms(part: str) -> list[Depend]:
    word, colon, jobs = part.partition(":")
    kind = word.lower()
    if kind == "singleton" and not colon:
        return [Depend("singleton")]
    if kind == "expand":
        raise SlurmError(NOT_SUPPORTED)
    if kind not in KINDS or not jobs:
        raise SlurmError(DEPENDENCY)
    terms = []
    for job in jobs.split(":"):
        match = _JOB.fullmatch(job)
        if match is None or int(match["job"]) == 0:
            raise SlurmError(DEPENDENCY)
        task = None if match["task"] in (None, "*") else int(match["task"])
        terms.append(Depend(kind, int(match["job"]), task, int(match["delay"] or 0)))
    return terms


def same(one: Depend, other: Depend) -> bool:
    return (one.kind, one.job_id, one.task_id) == (other.kind, other.job_id, other.task_id)


def known_only(dependency: Dependency, known: Callable[[int, int | None], bool]) -> Dependency:
    """Without the jobs nobody knows any more: they ended long ago, and are waited for no longer.

    Raises SlurmError where it would matter how such a job ended.
    """
    kept = []
    for term in dependency.terms:
        if term.kind == "singleton" or known(term.job_id, term.task_id):
            kept.append(term)
        elif term.kind in NEED_AN_END:
            raise SlurmError(DEPENDENCY)
        elif dependency.any_of:
            return Dependency([], True)  # one condition is met, which is enough
    return Dependency(kept, dependency.any_of)
