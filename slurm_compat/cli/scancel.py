"""scancel: end jobs and steps, or send them a signal.

Two ways, as in the real command, which tells them apart in its words and exit codes. Ids alone go straight to the
controller, and jobs that are unknown or have ended already are no error. With filters, signals, steps or -i the jobs
are looked up first, and an id that names no active job is one. Source: scancel(1); observed on 26.05.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from slurm_compat import SLURM_VERSION
from slurm_compat.cli import scancel_options, squeue_values
from slurm_compat.cli.clusters import require_own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import ControllerDown
from slurm_compat.cli.scancel_options import Asked
from slurm_compat.cli.squeue_filter import NO_LIMIT_ID, hosts
from slurm_compat.core import states, taskids
from slurm_compat.core.errors import (
    ALREADY_DONE,
    INVALID_JOB_ID,
    TEXT,
    TRANSITION_STATE_NO_UPDATE,
    CommandError,
    SlurmError,
)
from slurm_compat.core.jobid import NO_VAL, JobExpression, job_name

NOT_FEDERATED = (191, "Not a valid federated job")  # exit code, words
RETRIES = 10  # of a job that can't be signalled in the state it is in
FIRST_PAUSE = 5.0  # seconds before the first retry; each further one waits a second longer

FIELDS = [
    "job_id", "array_job_id", "array_task_id", "array_task_string", "array_max_tasks", "name", "user_id", "account",
    "partition", "qos", "resv_name", "wckey", "nodes", "job_state",
]  # fmt: skip


class Active(NamedTuple):
    """A job that has not ended; an array's record is one."""

    job_id: int
    array_job_id: int
    array_task_id: int | None
    array_task_string: str
    array_max_tasks: int
    name: str
    user_id: int
    account: str
    partition: str
    qos: str
    resv_name: str
    wckey: str
    nodes: str
    job_state: str


class Target(NamedTuple):
    """What the controller is asked to end, and what a message calls it."""

    text: str
    shown: str
    job: Active | None = None
    step: str = ""


def main(ctx: Context) -> int:
    asked = scancel_options.asked_of(ctx.argv[1:], ctx.env, ctx.uid)
    if asked.answer:
        for line in _ANSWERS[asked.answer]():
            ctx.out(line)
        return 0
    for text in asked.warnings:
        ctx.error(text)
    if asked.verbose > 2:
        for line in scancel_options.settings_text(asked):
            ctx.err(f"scancel: {line}")
    if (clusters := asked.values.get("M")) is not None:
        require_own_cluster(ctx, clusters)
    try:
        return Cancelling(ctx, asked).run()
    except SlurmError as problem:
        ctx.error(problem.text)
        return problem.number & 0xFF


class Cancelling:
    def __init__(self, ctx: Context, asked: Asked) -> None:
        self.ctx = ctx
        self.asked = asked
        self.code = 0
        self.at_once = "ctld" in asked.flags or "M" in asked.values  # -M implies --ctld

    def run(self) -> int:
        asked = self.asked
        signalled = asked.signal is not None or asked.flags & {"b", "f"}
        steps = any(expression.step for _, expression in asked.targets)
        if "sibling" in asked.values:
            return self._siblings()
        looked = bool(asked.filtered or "i" in asked.flags or steps or (signalled and not self.at_once))
        if self._set_apart(quietly=not looked and not self.at_once) and not asked.targets:
            return self.code
        if looked:
            wanted = self._looked_up()
        else:
            wanted = [Target(*pair) for pair in ((_plain(e), text) for text, e in asked.targets)]
            self.at_once_or_told(wanted)
            # unknown and ended jobs are no error here, and only -v tells of them
            self._send(wanted, quiet=(INVALID_JOB_ID, ALREADY_DONE))
            return self.code
        if "i" in asked.flags:
            wanted = [target for target in wanted if self._confirmed(target)]
        self.at_once_or_told(wanted)
        self._send(wanted)
        return self.code

    def _set_apart(self, quietly: bool) -> bool:
        """Whether there are ids above all that a job can have: they are of no job, and told apart from the others."""
        far = [(text, expression) for text, expression in self.asked.targets if expression.job_id >= NO_VAL]
        self.asked.targets = [pair for pair in self.asked.targets if pair not in far]
        for text, expression in far:
            if not quietly:
                step = f".{expression.step}" if expression.step else ""
                self._unknown(f"{expression.job_id & 0xFFFFFFFF}{step}", expression)
            elif self.asked.verbose > 0:
                self.ctx.err(f"scancel: Terminating job {text}")
                self.ctx.error(f"Kill job error on job id {text}: {TEXT[INVALID_JOB_ID]}")
        return bool(far)

    def at_once_or_told(self, wanted: Iterable[Target]) -> None:
        """-v names each target before it is asked for, unless all go in one request."""
        if self.asked.verbose < 1 or (self.at_once and "i" not in self.asked.flags):
            return
        number = self.asked.signal
        scope = "full " if "f" in self.asked.flags else "batch " if "b" in self.asked.flags else ""
        for target in wanted:
            if target.step:
                what = f"step {target.shown}"
            else:
                what = f"{scope}job {target.shown}"
            self.ctx.err(f"scancel: Terminating {what}" if number is None else f"scancel: Signal {number} to {what}")

    def _siblings(self) -> int:
        for text, expression in self.asked.targets:
            if self._rows([expression]):
                self._refused(f"job id {text}", *NOT_FEDERATED)
        return self.code

    # looking up

    def _looked_up(self) -> list[Target]:
        """The active jobs that the ids and filters leave, each once for every id that names it."""
        asked = self.asked
        jobs = self._rows([expression for _, expression in asked.targets])
        found: list[Target] = []
        if not asked.targets:
            found = [_record_target(job, self._shown(job)) for job in jobs if self._matches(job)]
        by_id: dict[int, list[Active]] = {}
        for job in jobs:
            for number in {job.job_id, job.array_job_id} - {0}:
                by_id.setdefault(number, []).append(job)
        for text, expression in asked.targets:
            named = _named(expression, by_id.get(expression.job_id, []))
            if not named:
                self._unknown(text, expression)
                continue
            for job in named:
                if self._matches(job):
                    found.append(self._target(text, expression, job))
        if not found and asked.filtered and asked.verbose > 0:
            told = [f"{name}={asked.values[key]} " for key, name in scancel_options.FILTERS if key in asked.values]
            self.ctx.error(f"No active jobs match ALL job filters, including: {''.join(told)}")
        return found

    def _rows(self, expressions: Sequence[JobExpression]) -> list[Active]:
        """Active jobs by ascending id: those with the ids, or all."""
        filters: dict[str, Any] = {}
        if expressions and not any(expression.sluid for expression in expressions):
            filters["job_ids"] = sorted({expression.job_id for expression in expressions})
        if self.asked.user_id is not None:
            filters["user_ids"] = [self.asked.user_id] if not expressions else []
        try:
            rows = list(self.ctx.controller.rows("jobs", FIELDS, **filters))
        except ControllerDown as problem:
            raise CommandError(f"slurm_load_jobs error: {problem.text}") from None
        except SlurmError as problem:
            if problem.number != INVALID_JOB_ID:
                raise
            return []
        jobs = [Active(*row) for row in rows]
        return sorted((job for job in jobs if job.job_state not in states.FINAL), key=lambda job: job.job_id)

    def _unknown(self, text: str, expression: JobExpression) -> None:
        if self.asked.verbose >= 0:
            kind = "job step id" if expression.step else "job id"
            self.ctx.error(f"Kill job error on {kind} {text}: {TEXT[INVALID_JOB_ID]}")
        self.code = 1

    def _matches(self, job: Active) -> bool:
        given = self.asked.values
        return (
            ("A" not in given or given["A"] == job.account)
            and ("n" not in given or given["n"] == job.name)
            and ("p" not in given or given["p"] in job.partition.split(","))
            and ("q" not in given or given["q"] == job.qos)
            and ("R" not in given or given["R"] == job.resv_name)
            and ("t" not in given or given["t"] == job.job_state)
            and ("wckey" not in given or given["wckey"] == job.wckey)
            and (self.asked.user_id is None or self.asked.user_id == job.user_id)
            and (self.asked.nodes is None or not self.asked.nodes.isdisjoint(hosts(job.nodes)))
        )

    def _shown(self, job: Active) -> str:
        if job.array_task_id is not None or not job.array_task_string:
            return job_name(job.job_id, job.array_job_id, job.array_task_id)
        settings = squeue_values.Settings(bitstr_len=squeue_values.bitstr_len(self.ctx.env))
        tasks = squeue_values.tasks_text(settings, None, job.array_task_string, job.array_max_tasks)
        return f"{job.array_job_id}_[{tasks}]"

    def _target(self, text: str, expression: JobExpression, job: Active) -> Target:
        if expression.step:
            name = job_name(job.job_id, job.array_job_id, job.array_task_id)
            return Target(f"{name}.{expression.step}", text, job, expression.step)
        if expression.tasks and job.array_task_id is None:
            return Target(text, text, job)
        return _record_target(job, self._shown(job))

    def _confirmed(self, target: Target) -> bool:
        """The answer to the question; the end of the input is no."""
        assert target.job is not None
        what = f"step_id={target.shown}" if target.step else f"job_id={target.shown}"
        while True:
            self.ctx.stdout.write(f"Cancel {what} name={target.job.name} partition={target.job.partition} [y/n]? ")
            self.ctx.stdout.flush()
            answer = self.ctx.stdin.readline()
            if not answer or answer[0] in "nN":
                return False
            if answer[0] in "yY":
                return True

    # sending

    def _send(self, wanted: Sequence[Target], quiet: Sequence[int] = ()) -> None:
        """Ask for all of them in one call; again for those whose state does not allow it yet."""
        shown = {target.text: target for target in wanted}
        left = list(shown)
        for attempt in range(RETRIES + 1):
            if not left:
                return
            errors = self._call(left)
            waiting = [text for text, number, _ in errors if number == TRANSITION_STATE_NO_UPDATE]
            if attempt == RETRIES:
                waiting = []
            for text, number, words in errors:
                if text in waiting:
                    continue
                if number in quiet:
                    if self.asked.verbose > 0:
                        self.ctx.error(f"Kill job error on job id {shown[text].shown}: {words}")
                    continue
                target = shown[text]
                # of a job that is there, the real command names the job alone when its step is not
                what = f"job step id {target.shown.partition('.')[0]}" if target.step else f"job id {target.shown}"
                self._refused(what, number, words)
            left = waiting
            if left:
                if self.asked.verbose > 0:
                    self.ctx.err("scancel: Job is in transitional state, retrying")
                self.ctx.stderr.flush()
                time.sleep(FIRST_PAUSE + attempt)

    def _call(self, targets: Sequence[str]) -> list[tuple[str, int, str]]:
        asked = self.asked
        args: dict[str, Any] = {"targets": list(targets)}
        if asked.signal is not None:
            args["signal"] = asked.signal
        for key, name in (("b", "batch"), ("f", "full"), ("H", "hurry"), ("c", "cron")):
            if key in asked.flags:
                args[name] = True
        if "admin-comment" in asked.values:
            args["admin_comment"] = asked.values["admin-comment"]
        try:
            errors = self.ctx.controller.call("cancel", **args)["errors"]
        except ControllerDown as problem:
            return [(text, problem.number, problem.text) for text in targets]
        return [(text, number, words) for text, number, words in errors]

    def _refused(self, what: str, number: int, words: str) -> None:
        if self.asked.verbose >= 0 or number not in (INVALID_JOB_ID, ALREADY_DONE):
            self.ctx.error(f"Kill job error on {what}: {words}")
        self.code = number & 0xFF


def _plain(expression: JobExpression) -> str:
    from slurm_compat.core.jobid import show

    return show(expression)


def _named(expression: JobExpression, jobs: Sequence[Active]) -> list[Active]:
    """Of the jobs with the id's number, those it names: a task of a record names the record."""
    task = expression.task
    if task is None:
        return list(jobs)
    return [
        job
        for job in jobs
        if job.array_job_id == expression.job_id
        and (
            job.array_task_id == task
            if job.array_task_id is not None
            else bool(job.array_task_string)
            and taskids.contains(taskids.parse(job.array_task_string, NO_LIMIT_ID).ranges, task)
        )
    ]


def _record_target(job: Active, shown: str) -> Target:
    """A job by its own number; an array's record by its tasks, so that its running ones are not meant."""
    if job.array_task_id is None and job.array_task_string:
        return Target(f"{job.array_job_id}_[{job.array_task_string}]", shown, job)
    return Target(job_name(job.job_id, job.array_job_id, job.array_task_id), shown, job)


_ANSWERS: dict[str, Callable[[], Iterable[str]]] = {
    "help": scancel_options.help_text,
    "usage": lambda: scancel_options.USAGE.split("\n"),
    "V": lambda: [f"slurm-wlm {SLURM_VERSION}"],
}
