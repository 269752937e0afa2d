"""The options of scancel and the variables that stand for them.

Source: scancel(1); observed on 26.05.
"""

from __future__ import annotations

import math
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from slurm_compat.cli.optiontable import OPERAND, REQUIRED, Opt, help_lines, parsed
from slurm_compat.core import states
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.hostlist import expand
from slurm_compat.core.jobid import JobExpression
from slurm_compat.core.signals import signal_number
from slurm_compat.core.taskids import each

OPTIONS = (
    #    long             key             argument  help, what --help calls the argument
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("account", "A", REQUIRED, "only jobs of this account", "NAME"),
    Opt("admin-comment", "admin-comment", REQUIRED, "give the cancelled jobs this AdminComment (operators)", "TEXT"),
    Opt("batch", "b", help="the signal goes to the batch shell alone"),
    Opt("ctld", "ctld", help="in one request, without telling what is ended"),
    Opt("cron", "c", help="confirms that a scrontab job is meant"),
    Opt("full", "f", help="the signal goes to the batch shell, its children and the steps"),
    Opt("help", "help", help="show this text, and end"),
    Opt("hurry", "H", help="without staging burst buffer data out"),
    Opt("interactive", "i", help="ask before each job"),
    Opt("cluster", "M", REQUIRED),
    Opt("clusters", "M", REQUIRED, "jobs of these clusters, by comma", "NAMES"),
    Opt("jobname", "n", REQUIRED),
    Opt("me", "me"),
    Opt("name", "n", REQUIRED, "only jobs of this name", "NAME"),
    Opt("nodelist", "w", REQUIRED, "only jobs on one of these nodes", "HOSTS"),
    Opt("partition", "p", REQUIRED, "only jobs in this partition", "NAME"),
    Opt("qos", "q", REQUIRED, "only jobs of this QOS", "NAME"),
    Opt("quiet", "Q", help="not a word about jobs that ended already"),
    Opt("reservation", "R", REQUIRED, "only jobs in this reservation", "NAME"),
    Opt("sibling", "sibling", REQUIRED, "refused for each job: there are no federations here", "CLUSTER"),
    Opt("signal", "s", REQUIRED, "send this signal, and do not end the job", "NAME|NUMBER"),
    Opt("state", "t", REQUIRED, "only jobs in this state: PENDING, RUNNING or SUSPENDED", "STATE"),
    Opt("usage", "usage", help="show a few lines of usage, and end"),
    Opt("user", "u", REQUIRED, "only jobs of this user", "USER"),
    Opt("verbose", "v", help="tell what is done"),
    Opt("version", "V", help="show the version, and end"),
    Opt("wckey", "wckey", REQUIRED, "only jobs with this workload characterization key", "KEY"),
)  # fmt: skip

USAGE = """Usage: scancel [-A account] [--batch] [--ctld] [--full] [--interactive] [-n job_name]
               [-p partition] [-Q] [-q qos] [-R reservation] [-s signal | integer]
               [-t PENDING | RUNNING | SUSPENDED] [--usage] [-u user_name]
               [--hurry] [-V] [-v] [-w hosts...] [--wckey=wckey]
               [job_id[_array_id][.step_id]]"""
TRY = 'Try "scancel --help" for more information'
VALID_STATES = "Valid job states are PENDING, RUNNING, and SUSPENDED"

# variable: option. The first set take true or false, the second count as given when they are there at all.
TRUE_OR_FALSE = {"SCANCEL_BATCH": "b", "SCANCEL_FULL": "f", "SCANCEL_INTERACTIVE": "i", "SCANCEL_VERBOSE": "v"}
PRESENT = {"SCANCEL_CTLD": "ctld", "SCANCEL_CRON": "c", "SCANCEL_HURRY": "H"}
VALUES = {
    "SCANCEL_ACCOUNT": "A",
    "SCANCEL_NAME": "n",
    "SCANCEL_PARTITION": "p",
    "SCANCEL_QOS": "q",
    "SCANCEL_USER": "u",
    "SCANCEL_WCKEY": "wckey",
    "SLURM_CLUSTERS": "M",
}

ANSWERS = ("help", "usage", "V")

# The filters in the order in which a message lists them.
FILTERS = (
    ("A", "account"), ("n", "job_name"), ("w", "nodelist"), ("p", "partition"), ("q", "qos"), ("R", "reservation"),
    ("t", "state"), ("u", "user_name"), ("wckey", "wckey"),
)  # fmt: skip


@dataclass
class Asked:
    flags: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)  # by key, as given
    verbose: int = 0
    signal: int | None = None
    user_id: int | None = None
    nodes: set[str] | None = None
    targets: list[tuple[str, JobExpression]] = field(default_factory=list)  # what a message calls it, what it is
    answer: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def filtered(self) -> bool:
        return any(key in self.values for key, _ in FILTERS)


def asked_of(argv: Sequence[str], env: Mapping[str, str], uid: int) -> Asked:
    """What is asked. Raises CommandError with the real command's words."""
    asked = Asked()
    _variables(asked, env)
    words: list[str] = []
    for key, value in parsed("scancel", argv, OPTIONS, (TRY,)):
        if key == OPERAND:
            words.append(value)
        elif key in ANSWERS:
            asked.answer = key
            return asked
        elif key == "v":
            asked.verbose += 1
        elif key == "me":
            asked.values["u"] = str(uid)
        elif next(opt.argument for opt in OPTIONS if opt.key == key):
            asked.values[key] = value
            if key == "t":
                asked.values["t"] = _state(value, f"Invalid job state specified: {value}")
            elif key == "s":
                asked.signal = signal_number(value)
                if asked.signal is None:
                    raise CommandError(f"Unknown job signal: {value}")
        else:
            asked.flags.add(key)
    if "Q" in asked.flags:
        asked.verbose = -1
    for word in words:
        asked.targets += targets(word)
    if (name := asked.values.get("u")) is not None:
        asked.user_id = _user(name)
    if (hosts := asked.values.get("w")) is not None:
        asked.nodes = _nodes(hosts)
    if not asked.targets and not asked.filtered:
        raise CommandError("scancel: error: No job identification provided")
    return asked


def _variables(asked: Asked, env: Mapping[str, str]) -> None:
    for variable, key in VALUES.items():
        if variable in env:
            asked.values[key] = env[variable]
    if (state := env.get("SCANCEL_STATE")) is not None:
        asked.values["t"] = _state(state, f"Unrecognized SCANCEL_STATE value: {state}")
    for variable, key in PRESENT.items():
        if variable in env:
            asked.flags.add(key)
    for variable, key in TRUE_OR_FALSE.items():
        letter = env.get(variable, "f")[:1].lower()
        if letter == "t":
            if key == "v":
                asked.verbose += 1
            else:
                asked.flags.add(key)
        elif letter != "f":
            asked.warnings.append(f"Unrecognized {variable} value: {env[variable]}")


def _state(text: str, problem: str) -> str:
    name = states.state_named(text)
    if name is None:
        raise CommandError(problem, VALID_STATES)
    return name


def _user(name: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise CommandError(f"scancel: error: Invalid user name: {name}") from None


def _nodes(text: str) -> set[str]:
    """The hosts of -w: a host list, or the file of one when there is a "/" in it."""
    if "/" in text:
        try:
            with open(text, encoding="utf-8", errors="surrogateescape") as file:
                text = ",".join(line.strip() for line in file)
        except OSError as problem:
            why = os.strerror(problem.errno) if problem.errno else str(problem)
            raise CommandError(
                f"scancel: error: slurm_allocate_resources error opening file {text}, {why}", code=0
            ) from None
    try:
        return set(expand(text))
    except BadValue:
        raise CommandError(f"scancel: error: '{text}' invalid entry for --nodelist") from None


def targets(word: str) -> list[tuple[str, JobExpression]]:
    """The jobs of one operand: ids by comma, or one array's tasks in brackets. "123." is step 0 of 123."""
    found = []
    for text in [word] if "[" in word else word.split(","):
        expression = _target(text)
        if (len(expression.tasks) == 1 and expression.task is None) or len(expression.tasks) > 1:
            for task in each(expression.tasks):
                found.append((f"{expression.job_id}_{task}", expression._replace(tasks=((task, task, 1),))))
        else:
            found.append((text if not expression.step else f"{text.partition('.')[0]}.{expression.step}", expression))
    return found


def _target(text: str) -> JobExpression:
    from slurm_compat.core.jobid import parse

    wrong = CommandError(f"scancel: error: Invalid {'SLUID' if text.startswith('s') else 'job id'} {text}")
    name, dot, step = text.partition(".")
    if "[" in name and (dot or ":" in name):
        raise wrong
    try:
        # a job's id may end in "_" or "+", which name nothing further
        expression = parse(name if not name.endswith(("_", "+")) else name[:-1], math.inf)
    except BadValue:
        raise wrong from None
    if not dot:
        return expression
    if step and not (step.isascii() and step.isdigit()):
        raise wrong
    return expression._replace(step=str(int(step or "0")), offset=None)


def help_text() -> Iterator[str]:
    yield "Usage: scancel [OPTIONS] [job_id[_array_id][.step_id]]"
    yield from help_lines(OPTIONS)


def settings_text(asked: Asked) -> Iterator[str]:
    """What -vvv shows first."""
    given = asked.values
    shown: list[tuple[str, object]] = [("account", given.get("A"))]
    shown += [(name, key in asked.flags) for name, key in (
        ("batch", "b"), ("ctld", "ctld"), ("cron", "c"), ("full", "f"), ("hurry", "H"), ("interactive", "i"),
    )]  # fmt: skip
    shown += [(name, given.get(key)) for name, key in (
        ("job_name", "n"), ("nodelist", "w"), ("partition", "p"), ("qos", "q"), ("reservation", "R"),
        ("sibling", "sibling"),
    )]  # fmt: skip
    if asked.signal is not None:
        shown.append(("signal", asked.signal))
    shown += [
        ("state", given.get("t", "?")), ("user_id", asked.user_id or 0), ("user_name", given.get("u")),
        ("verbose", asked.verbose), ("wckey", given.get("wckey")),
    ]  # fmt: skip
    for name, value in shown:
        text = "(null)" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        yield f"{name:<15}: {text}"
    for number, (text, expression) in enumerate(asked.targets):
        yield f"{'job_step_id' if expression.step else 'job_id'}[{number}]{'' if expression.step else '     '} : {text}"
