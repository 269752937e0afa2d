"""sstat: what running steps use, as their agents last measured it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import OPERAND, REQUIRED, Opt, help_lines, parsed
from slurm_compat.cli.sacct_options import target
from slurm_compat.cli.sstat_fields import DEFAULT, FIELDS, PIDS, Record, View
from slurm_compat.core import errors, fieldprint, hostlist, units
from slurm_compat.core.errors import BadValue, CommandError, SlurmError
from slurm_compat.core.fieldprint import BETWEEN, COLUMNS, ENDED
from slurm_compat.core.jobid import JobExpression

OPTIONS = (
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("allsteps", "a", help="all steps of a job that is named without one, not just the lowest numbered"),
    Opt("helpformat", "e", help="list the fields that --format takes, and end"),
    Opt("help", "h", help="show this text, and end"),
    Opt("jobs", "j", REQUIRED, "the jobs or steps, by comma: 12, 12.0, 12.batch, 12.extern", "IDS"),
    Opt("noheader", "n", help="without the header"),
    Opt("noconvert", "noconvert", help="leave amounts in bytes"),
    Opt("fields", "o", REQUIRED),
    Opt("format", "o", REQUIRED, "fields by comma, each with %WIDTH or %-WIDTH if wanted", "FIELDS"),
    Opt("pidformat", "i", help="the process ids on each node"),
    Opt("parsable", "p", help="fields with | behind each"),
    Opt("parsable2", "P", help="fields with | between them"),
    Opt("usage", "usage", help="show a line of usage, and end"),
    Opt("verbose", "v", help="no effect: there is nothing more to tell"),
    Opt("version", "V", help="show the version, and end"),
)


@dataclass
class Asked:
    action: str = ""
    targets: list[JobExpression] = field(default_factory=list)
    fields: str | None = None
    all_steps: bool = False
    pids: bool = False
    header: bool = True
    form: int = COLUMNS
    convert: bool = True


_FLAGS: dict[str, tuple[str, object]] = {
    "a": ("all_steps", True), "i": ("pids", True), "n": ("header", False), "noconvert": ("convert", False),
    "p": ("form", ENDED), "P": ("form", BETWEEN), "e": ("action", "e"), "h": ("action", "h"),
    "usage": ("action", "usage"), "V": ("action", "V"),
}  # fmt: skip


def asked_for(argv: list[str]) -> Asked:
    """Raises CommandError for what sstat refuses before it asks anybody."""
    asked = Asked()
    operands: list[str] = []
    for key, text in parsed("sstat", argv, OPTIONS):
        if key in _FLAGS:
            name, value = _FLAGS[key]
            setattr(asked, name, value)
        elif key == "o":
            asked.fields = (asked.fields or "") + text + ","
        elif key == "j":
            asked.targets += _targets(text)
        elif key == OPERAND:
            operands.append(text)
        elif key != "v":
            raise CommandError(f"sstat: error: --{key} is not supported here; leave it out")
        if asked.action:
            return asked
    if operands and not asked.targets:
        asked.targets = _targets(operands[0])
    if not asked.targets:
        raise CommandError("sstat: error: You didn't give me any jobs to stat.")
    return asked


def _targets(text: str) -> list[JobExpression]:
    return [target(word, "sstat") for word in text.split(",") if word]


def main(ctx: Context) -> int:
    asked = asked_for(ctx.argv[1:])
    if asked.action:
        for line in _ANSWERS[asked.action]():
            ctx.out(line)
        return 0
    text = DEFAULT if asked.fields is None else asked.fields
    if asked.pids:
        text = PIDS + (asked.fields or "")
    try:
        placed = fieldprint.chosen(text, FIELDS, once=True)
    except BadValue as problem:
        raise CommandError(f'sstat: error: Invalid field requested: "{problem}"') from None
    if asked.header:
        for line in fieldprint.header(placed, asked.form):
            ctx.out(line)
    view = View(units.Units(None, asked.convert))
    for wanted in asked.targets:
        for record in steps(ctx, wanted, asked.all_steps, fieldprint.needs(placed, _NEEDED)):
            for part in by_node(record) if asked.pids else (record,):
                ctx.out(fieldprint.line(placed, part, view, asked.form))
    return 0


_NEEDED = ("job_id", "array_job_id", "array_task_id", "step_id", "user_id", "nodes", "pids")


def steps(ctx: Context, wanted: JobExpression, all_steps: bool, fields: list[str]) -> Iterator[Record]:
    """The running steps that one -j names; what is not to be had is told on the way."""
    try:
        known = dict(ctx.controller.rows("jobs", ["job_id", "sluid"], job_ids=[wanted.job_id]))
    except SlurmError as problem:
        if problem.number != errors.INVALID_JOB_ID:
            raise
        known = {}
    if not known:
        ctx.error(f"couldn't get steps for JobId={wanted.job_id}")
        return
    asked = [name for name in fields if name != "sluid"]  # a job's, not a step's
    rows = ctx.controller.rows("steps", asked, job_ids=[wanted.job_id])
    records = [dict(zip(asked, row, strict=True)) for row in rows]
    records = sorted((record for record in records if _of_job(wanted, record)), key=_order)
    if wanted.step:
        chosen = [record for record in records if record["step_id"] == wanted.step]
        if not chosen:
            ctx.error(f"StepId={wanted.job_id}.{wanted.step} not found running.")
    else:
        chosen = records if all_steps else [record for record in records if record["step_id"].isdigit()][:1]
        if not chosen:
            ctx.error(f"No steps running for JobId={wanted.job_id}")
    for record in chosen:
        if ctx.uid in (0, record["user_id"]):
            yield record | {"sluid": known.get(record["job_id"], "")}
        else:
            _refuse(ctx, record)


def _refuse(ctx: Context, record: Record) -> None:
    """Usage is told to the job's user and root alone, by each node for itself."""
    invalid = errors.TEXT[errors.USER_ID_MISSING]
    for node in hostlist.expand(record["nodes"]):
        ctx.error(f"slurm_job_step_stat: there was an error with the request to {node} rc = {invalid}")
    ctx.error(f"problem getting step_layout for StepId={record['job_id']}.{record['step_id']}: {invalid}")


def _of_job(wanted: JobExpression, record: Record) -> bool:
    if wanted.tasks and record["array_job_id"]:
        return record["array_task_id"] is not None and wanted.has_task(record["array_task_id"])
    return True


_FIRST = {"extern": -3, "batch": -2, "interactive": -1}


def _order(record: Record) -> tuple[int, int]:
    """Extern, batch, then by number."""
    step = record["step_id"]
    return record["job_id"], int(step) if step.isdigit() else _FIRST.get(step, 0)


def by_node(record: Record) -> Iterator[Record]:
    """A record for each node, with that node's processes."""
    for node in hostlist.expand(record["nodes"]):
        yield {**record, "nodes": node, "pids": [entry for entry in record["pids"] if entry[0] == node]}


def _help() -> Iterator[str]:
    yield "sstat [<OPTION>...] -j <job(.step)>: show what running steps use"
    yield from help_lines(OPTIONS)


_ANSWERS: dict[str, Callable[[], Iterable[str]]] = {
    "h": _help,
    "usage": lambda: ["Usage: sstat [options] -j <job(.stepid)>", "\tUse --help for help"],
    "V": lambda: [f"slurm-wlm {SLURM_VERSION}"],
    "e": lambda: fieldprint.name_table(field.name for field in FIELDS),
}
