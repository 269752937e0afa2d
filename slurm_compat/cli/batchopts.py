"""The options of one sbatch, srun or salloc, from all the places that may hold them, as a request.

    parse(command, argv, env, scan_script=None, *, uid, now, cwd, warn)
        -> Parsed(request, attrs, rest, given, texts, components)

`argv` is without the command's own name. `scan_script(rest, attrs)` is called when the command line has been read, and
gives the words of the script's directives, a list a component (sbatch only). What JobRequest has no field for is in
`attrs`: names of StepRequest's fields where it has one, else the command's own (see optionrows.py). `given` says where
each option came from. Components after the first of a heterogeneous job or step are Parsed of their own; in srun each
has its own `rest`. Precedence: command line, then environment, then script. Raises CommandError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slurm_compat.cli.batchchecks import checked
from slurm_compat.core.errors import CommandError, UsageError
from slurm_compat.core.model import JobRequest
from slurm_compat.core.optionrows import OF, SWITCH_VARIABLES
from slurm_compat.core.options import NONE, Option, Where, scan
from slurm_compat.core.optionvalues import wait_for_switch

SCRIPT, ENVIRONMENT, COMMAND_LINE = "script", "environment", "command line"
REQUEST_FIELDS = frozenset(JobRequest.__struct_fields__)

# options that say something of one component only; the others hold for those that follow too. Observed on 26.05
OF_ONE_COMPONENT = frozenset(
    {"array", "bb", "bbf", "constraint", "contiguous", "core-spec", "cores-per-socket", "cpus-per-gpu",
     "cpus-per-task", "distribution", "exclusive", "extra-node-info", "gpu-bind", "gpu-freq", "gpus", "gpus-per-node",
     "gpus-per-socket", "gpus-per-task", "gres", "gres-flags", "licenses", "mail-type", "mail-user", "mem-bind",
     "mem-per-cpu", "mem-per-gpu", "mincpus", "network", "nodefile", "nodelist", "nodes", "ntasks", "ntasks-per-core",
     "ntasks-per-gpu", "ntasks-per-node", "ntasks-per-socket", "ntasks-per-tres", "overcommit", "oversubscribe",
     "partition", "segment", "sockets-per-node", "spread-job", "switches", "thread-spec", "threads-per-core", "tmp",
     "tres-bind", "tres-per-task", "use-min-nodes"}
)  # fmt: skip

Scan = Callable[[list[str], dict[str, Any]], list[list[str]]]


@dataclass
class Parsed:
    request: JobRequest
    attrs: dict[str, Any]
    rest: list[str]  # the words behind the options: script or command, and its arguments
    given: dict[str, str] = field(default_factory=dict)  # option: SCRIPT, ENVIRONMENT or COMMAND_LINE
    texts: dict[str, str | None] = field(default_factory=dict)  # option: its argument as it was given
    components: list[Parsed] = field(default_factory=list)


@dataclass
class Level:
    """What one place said: fields, and the options that filled them."""

    values: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str | None] = field(default_factory=dict)

    def take(self, option: Option, text: str | None, where: Where) -> None:
        filled = option.reader(text, where._replace(option=option.name))
        for counted in {"verbose", "quiet"} & filled.keys():
            filled[counted] += self.values.get(counted, 0)
        self.values.update(filled)
        self.texts[option.name] = text

    def without(self, names: frozenset[str], rows: Sequence[Option], where: Where) -> Level:
        """This level read again without those options: what the next component starts from."""
        again = Level()
        by_name = {row.name: row for row in rows}
        for name, text in self.texts.items():
            if name not in names:
                again.take(by_name[name], text, where)
        return again


def parse(
    command: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    scan_script: Scan | None = None,
    *,
    uid: int = 0,
    now: float = 0.0,
    cwd: str = "",
    warn: Callable[[str], None] = lambda line: None,
) -> Parsed:
    """`warn` is given lines for stderr that do not end the command. See the module's text for the rest."""
    where = Where(command, "", uid, now)
    rows = OF[command]
    lines, rests = _command_line(command, list(argv), where)
    if asked := next((line for line in lines if _asks_to_be_told(line)), None):
        return _parsed([asked], rests[0])
    groups = scan_script(rests[-1], _merged(lines).values) if scan_script else []
    scripts = [_script_level(group, where) for group in groups]
    environment = _environment_level(command, env, where)
    everything = []
    for index in range(max(len(lines), len(scripts), 1)):
        if index == len(scripts):
            scripts.append(Level())
        if index == len(lines):
            lines.append(Level())
        if index:
            scripts[index] = _merged([scripts[index - 1].without(OF_ONE_COMPONENT, rows, where), scripts[index]])
            lines[index] = _merged([lines[index - 1].without(OF_ONE_COMPONENT, rows, where), lines[index]])
        rest = rests[index] if index < len(rests) else rests[-1]
        parsed = _parsed([scripts[index], environment, lines[index]], rest)
        everything.append(checked(command, parsed, cwd=cwd, warn=warn))
    first: Parsed = everything[0]
    if command != "srun":
        first.rest = rests[-1]
    first.components = everything[1:]
    return first


def from_level(level: Level, cwd: str) -> Parsed:
    """What options that stand alone make of a request, with sbatch's checks of what they mean together."""
    return checked("sbatch", _parsed([level], []), cwd=cwd, warn=lambda line: None)


def _asks_to_be_told(line: Level) -> bool:
    return not {"help", "usage", "version", "autocomplete", "tell", "gres_help"}.isdisjoint(line.values)


def _command_line(command: str, argv: list[str], where: Where) -> tuple[list[Level], list[list[str]]]:
    """A level and the words behind its options for each component; ":" parts them."""
    levels, rests = [], []
    while True:
        rest: list[str] = []
        level = Level()
        for option, text in scan(OF[command], command, argv, rest):
            level.take(option, text, where)
            if _asks_to_be_told(level):
                return [level], [[]]  # --help and the like act at once, whatever stands behind them
        levels.append(level)
        # srun has a command, and so words of its own, in every component; in the others only options stand before ":"
        colon = rest.index(":") if ":" in rest and (command == "srun" or rest[0] == ":") else -1
        if colon < 0:
            rests.append(rest)
            return levels, rests
        rests.append(rest[:colon])
        argv = rest[colon + 1 :]


def _script_level(words: list[str], where: Where) -> Level:
    level = Level()
    rest: list[str] = []
    try:
        for option, text in scan(OF["sbatch"], "sbatch", words, rest):
            if option.script:
                level.take(option, text, where)
    except UsageError as problem:  # of a directive: however sbatch was called
        raise CommandError(*problem.lines, code=problem.code) from None
    if rest:
        raise CommandError(f"sbatch: error: Invalid directive found in batch script: {rest[0]}", code=255)
    return level


def _environment_level(command: str, env: Mapping[str, str], where: Where) -> Level:
    level = Level()
    for option in OF[command]:
        for variable in option.variables(command):
            text = env.get(variable)
            if text is None:
                continue
            if option.name == "verbose":
                level.take(option, text, where)
            elif option.argument != NONE:
                level.take(option, _with_plane_size(variable, text, env) if text else text or None, where)
            elif _means_yes(text):
                level.take(option, None, where)
    count, wait = SWITCH_VARIABLES[command]
    if env.get(count, "").isdigit():
        level.values["required_switches"] = int(env[count])
    if env.get("SLURM_HOSTFILE"):
        level.values["hostfile"] = env["SLURM_HOSTFILE"]
    if wait in env:
        level.values |= wait_for_switch(env[wait], where)
    return level


def _means_yes(text: str) -> bool:
    """Of a variable that stands for an option without an argument: empty, "yes" or a number that is not 0."""
    digits = text.lstrip("+-")
    number = digits[: len(digits) - len(digits.lstrip("0123456789"))]
    return text == "" or text.lower() == "yes" or (bool(number) and int(number) != 0)


def _with_plane_size(variable: str, text: str, env: Mapping[str, str]) -> str:
    """Inside a job the size of a plane distribution is in a variable of its own."""
    if variable == "SLURM_DISTRIBUTION" and text == "plane" and "SLURM_DIST_PLANESIZE" in env:
        return f"plane={env['SLURM_DIST_PLANESIZE']}"
    return text


def _merged(levels: Sequence[Level]) -> Level:
    whole = Level()
    for level in levels:
        whole.values.update(level.values)
        whole.texts.update(level.texts)
    return whole


def _parsed(levels: Sequence[Level], rest: list[str]) -> Parsed:
    """Later levels win; of memory options, the command line and the script together win over the environment."""
    origins = (SCRIPT, ENVIRONMENT, COMMAND_LINE)[-len(levels) :]
    whole = _merged(levels)
    given = {name: origin for origin, level in zip(origins, levels, strict=True) for name in level.texts}
    request = {name: value for name, value in whole.values.items() if name in REQUEST_FIELDS}
    attrs = {name: value for name, value in whole.values.items() if name not in REQUEST_FIELDS}
    return Parsed(JobRequest(**request), attrs, rest, given, whole.texts)
