"""sacct: jobs and steps as the accounting has them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from slurm_compat import SLURM_VERSION
from slurm_compat.cli import sacct_fields, sacct_values
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import help_lines
from slurm_compat.cli.sacct_options import OPTIONS, TIMES, Request, request
from slurm_compat.cli.timeformat import time_format
from slurm_compat.core import fieldprint, jobid, states, timefmt, units
from slurm_compat.core.errors import BadValue, CommandError, SlurmError
from slurm_compat.core.jobid import JobExpression

Record = dict[str, Any]

WINDOW_KEYS = ("start_time", "end_time", "elapsed", "job_state")


def main(ctx: Context) -> int:
    asked = request(ctx.argv[1:], ctx.now())
    if asked.action in _AT_ONCE:
        for line in _AT_ONCE[asked.action]():
            ctx.out(line)
        return 0
    placed = fields_asked(asked, ctx.env)
    if asked.qos:
        _check_qos(ctx, asked.qos)
    window = time_window(asked, ctx.now())
    if asked.verbose:
        ctx.err(window_line(asked, window))
    if asked.output:
        from slurm_compat.cli import sacct_json

        return sacct_json.print_jobs(ctx, asked, lambda fields: records(ctx, asked, fields, window))
    if asked.action in ("scripts", "environments"):
        return _print_texts(ctx, asked, window)
    view = sacct_values.View(
        time_format=time_format(ctx),
        units=units.Units(asked.unit, asked.convert),
        now=ctx.now(),
        steps=not asked.allocations,
        expand_patterns=asked.expand_patterns,
    )
    if asked.header:
        for line in fieldprint.header(placed, asked.form, asked.delimiter):
            ctx.out(line)
    for record in records(ctx, asked, fieldprint.needs(placed), window):
        ctx.out(fieldprint.line(placed, record, view, asked.form, asked.delimiter))
    return 0


def _check_qos(ctx: Context, wanted: Iterable[str]) -> None:
    known = [str(row[0]) for row in ctx.controller.rows("qos", ["name"])]
    for name in wanted:
        if name.lstrip("+-") not in known:
            bad = f"sacct: error: You gave a bad qos '{name}'. Valid QOS's are {','.join(known)}"
            raise CommandError(bad, "sacct: fatal: problem processing qos list")


def fields_asked(asked: Request, env: Mapping[str, str]) -> list[fieldprint.Placed]:
    """-o, then what -b and -l stand for; else SACCT_FORMAT's; else the default ones."""
    text = asked.fields
    if asked.brief:
        text += sacct_fields.BRIEF + ","
    if asked.long:
        text += sacct_fields.LONG
    try:
        return fieldprint.chosen(
            text or env.get("SACCT_FORMAT") or sacct_fields.DEFAULT, sacct_fields.FIELDS, once=True
        )
    except BadValue as problem:
        raise CommandError(f'sacct: error: Invalid field requested: "{problem}"') from None


def time_window(asked: Request, now: float) -> tuple[int, int]:
    """First second that counts, and the first that no longer does.

    From today's midnight to now; with --jobs from the beginning of time. With --state alone it is the one moment now,
    or that of --starttime. Source: sacct(1), DEFAULT TIME WINDOW; observed with -v.
    """
    start, end = asked.start, asked.end
    if end is None:
        end = start if asked.states and start is not None else int(now)
    if start is None:
        if asked.targets:
            start = 0
        elif asked.states:
            start = int(now)
        else:
            today = time.localtime(now)
            start = int(time.mktime((today.tm_year, today.tm_mon, today.tm_mday, 0, 0, 0, 0, 0, -1)))
    if start > end:
        raise CommandError(
            f"sacct: error: Start time ({timefmt.clock(start)}) requested is after end time ({timefmt.clock(end)})."
        )
    return start, end + 1


def window_line(asked: Request, window: tuple[int, int]) -> str:
    what = ",".join(asked.states) or "Eligible"
    start = time.ctime(window[0]) if window[0] else "Epoch 0"
    return f"sacct: Jobs {what} in the time window from {start} to {time.ctime(window[1])}"


def _flagged(wanted: Iterable[str], scheduler: str) -> bool:
    """Every job that is kept was told of when it started; what started it is a flag too."""
    return any(flag == "StartReceived" or flag == f"Sched{scheduler}" for flag in wanted)


# what the controller does not filter by: attribute of the request, the record's field, whether a value passes
_FILTERS: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
    ("groups", "group_id", lambda wanted, value: value in wanted),
    ("associations", "association_id", lambda wanted, value: str(value) in wanted),
    ("clusters", "cluster", lambda wanted, value: value in wanted),
    ("constraints", "features", lambda wanted, value: value in wanted),
    ("reasons", "state_reason", lambda wanted, value: (value or "None") in wanted),
    ("flags", "scheduler", lambda wanted, value: _flagged(wanted, value)),
    ("nnodes", "allocated_nodes", lambda wanted, value: wanted[0] <= (value or 0) <= wanted[1]),
    ("ncpus", "allocated_cpus", lambda wanted, value: wanted[0] <= (value or 0) <= wanted[1]),
)


def records(ctx: Context, asked: Request, wanted: Iterable[str], window: tuple[int, int]) -> Iterator[Record]:
    """The job and step records asked for, in order, with the fields wanted and those that filters read."""
    if asked.bad_nodes:
        raise CommandError("sacct: error: Invalid argument")
    filters: list[tuple[Any, str, Callable[[Any, Any], bool]]]
    filters = [(getattr(asked, name), key, passes) for name, key, passes in _FILTERS if getattr(asked, name)]
    by_time = bool(asked.states or not asked.targets or asked.start is not None or asked.end is not None)
    if asked.states or not asked.targets:
        # what was never eligible, being held, is in no window of time: only its id finds it
        filters.append((None, "eligible_time", lambda _, value: bool(value)))
    if not asked.duplicates:  # a run that was requeued is never a job's last
        filters.append((None, "job_state", lambda _, value: value != "REQUEUED"))
    fields = list(wanted) + list(sacct_fields.ID_KEYS) + [key for _, key, _ in filters]
    if asked.limit_min is not None:
        fields.append("time_limit")
    if asked.truncate:
        fields += WINDOW_KEYS
    fields = list(dict.fromkeys(fields))
    rows = ctx.controller.rows(
        "accounting",
        fields,
        steps=not asked.allocations,
        # a step's target brings its job, whose other rows are left out here
        targets=list(dict.fromkeys(jobid.show(target._replace(step="")) for target in asked.targets)),
        user_ids=whose(asked, ctx.uid),
        accounts=asked.accounts,
        names=asked.names,
        partitions=asked.partitions,
        qos=asked.qos,
        states=asked.states,
        nodes=asked.nodes,
        wckeys=asked.wckeys,
        whole_hetjob=asked.whole_hetjob,
        start=window[0] if by_time else 0,
        end=window[1] if by_time else 0,
        duplicates=asked.duplicates,
    )
    for family in _families(dict(zip(fields, row, strict=True)) for row in rows):
        of_job = family[0]
        if not all(passes(value, of_job[key]) for value, key, passes in filters) or not _limit_passes(asked, of_job):
            continue
        if "usage" in of_job and not of_job["usage"]:
            of_job["usage"] = cpu_of_all(family[1:])
        for record in family:
            if asked.targets and not targeted(asked, record):
                continue
            if asked.truncate:
                _truncate(record, window)
            yield from _expanded(record) if asked.expand_arrays else (record,)


def _families(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Each job's record with those of its steps behind it."""
    family: list[Record] = []
    for record in records:
        if family and not record["step_id"]:
            yield family
            family = []
        family.append(record)
    if family:
        yield family


def cpu_of_all(steps: Iterable[Record]) -> dict[str, int]:
    """CPU time of a job, which is that of its steps."""
    used = [step["usage"] for step in steps]
    return {key: sum(int(usage.get(key) or 0) for usage in used) for key in ("user_cpu", "system_cpu")}


def whose(asked: Request, uid: int) -> list[int]:
    """Users whose jobs are shown: the caller's own, unless others are named, all are asked for, or jobs are named."""
    if asked.users:
        return asked.users
    return [] if asked.all_users or uid == 0 or asked.targets else [uid]


def _limit_passes(asked: Request, record: Record) -> bool:
    if asked.limit_min is None:
        return True
    limit = record["time_limit"]
    return limit is not None and asked.limit_min <= limit <= (asked.limit_max or asked.limit_min)


def targeted(asked: Request, record: Record) -> bool:
    """Whether -j names this record: its job, or just this step of it."""
    if asked.whole_hetjob and record["het_job_id"] and not any(target.step for target in asked.targets):
        return True  # the controller knows of which
    of_job = [target for target in asked.targets if _names_job(target, record)]
    if asked.whole_hetjob is False and record["het_job_offset"]:
        # the first component's number is its own alone
        of_job = [target for target in of_job if target.offset is not None or target.job_id != record["het_job_id"]]
    if asked.allocations or any(not target.step for target in of_job):
        return bool(of_job)
    return any(target.step == record["step_id"] for target in of_job)


def _names_job(target: JobExpression, record: Record) -> bool:
    if target.sluid:
        return True  # the controller knows which
    if target.offset is not None:
        return bool(record["het_job_id"] == target.job_id and record["het_job_offset"] == target.offset)
    if target.tasks:
        task = record["array_task_id"]
        return bool(record["array_job_id"] == target.job_id and task is not None and target.has_task(task))
    return target.job_id in (record["job_id"], record["array_job_id"], record["het_job_id"])


def _truncate(record: Record, window: tuple[int, int]) -> None:
    """Cut start, end and elapsed to the window, as --truncate wants."""
    first, last = window[0], window[1] - 1
    ended = record["job_state"] in states.FINAL
    end = record["end_time"] if ended and record["end_time"] else last
    end = min(end, last)
    start = record["start_time"] if sacct_values.has_started(record) else end
    start = max(start, first)
    record["start_time"], record["end_time"], record["elapsed"] = start, end, max(end - start, 0)


def _expanded(record: Record) -> Iterator[Record]:
    """An array's record as one for each task that it stands for."""
    tasks = sacct_values.tasks_of(record)
    for task in tasks:
        yield record | {"array_task_id": task, "array_task_string": ""}
    if not tasks:
        yield record


RULE = "-" * 80


def _title(asked: Request, text: str) -> str:
    return f"{text}\n{RULE}\n" if asked.header else ""


def _print_texts(ctx: Context, asked: Request, window: tuple[int, int]) -> int:
    """The batch scripts, or what is kept of the environments, of the jobs named."""
    jobs_only = asked.__class__(**{**vars(asked), "allocations": True})
    for record in list(records(ctx, jobs_only, sacct_fields.ID_KEYS, window)):
        name = sacct_values.job_id(record, sacct_values.View())
        if asked.action == "environments":
            # the accounting keeps no environments, as a Slurm without AccountingStoreFlags=job_env does not
            ctx.stdout.write(_title(asked, f"Environment used for {name} (must be batch to display)") + "NONE\n")
            continue
        try:
            answer = ctx.controller.call("job_script", job_id=record["job_id"])
        except SlurmError:
            continue  # not the caller's to read
        script = base64.b64decode(answer.get("script") or "").decode("utf-8", "surrogateescape") or "NONE\n"
        ctx.stdout.write(_title(asked, f"Batch Script for {name}") + script + ("" if script.endswith("\n") else "\n"))
    return 0


def _help() -> Iterator[str]:
    yield "sacct [<OPTION>...]: show jobs and steps, past and present"
    yield from help_lines(OPTIONS)
    yield from TIMES.split("\n")


def _reasons() -> Iterator[str]:
    from slurm_compat.cli.sacct_help import REASONS

    return fieldprint.name_table(REASONS, columns=2, width=39)


_AT_ONCE: dict[str, Callable[[], Iterable[str]]] = {
    "help": _help,
    "usage": lambda: ["Usage: sacct [options]", "\tUse --help for help"],
    "version": lambda: [f"slurm-wlm {SLURM_VERSION}"],
    "fields": lambda: fieldprint.name_table(field.name for field in sacct_fields.FIELDS),
    "states": lambda: fieldprint.name_table(states.BASE),
    "reasons": _reasons,
}
