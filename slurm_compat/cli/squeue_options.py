"""The options of squeue and the variables that stand for them.

Source: squeue(1); observed on 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from slurm_compat.cli.optiontable import OPERAND, OPTIONAL, REQUIRED, Opt, help_lines, parsed
from slurm_compat.core import states, timefmt
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.jobid import JobExpression
from slurm_compat.core.jobid import parse as parse_job_id

OPTIONS = (
    #    long             key             argument  help, what --help calls the argument
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("accounts", "A", REQUIRED),
    Opt("account", "A", REQUIRED, "only jobs of these accounts, by comma", "NAMES"),
    Opt("all", "a", help="jobs in hidden partitions too"),
    Opt("array", "r", help="a line for each task of an array, waiting ones too"),
    Opt("expand-patterns", "expand-patterns"),  # like some others without a help text: the real --help has none
    Opt("federation", "federation", help="no effect: there are no federations here"),
    Opt("help", "help", help="show this text, and end"),
    Opt("helpstate", "helpstate", help="list what --states takes, and end"),
    Opt("helpformat", "helpformat", help="list what --format takes, and end"),
    Opt("helpFormat", "helpFormat", help="list what --Format takes, and end"),
    Opt("hide", "hide", help="without hidden partitions, whatever SQUEUE_ALL says"),
    Opt("iterate", "i", REQUIRED, "again and again, so many seconds apart", "SECONDS"),
    Opt("job", "j", OPTIONAL, "only these jobs, by comma", "IDS"),
    Opt("jobs", "j", OPTIONAL),
    Opt("json", "json", OPTIONAL, "as JSON", "PARSER"),
    Opt("local", "local", help="no effect: only this cluster is ever asked"),
    Opt("long", "l", help="more columns"),
    Opt("licenses", "L", REQUIRED, "only jobs that ask for these licenses, by comma", "NAMES"),
    Opt("cluster", "M", REQUIRED),
    Opt("clusters", "M", REQUIRED, "of these clusters, by comma", "NAMES"),
    Opt("me", "me"),
    Opt("name", "n", REQUIRED, "only jobs of these names, by comma", "NAMES"),
    Opt("noconvert", "noconvert", help="sizes in the unit they came in: 2048M, not 2G"),
    Opt("node", "w", REQUIRED),
    Opt("nodes", "w", REQUIRED),
    Opt("nodelist", "w", REQUIRED, "only jobs on one of these nodes", "HOSTS"),
    Opt("noheader", "h", help="without the header"),
    Opt("notme", "notme"),
    Opt("format", "o", REQUIRED, "columns by letters, %[[.]WIDTH]LETTER", "FORMAT"),
    Opt("Format", "O", REQUIRED, "columns by names, NAME[:[.][WIDTH][SUFFIX]] by comma", "FORMAT"),
    Opt("only-job-state", "only-job-state", help="nothing but ids and states, cheaply"),
    Opt("partition", "p", REQUIRED, "only jobs in these partitions, by comma", "NAMES"),
    Opt("partitions", "p", REQUIRED),
    Opt("priority", "P"),
    Opt("qos", "q", REQUIRED, "only jobs of these QOS, by comma", "NAMES"),
    Opt("reservation", "R", REQUIRED, "only jobs in these reservations, by comma", "NAMES"),
    Opt("running-over", "running-over", REQUIRED, "only jobs that ran longer", "TIME"),
    Opt("running-under", "running-under", REQUIRED, "only jobs that ran shorter", "TIME"),
    Opt("sibling", "sibling", help="no effect: there are no federations here"),
    Opt("sort", "S", REQUIRED, "sort by these letters of --format; - in front: downwards", "LETTERS"),
    Opt("start", "start", help="when waiting jobs are expected to start"),
    Opt("steps", "s", OPTIONAL, "steps instead of jobs: all, or these by comma", "IDS", shown="step"),
    Opt("states", "t", REQUIRED, "only jobs in one of these states, by comma; all: finished ones too", "STATES"),
    Opt("usage", "usage", help="show a few lines of usage, and end"),
    Opt("user", "u", REQUIRED, "only jobs of these users, by comma", "USERS"),
    Opt("users", "u", REQUIRED),
    Opt("verbose", "v", help="show the settings first"),
    Opt("version", "V", help="show the version, and end"),
    Opt("yaml", "yaml", OPTIONAL, "as YAML", "PARSER"),
)  # fmt: skip

USAGE = """Usage: squeue [-A account] [--clusters names] [-i seconds] [--job jobid]
              [-n name] [-o format] [--only-job-state] [-p partitions]
              [--qos qos] [--reservation reservation] [--sort fields] [--start]
              [--step step_id] [-t states] [-u user_name] [--usage]
              [-L licenses] [-w nodes] [--federation] [--local] [--sibling]
              [--expand-patterns] [--json=data_parser] [--yaml=data_parser]
              [--running-over=time] [--running-under=time] [-ahjlrsv]"""
TRY = 'Try "squeue --help" for more information'

SHORT_ONLY = (Opt("", "U", REQUIRED),)  # -U is taken, as -u is, and listed nowhere

STATES = (
    "pending", "running", "suspended", "completed", "cancelled", "failed", "timeout", "node_fail", "preempted",
    "boot_fail", "deadline", "out_of_memory", "completing", "configuring", "expediting", "resizing", "resv_del_hold",
    "requeued", "requeue_fed", "requeue_hold", "revoked", "signaling", "special_exit", "stage_out", "stopped",
)  # fmt: skip

# option: variable that stands for it
VARIABLES = {
    "A": "SQUEUE_ACCOUNT",
    "L": "SQUEUE_LICENSES",
    "n": "SQUEUE_NAMES",
    "p": "SQUEUE_PARTITION",
    "q": "SQUEUE_QOS",
    "S": "SQUEUE_SORT",
    "t": "SQUEUE_STATES",
    "u": "SQUEUE_USERS",
    "M": "SLURM_CLUSTERS",
}
SWITCHES = {"a": "SQUEUE_ALL", "r": "SQUEUE_ARRAY", "P": "SQUEUE_PRIORITY"}  # set at all: as if given

ANSWERS = ("help", "usage", "helpformat", "helpFormat", "helpstate", "V")  # tell something, then end

ALONE = (
    "squeue: fatal: Option --only-job-state only works alone, with -j (--jobs) and/or -t (--states) parameters, "
    "parameters for cluster/federation selection, and the printing options."
)


class Unrecognized(CommandError):
    """An operand that no option takes: the usage is shown on stdout beside the message."""


@dataclass
class Asked:
    """What the command line and the variables ask for. A list that is None does not filter."""

    flags: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)  # by key, as given
    verbose: int = 0
    answer: str = ""
    iterate: int = 0
    jobs: list[JobExpression] | None = None
    steps: list[tuple[JobExpression, str]] | None = None
    states: list[str] | None = None  # None: the states shown by default; []: all
    running_over: int | None = None  # seconds
    running_under: int | None = None
    own: bool = False  # --me or --notme came, and no -u later
    document: str = ""  # "json", "yaml": not a table
    parser: str = ""  # the data_parser asked for

    def names(self, key: str) -> list[str] | None:
        """The list an option gave, by comma; None when it was not given."""
        value = self.values.get(key)
        return None if value is None else [name for name in value.split(",") if name]


def asked_of(argv: Sequence[str], env: Mapping[str, str]) -> Asked:
    """What is asked. Raises CommandError with the real command's words."""
    asked = Asked()
    for key, variable in SWITCHES.items():
        if variable in env:
            asked.flags.add(key)
    for key, variable in VARIABLES.items():
        if variable in env:
            asked.values[key] = env[variable]
    for key, value in parsed("squeue", argv, (*OPTIONS, *SHORT_ONLY), (TRY,)):
        if key == OPERAND:
            _operand(asked, value)
        elif key in ANSWERS:
            asked.answer = key
            return asked
        else:
            _option(asked, key, value)
    _check(asked, env)
    return asked


def _option(asked: Asked, key: str, value: str) -> None:
    if key in _HANDLERS:
        _HANDLERS[key](asked, value)
    elif key in ("j", "s"):
        asked.flags.add(key)
        if value:
            asked.values[key] = value
    elif next(opt.argument for opt in (*OPTIONS, *SHORT_ONLY) if opt.key == key):
        asked.values[key] = value
    else:
        asked.flags.add(key)


def _operand(asked: Asked, value: str) -> None:
    """-j and -s take their argument from the next word too, which getopt has left among the operands."""
    for key in ("j", "s"):
        if key in asked.flags and key not in asked.values:
            asked.values[key] = value
            return
    raise Unrecognized(f"squeue: error: Unrecognized option: {value}")


def _iterate(asked: Asked, value: str) -> None:
    number = re.match(r"\s*\+?(\d+)", value, re.ASCII)
    if number is None or int(number[1]) < 1:
        raise CommandError(f"squeue: error: --iterate={value}", "")
    asked.iterate = int(number[1])


def _short_format(asked: Asked, value: str) -> None:
    if "O" in asked.values:
        raise CommandError("squeue: error: -o (--format) is incompatible with -O (--Format)")
    asked.values["o"] = value


def _long_format(asked: Asked, value: str) -> None:
    if "o" in asked.values:
        raise CommandError("squeue: error: -O (--Format) is incompatible with -o (--format)")
    asked.values["O"] = value


def _users(asked: Asked, value: str) -> None:
    asked.values["u"] = value
    asked.own = False


def _own(flag: str) -> Callable[[Asked, str], None]:
    def set_own(asked: Asked, value: str) -> None:
        asked.flags -= {"me", "notme"}
        asked.flags.add(flag)
        asked.own = True

    return set_own


def _verbose(asked: Asked, value: str) -> None:
    asked.verbose += 1


def _hide(asked: Asked, value: str) -> None:
    asked.flags.discard("a")


def _time(name: str) -> Callable[[Asked, str], None]:
    def set_time(asked: Asked, value: str) -> None:
        try:
            seconds = timefmt.seconds_of(value)
        except BadValue:
            raise CommandError("squeue: fatal: Invalid time limit specification") from None
        setattr(asked, name, seconds)

    return set_time


def _document(kind: str) -> Callable[[Asked, str], None]:
    def set_document(asked: Asked, value: str) -> None:
        asked.document, asked.parser = kind, value

    return set_document


_HANDLERS: dict[str, Callable[[Asked, str], None]] = {
    "i": _iterate,
    "o": _short_format,
    "O": _long_format,
    "u": _users,
    "U": _users,
    "me": _own("me"),
    "notme": _own("notme"),
    "v": _verbose,
    "hide": _hide,
    "running-over": _time("running_over"),
    "running-under": _time("running_under"),
    "json": _document("json"),
    "yaml": _document("yaml"),
}


def _check(asked: Asked, env: Mapping[str, str]) -> None:
    given = asked.values
    if "l" in asked.flags and "o" in given:
        raise CommandError(
            "squeue: fatal: Options -o(--format) and -l(--long) are mutually exclusive. Please remove one and retry."
        )
    over, under = asked.running_over, asked.running_under
    if over is not None and under is not None and over > under:
        times = f"--running-over={timefmt.duration(over)} and --running-under={timefmt.duration(under)}"
        raise CommandError(f"squeue: fatal: {times} will return 0 jobs.")
    if "only-job-state" in asked.flags:
        apart = asked.flags & {"l", "s", "start", "P", "me", "notme", "r"} - {k for k in SWITCHES if SWITCHES[k] in env}
        if apart or any(given.get(key) is not None for key in "AnpqRuwL") or over or under:
            raise CommandError(ALONE)
    if "t" in given:
        asked.states = state_list(given["t"])
    elif "start" in asked.flags:
        asked.states = [states.PENDING]
    if "j" in given:
        asked.jobs = job_list(given["j"])
    if "s" in given:
        asked.steps = step_list(given["s"])
    if not ("l" in asked.flags or "s" in asked.flags or "start" in asked.flags or "o" in given or "O" in given):
        if "SQUEUE_FORMAT" in env:
            given["o"] = env["SQUEUE_FORMAT"]
        elif "SQUEUE_FORMAT2" in env:
            given["O"] = env["SQUEUE_FORMAT2"]


def state_list(text: str) -> list[str]:
    """States by comma, long or compact, in any case; [] for "all"."""
    if text.lower() == "all":
        return []
    found = []
    for word in filter(None, text.split(",")):
        name = states.state_named(word)
        if name is None and word.upper() == "EXPEDITING":
            name = "EXPEDITING"  # a state no job has here
        if name is None:
            raise CommandError(
                f"squeue: error: Invalid job state specified: {word}",
                f"squeue: error: Valid job states include: {','.join(STATES)}",
                "",
            )
        found.append(name)
    return found or ["NONE"]


def job_list(text: str) -> list[JobExpression]:
    found = []
    for word in filter(None, text.split(",")):
        try:
            expression = parse_job_id(word)
        except BadValue:
            raise CommandError(f"squeue: error: Invalid job id: {word}") from None
        if "[" in word or "*" in word:
            raise CommandError(f"squeue: error: Invalid job id: {word}")
        found.append(expression)
    return found


def step_list(text: str) -> list[tuple[JobExpression, str]]:
    """(job, step number). A step that is no number counts as step 0, as in the real command."""
    found = []
    for word in filter(None, text.split(",")):
        name, _, step = word.partition(".")
        number = re.match(r"\s*\+?\d+", name, re.ASCII)
        if number is None or int(number[0]) == 0 or not step:
            raise CommandError(f"squeue: error: Invalid job_step id: {name}.{step or '??'}")
        task = re.match(r"_(\d+)", name[number.end() :], re.ASCII)
        tasks = ((int(task[1]), int(task[1]), 1),) if task else ()
        digits = re.match(r"\d+", step, re.ASCII)
        found.append((JobExpression(int(number[0]), tasks), digits[0] if digits else "0"))
    return found


def help_text() -> Iterator[str]:
    yield "Usage: squeue [OPTIONS]"
    yield from help_lines(OPTIONS)


def settings_text(asked: Asked) -> Iterator[str]:
    """What -v shows before the table."""
    given = asked.values
    rule = "-----------------------------"

    def value(key: str) -> str:
        return given.get(key, "(null)")

    def switch(key: str) -> str:
        return "true" if key in asked.flags else "false"

    steps = "s" in asked.flags
    yield rule
    yield f"all         = {switch('a')}"
    yield f"array       = {switch('r')}"
    yield f"federation  = {switch('federation')}"
    yield f"format      = {value('o')}"
    yield f"iterate     = {asked.iterate}"
    yield f"job_flag    = {int('j' in asked.flags and not steps)}"
    yield f"jobs        = {value('j')}"
    yield f"licenses    = {value('L')}"
    yield f"local       = {switch('local')}"
    yield f"names       = {value('n')}"
    yield f"nodes       = {given.get('w', '')}"
    yield f"only_job_state = {switch('only-job-state')}"
    yield f"partitions  = {value('p')}"
    yield f"priority    = {switch('P')}"
    yield f"reservation = {value('R')}"
    yield f"sibling      = {switch('sibling')}"
    yield f"sort        = {value('S')}"
    yield f"start_flag  = {int('start' in asked.flags)}"
    yield f"states      = {value('t')}"
    yield f"step_flag   = {int(steps)}"
    yield f"steps       = {value('s')}"
    yield f"users       = {value('u')}"
    yield f"verbose     = {asked.verbose}"
    if asked.verbose > 1:
        for number, job in enumerate(asked.jobs or []):
            yield f"job_list[{number}] = {job.job_id}" + (f"_{job.task}" if job.task is not None else "")
    yield rule
    yield ""
    yield ""
