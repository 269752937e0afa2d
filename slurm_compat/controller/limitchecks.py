"""What each kind of rule compares: a job's wants with what its holder has, has used, or may still use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from slurm_compat.controller.consumption import WALL
from slurm_compat.controller.limitrules import (
    HELD,
    JOB,
    JOB_TIME,
    JOBS,
    LEAST,
    NODE,
    PROMISED,
    TIME,
    USED,
    WALL_USED,
    Rule,
)
from slurm_compat.controller.tally import FOREVER, Bucket, Tally
from slurm_compat.core.model import UNLIMITED
from slurm_compat.translators.shapes import Shape


class Wanted(NamedTuple):
    """What a job asks for. `per_node`: of its fullest node; `time_limit` in minutes."""

    tres: Mapping[str, int]
    per_node: Mapping[str, int]
    time_limit: int
    factor: float = 1.0  # of the QOS, where UsageFactorSafe lets it count

    @property
    def minutes(self) -> float:
        whole = FOREVER // 60 if self.time_limit == UNLIMITED else self.time_limit
        return whole * self.factor


def fullest(shape: Shape) -> dict[str, int]:
    """What the fullest of a job's nodes gives, TRES by TRES."""
    most: dict[str, int] = {}
    for member in shape.members:
        for name, amount in (("cpu", member.cpus), ("mem", member.memory_mib), ("gres/gpu", member.gpus)):
            most[name] = max(most.get(name, 0), amount)
    return most


class Figures(Protocol):
    """What there is to compare with. `safe`: jobs must be able to end within limits on minutes."""

    tally: Tally
    safe: bool
    now: Callable[[], int]

    def used(self, bucket: Bucket) -> Mapping[str, float]: ...

    def usage_factor(self, name: str) -> float: ...


# what a rule asks: True while the job may start

Holds = Callable[[Figures, Rule, Wanted], bool]


def _minutes_used(figures: Figures, rule: Rule, name: str) -> float:
    return figures.used(rule.bucket).get(name, 0.0) / 60


def _minutes_promised(figures: Figures, rule: Rule) -> float:
    factor = figures.usage_factor(str(rule.bucket[1])) if rule.of_qos else 1.0
    return figures.tally.of(rule.bucket).promised(rule.tres, figures.now()) / 60 * factor


def _wall_used(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    return _minutes_used(figures, rule, WALL) < rule.most


def _jobs(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    return figures.tally.of(rule.bucket).jobs < rule.most


def _time(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    return wanted.time_limit <= rule.most


def _used(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    """Enough is left to begin; with `safe`, to end as well, after all that runs."""
    used = _minutes_used(figures, rule, rule.tres)
    if not figures.safe:
        return used < rule.most
    return used + _minutes_promised(figures, rule) + wanted.tres.get(rule.tres, 0) * wanted.minutes <= rule.most


def _held(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    return figures.tally.of(rule.bucket).used(rule.tres) + wanted.tres.get(rule.tres, 0) <= rule.most


def _promised(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    return _minutes_promised(figures, rule) + wanted.tres.get(rule.tres, 0) * wanted.minutes <= rule.most


def _job_time(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    return wanted.tres.get(rule.tres, 0) * wanted.minutes <= rule.most


def _job(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    return wanted.tres.get(rule.tres, 0) <= rule.most


def _node(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    return wanted.per_node.get(rule.tres, 0) <= rule.most


def _least(figures: Figures, rule: Rule, wanted: Wanted) -> bool:
    return wanted.tres.get(rule.tres, 0) >= rule.most


HOLDS: dict[str, Holds] = {
    WALL_USED: _wall_used, JOBS: _jobs, TIME: _time, USED: _used, HELD: _held, PROMISED: _promised,
    JOB_TIME: _job_time, JOB: _job, NODE: _node, LEAST: _least,
}  # fmt: skip
# the same of a job alone: what could never hold, however little others have
ALONE: dict[str, Holds] = {
    TIME: _time, USED: _job_time, HELD: _job, PROMISED: _job_time, JOB_TIME: _job_time, JOB: _job, NODE: _node,
    LEAST: _least,
}  # fmt: skip
