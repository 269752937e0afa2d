"""sattach: the streams of a step that runs, from now on, beside its srun."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import OPERAND, REQUIRED, Opt, help_lines, parsed
from slurm_compat.cli.relayed import Relayed
from slurm_compat.cli.sattach_run import Attached, Filters
from slurm_compat.cli.selected import job_id_of, selected
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.core import errors
from slurm_compat.core.errors import CommandError, SlurmError

OPTIONS = (
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("error-filter", "error-filter", REQUIRED, "show standard error of this task alone", "TASK"),
    Opt("input-filter", "input-filter", REQUIRED, "send standard input to this task alone", "TASK"),
    Opt("output-filter", "output-filter", REQUIRED, "show standard output of this task alone", "TASK"),
    Opt("help", "h", help="show this text, and end"),
    Opt("label", "l", help="the task's number before each line"),
    Opt("layout", "layout", help="show which tasks are where, and end"),
    Opt("quiet", "Q", help="only errors"),
    Opt("usage", "u", help="show a line of usage, and end"),
    Opt("verbose", "v", help="tell of the tasks' ends"),
    Opt("version", "V", help="show the version, and end"),
)
USAGE = "Usage: sattach [options] <jobid.stepid>"
TRY = 'Try "sattach --help" for more information'
NOT_THESE = ("batch", "extern")  # steps without streams to attach to
FILTERS = ("input-filter", "output-filter", "error-filter")
# what the controller refuses a step with, behind these words
NO_STEP = "Could not get job step info"


class Misused(CommandError):
    """The usage is shown on stdout beside the message."""


@dataclass
class Asked:
    target: str = ""
    action: str = ""
    layout: bool = False
    label: bool = False
    quiet: bool = False
    verbose: int = 0
    input: int | None = None
    output: int | None = None
    error: int | None = None


def asked_for(argv: list[str]) -> Asked:
    """Raises CommandError for what sattach refuses before it asks anybody."""
    asked = Asked()
    operands: list[str] = []
    for key, text in parsed("sattach", argv, OPTIONS, [TRY]):
        if key in FILTERS:
            setattr(asked, key.partition("-")[0], _task(key, text))
        elif key in ("h", "u", "V", "autocomplete"):
            asked.action = key
            return asked
        elif key == "v":
            asked.verbose += 1
        elif key == OPERAND:
            operands.append(text)
        else:
            setattr(asked, {"l": "label", "Q": "quiet"}.get(key, key), True)
    if len(operands) != 1:
        # said of none at all, too
        raise Misused("sattach: error: too many parameters")
    asked.target = operands[0]
    return asked


def _task(option: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise CommandError(f'sattach: error: Invalid numeric value "{text}" for {option}.')
    return int(text)


def main(ctx: Context) -> int:
    try:
        return _attached(ctx)
    except Misused:
        ctx.out(USAGE)
        raise


def _attached(ctx: Context) -> int:
    asked = asked_for(ctx.argv[1:])
    if asked.action:
        for line in _told(asked.action):
            ctx.out(line)
        return 0
    wanted = selected("sattach", asked.target)
    if not wanted.step:
        raise Misused("sattach: error: Failed to parse stepid from command line options")
    if wanted.step in NOT_THESE:
        raise CommandError("sattach: error: Cannot be used with extern or batch steps")
    listener = None if asked.layout else Listener(ctx.env)
    relayed = None
    try:
        job_id = job_id_of(ctx, wanted)
        relayed = Relayed(ctx, listener) if listener else None
        answer = ctx.controller.call(
            "step_attach", job_id=job_id, step_id=wanted.step,
            addresses=listener.addresses if listener else [], secret=listener.secret if listener else "",
        )  # fmt: skip
    except SlurmError as problem:
        if listener is not None:
            listener.stop()
        number = errors.INVALID_JOB_ID if problem.number == errors.ALREADY_DONE else problem.number
        text = errors.TEXT.get(number, problem.text)
        raise CommandError(f"sattach: error: {NO_STEP}: {text}") from None
    layout = [(str(node), list(ranks), int(cpus)) for node, ranks, cpus in answer["layout"]]
    if listener is None:
        for line in layout_lines(layout, answer["nodes"]):
            ctx.out(line)
        return 0
    ctx.stdout.flush()
    filters = Filters(asked.input, asked.output, asked.error)
    return Attached(listener, layout, filters, asked.label, 0 if asked.quiet else asked.verbose, relayed).run()


def layout_lines(layout: list[tuple[str, list[int], int]], nodes: str) -> Iterator[str]:
    tasks = sum(len(ranks) for _, ranks, _ in layout)
    yield "Job step layout:"
    yield f"\t{tasks} tasks, {len(layout)} nodes ({nodes})"
    yield ""
    for number, (node, ranks, _) in enumerate(layout):
        yield f"\tNode {number} ({node}), {len(ranks)} task(s): {''.join(f'{rank} ' for rank in ranks)}"


def _told(action: str) -> Iterator[str]:
    if action == "V":
        yield f"slurm-wlm {SLURM_VERSION}"
    elif action == "autocomplete":
        yield from (f"--{opt.long}" for opt in OPTIONS if opt.help)
    else:
        yield USAGE
        if action == "h":
            yield from help_lines(OPTIONS)
