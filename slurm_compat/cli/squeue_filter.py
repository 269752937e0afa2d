"""Which jobs and steps squeue shows. Each filter of the command line becomes one test of a row.

Source: squeue(1); observed on 26.05.
"""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from slurm_compat.cli.squeue_options import Asked
from slurm_compat.core import states, taskids
from slurm_compat.core.errors import BadValue
from slurm_compat.core.hostlist import expand
from slurm_compat.core.jobid import JobExpression

Row = list[Any]
Test = Callable[[Row], bool]

NO_LIMIT_ID = 1 << 31  # above every task id
DEFAULT_STATES = [
    states.PENDING,
    states.RUNNING,
    states.SUSPENDED,
    states.COMPLETING,
    states.STAGE_OUT,
    states.SIGNALING,
]


def user_ids(asked: Asked, uid: int, error: Callable[[str], None]) -> list[int] | None:
    """The users asked for; None for all. Names nobody has are told and left out."""
    if "me" in asked.flags and asked.own:
        return [uid]
    names = asked.names("u")
    if names is None:
        return None
    found = []
    for name in names:
        if name.isascii() and name.isdigit():
            found.append(int(name))
            continue
        try:
            found.append(pwd.getpwnam(name).pw_uid)
        except (KeyError, ValueError):
            error(f"Invalid user: {name}\n")
    return found


def shown_by_default(state: str, flags: Sequence[str]) -> bool:
    return state in (states.PENDING, states.RUNNING, states.SUSPENDED) or states.COMPLETING in flags


def in_states(wanted: Iterable[str]) -> Callable[[str, Sequence[str]], bool]:
    """A flag matches every job that has it; a base state only jobs that have no flag beside it."""
    names = frozenset(wanted)

    def test(state: str, flags: Sequence[str]) -> bool:
        if flags:
            return not names.isdisjoint(flags)
        return state in names

    return test


def job_tests(
    asked: Asked, users: list[int] | None, uid: int, nodes: set[str] | None
) -> list[tuple[tuple[str, ...], Callable[..., bool]]]:
    """(fields, test of their values) for each filter given."""
    tests: list[tuple[tuple[str, ...], Callable[..., bool]]] = []
    if asked.states is None:
        tests.append((("job_state", "state_flags"), shown_by_default))
    elif asked.states:
        tests.append((("job_state", "state_flags"), in_states(asked.states)))
    if users is not None:
        tests.append((("user_id",), frozenset(users).__contains__))
    if "notme" in asked.flags and asked.own:
        tests.append((("user_id",), lambda user: user != uid))
    for key, field in (("A", "account"), ("n", "name"), ("q", "qos")):
        if (names := asked.names(key)) is not None:
            tests.append(((field,), _one_of(names)))
    # a job may be in the line of several
    for key, field in (("p", "partition"), ("R", "resv_name")):
        if (names := asked.names(key)) is not None:
            tests.append(((field,), _some_of(names)))
    if (names := asked.names("L")) is not None:
        licenses = frozenset(names)
        tests.append((("licenses", "licenses_allocated"), lambda *texts: any(_licenses(t) & licenses for t in texts)))
    if nodes is not None:
        tests.append((("nodes",), lambda value: not nodes.isdisjoint(hosts(value))))
    if asked.running_over is not None:
        over = asked.running_over
        tests.append((("run_time", "job_state"), lambda used, state: state == states.RUNNING and used > over))
    if asked.running_under is not None:
        under = asked.running_under
        tests.append((("run_time", "job_state"), lambda used, state: state == states.RUNNING and used < under))
    return tests


def _some_of(names: Iterable[str]) -> Callable[[str], bool]:
    """Of "a,b" one is enough."""
    wanted = frozenset(names)
    return lambda value: not wanted.isdisjoint(value.split(","))


def step_tests(
    asked: Asked, users: list[int] | None, nodes: set[str] | None
) -> list[tuple[tuple[str, ...], Callable[..., bool]]]:
    """Steps know only of users, partitions, nodes and ids; the other filters are for jobs."""
    tests: list[tuple[tuple[str, ...], Callable[..., bool]]] = []
    if users is not None:
        tests.append((("user_id",), frozenset(users).__contains__))
    if (names := asked.names("p")) is not None:
        tests.append((("partition",), frozenset(names).__contains__))
    if nodes is not None:
        tests.append((("nodes",), lambda value: not nodes.isdisjoint(hosts(value))))
    ids = ("job_id", "array_job_id", "array_task_id", "step_id")
    if (jobs := asked.jobs) is not None:
        tests.append((ids, lambda job, array, task, step: any(_named(e, job, array, task) for e in jobs)))
    if (steps := asked.steps) is not None:
        tests.append(
            (ids, lambda job, array, task, step: any(n == step and _named(e, job, array, task) for e, n in steps))
        )
    return tests


def compiled(tests: Sequence[tuple[tuple[str, ...], Callable[..., bool]]], positions: Mapping[str, int]) -> Test:
    """All of the tests as one function of a row."""
    names: dict[str, Any] = {f"test{number}": test for number, (_, test) in enumerate(tests)}
    calls = []
    for number, (fields, _) in enumerate(tests):
        arguments = ", ".join(f"row[{positions[field]}]" for field in fields)
        calls.append(f"test{number}({arguments})")
    function: Test = eval(f"lambda row: {' and '.join(calls) or 'True'}", names)
    return function


def _one_of(names: Sequence[str]) -> Callable[[str], bool]:
    """In any case."""
    wanted = frozenset(name.lower() for name in names)
    return lambda value: value.lower() in wanted


def _licenses(text: str) -> set[str]:
    """The names of "matlab:2,fluent@server:1"."""
    return {part.partition(":")[0].partition("@")[0] for part in text.replace("|", ",").split(",")}


def hosts(nodes: str) -> list[str]:
    with contextlib.suppress(BadValue):
        return expand(nodes)
    return []


def _named(expression: JobExpression, job_id: int, array_job_id: int, task: int | None) -> bool:
    """Does the id name this job or step?"""
    if expression.tasks:
        return array_job_id == expression.job_id and task is not None and expression.has_task(task)
    return expression.job_id in (job_id, array_job_id)


def chosen(
    jobs: Sequence[JobExpression],
    job_id: int,
    array_job_id: int,
    task: int | None,
    waiting: str,
    het: int,
    offset: int,
    sluid: str,
) -> str | None:
    """Of a job's row, what the ids name: None nothing, "" all of it, else the tasks that the record shows then."""
    some: set[int] = set()
    for expression in jobs:
        if expression.sluid:
            if expression.sluid == sluid:
                return ""
        elif not expression.tasks:
            if expression.job_id in (job_id, array_job_id):
                return ""
            if het and expression.job_id == het and expression.offset in (None, offset):
                return ""
        elif array_job_id == expression.job_id:
            if task is not None:
                if expression.has_task(task):
                    return ""
            elif waiting:
                number = expression.task
                if number is not None and taskids.contains(taskids.parse(waiting, NO_LIMIT_ID).ranges, number):
                    some.add(number)
    return taskids.show(sorted(some)) if some else None
