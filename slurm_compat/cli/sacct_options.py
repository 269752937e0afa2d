"""sacct's options: the table, and what the caller asked for as one checked value."""

from __future__ import annotations

import grp
import pwd
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from slurm_compat.cli.optiontable import OPERAND, OPTIONAL, REQUIRED, Opt, parsed
from slurm_compat.core import errors, hostlist, jobid, states, timefmt, units
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.fieldprint import BETWEEN, COLUMNS, ENDED
from slurm_compat.core.jobid import JobExpression

OPTIONS = (
    #    long              short or key         argument  help
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("allusers", "a", help="jobs of all users; what root gets without asking"),
    Opt("accounts", "A", REQUIRED, "only jobs of these accounts, by comma", "NAMES"),
    Opt("allocations", "X", help="the jobs alone, without their steps"),
    Opt("array", "array", help="a line for each task of an array that still waits"),
    Opt("allclusters", "L", help="jobs of all clusters; this controller knows one"),
    Opt("associations", "x", REQUIRED, "only jobs of these associations, by comma", "IDS"),
    Opt("brief", "b", help="the fields jobid, state and exitcode"),
    Opt("batch-script", "B", help="the batch scripts of the jobs that --jobs names"),
    Opt("completion", "c", help="read job completion records; there are none here"),
    Opt("constraints", "C", REQUIRED),
    Opt("cluster", "M", REQUIRED),
    Opt("clusters", "M", REQUIRED, "only jobs of these clusters, by comma; all for every one", "NAMES"),
    Opt("delimiter", "delimiter", REQUIRED, "what stands between fields with -p and -P, instead of |", "TEXT"),
    Opt("duplicates", "D", help="also the earlier runs of requeued jobs"),
    Opt("helpformat", "e", help="list the fields that --format takes, and end"),
    Opt("helpreason", "helpreason", help="list the reasons that --reason takes, and end"),
    Opt("helpstate", "helpstate", help="list the states that --state takes, and end"),
    Opt("help", "h", help="show this text, and end"),
    Opt("endtime", "E", REQUIRED, "only jobs eligible before this time; with --state: in that state before it", "TIME"),
    Opt("env-vars", "env-vars", help="the environment of the jobs that --jobs names"),
    Opt("expand-patterns", "expand-patterns", help="put names for the %j and %a of stdin, stdout and stderr",
        shown="expand-pattern"),
    Opt("federation", "federation", help="no effect: there are no federations here"),
    Opt("file", "f", REQUIRED, "read a job completion file; there are none here", "FILE"),
    Opt("flags", "F", REQUIRED),  # not on the real page either
    Opt("fields", "o", REQUIRED),
    Opt("format", "o", REQUIRED, "fields by comma, each with %WIDTH or %-WIDTH if wanted", "FIELDS"),
    Opt("gid", "g", REQUIRED, "the same as --group", "NAMES"),
    Opt("group", "g", REQUIRED, "only jobs of these groups, names or numbers by comma", "NAMES"),
    Opt("jobs", "j", REQUIRED, "only these jobs or steps, by comma: 12, 12_3, 12+1, 12.0, 12.batch", "IDS"),
    Opt("json", "json", OPTIONAL, "as JSON", "PARSER"),
    Opt("local", "local", help="no effect: only this cluster is ever asked"),
    Opt("long", "l", help="a long list of fields"),
    Opt("name", "name", REQUIRED, "only jobs of these names, by comma", "NAMES"),
    Opt("nnodes", "i", REQUIRED, "only jobs that ran on so many nodes: N or MIN-MAX", "N"),
    Opt("ncpus", "I", REQUIRED, "only jobs that ran on so many CPUs: N or MIN-MAX", "N"),
    Opt("nodelist", "N", REQUIRED, "only jobs that ran on one of these nodes", "HOSTS"),
    Opt("noconvert", "noconvert", help="leave amounts in the unit they are kept in"),
    Opt("noheader", "n", help="without the header"),
    Opt("parsable", "p", help="fields with | behind each"),
    Opt("parsable2", "P", help="fields with | between them"),
    Opt("partition", "r", REQUIRED, "only jobs of these partitions, by comma", "NAMES"),
    Opt("qos", "q", REQUIRED, "only jobs of these QOS, by comma", "NAMES"),
    Opt("reason", "R", REQUIRED, "only jobs that waited for one of these reasons, by comma", "REASONS"),
    Opt("state", "s", REQUIRED, "only jobs that were in one of these states in the time asked for", "STATES"),
    Opt("starttime", "S", REQUIRED, "only jobs eligible after this time: today's midnight, unless --state or\n"
        "--jobs say otherwise", "TIME"),
    Opt("timelimit-min", "k", REQUIRED, "only jobs of this time limit; with --timelimit-max: or a longer one", "TIME"),
    Opt("timelimit-max", "K", REQUIRED, "the longest time limit, with --timelimit-min", "TIME"),
    Opt("truncate", "T", help="cut what lies before --starttime and after --endtime off start, end and elapsed"),
    Opt("units", "units", REQUIRED, "amounts in this unit: K, M, G, T or P", "UNIT"),
    Opt("uid", "u", REQUIRED, "the same as --user", "NAMES"),
    Opt("use-local-uid", "use-local-uid"),
    Opt("usage", "usage", help="show a line of usage, and end"),
    Opt("user", "u", REQUIRED, "only jobs of these users, names or numbers by comma", "NAMES"),
    Opt("verbose", "v", help="say what is asked for"),
    Opt("version", "V", help="show the version, and end"),
    Opt("wckeys", "W", REQUIRED, "only jobs of these workload keys, by comma", "KEYS"),
    Opt("whole-hetjob", "whole-hetjob", OPTIONAL, "all components of a heterogeneous job, or only\nthose asked for",
        "yes|no"),
    Opt("yaml", "yaml", OPTIONAL, "as YAML", "PARSER"),
)  # fmt: skip

TIMES = """
Times: HH:MM[:SS][AM|PM], MMDD[YY], MM/DD[/YY], MM.DD[.YY], MM/DD[/YY]-HH:MM[:SS], YYYY-MM-DD[THH:MM[:SS]],
now[{+|-}COUNT[seconds|minutes|hours|days|weeks]]"""


@dataclass
class Request:
    """What was asked for. Empty filters match all; times are epoch seconds, None when not given."""

    action: str = ""  # "" lists; "help" "usage" "version" "fields" "states" "reasons" "scripts" "environments"
    all_users: bool = False
    whole_hetjob: bool | None = None  # None: of a heterogeneous job's first component all
    users: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    associations: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    bad_nodes: bool = False
    partitions: list[str] = field(default_factory=list)
    qos: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    wckeys: list[str] = field(default_factory=list)
    targets: list[JobExpression] = field(default_factory=list)
    nnodes: tuple[int, int] | None = None
    ncpus: tuple[int, int] | None = None
    limit_min: int | None = None  # minutes
    limit_max: int | None = None
    start: int | None = None
    end: int | None = None
    truncate: bool = False
    duplicates: bool = False
    expand_arrays: bool = False
    allocations: bool = False
    expand_patterns: bool = False
    fields: str = ""
    brief: bool = False
    long: bool = False
    header: bool = True
    form: int = COLUMNS
    delimiter: str = "|"
    unit: int | None = None
    convert: bool = True
    verbose: int = 0
    output: str = ""  # "json", "yaml"
    parser: str = ""


FLAGS: dict[str, tuple[str, object]] = {
    "a": ("all_users", True),
    "X": ("allocations", True),
    "array": ("expand_arrays", True),
    "b": ("brief", True),
    "B": ("action", "scripts"),
    "env-vars": ("action", "environments"),
    "D": ("duplicates", True),
    "e": ("action", "fields"),
    "h": ("action", "help"),
    "helpreason": ("action", "reasons"),
    "helpstate": ("action", "states"),
    "usage": ("action", "usage"),
    "V": ("action", "version"),
    "expand-patterns": ("expand_patterns", True),
    "l": ("long", True),
    "n": ("header", False),
    "noconvert": ("convert", False),
    "p": ("form", ENDED),
    "P": ("form", BETWEEN),
    "T": ("truncate", True),
}
# accepted, and nothing to be done: one cluster, no federation, user names looked up here anyway
NO_EFFECT = ("L", "federation", "local", "use-local-uid")
LISTS = {
    "A": "accounts",
    "x": "associations",
    "M": "clusters",
    "C": "constraints",
    "name": "names",
    "q": "qos",
    "r": "partitions",
    "W": "wckeys",
}
_AT_ONCE = ("help", "usage", "version", "fields", "states", "reasons")


def request(argv: list[str], now: float) -> Request:
    """Raises CommandError for what sacct refuses before it asks anybody."""
    asked = Request()
    unknown: list[str] = []
    for key, text in parsed("sacct", argv, OPTIONS):
        if key == OPERAND:
            unknown.append(text)
        elif key in FLAGS:
            name, value = FLAGS[key]
            setattr(asked, name, value)
        elif key in LISTS:
            getattr(asked, LISTS[key]).extend(text.split(",") if key != "C" else [text])
        else:
            _option(asked, key, text, now)
        if asked.action in _AT_ONCE:
            return asked
    if unknown:
        raise CommandError("sacct: error: Unknown arguments:", *(f"sacct: error:  {text}" for text in unknown))
    if "all" in asked.clusters:
        asked.clusters = []
    for action, what in (("scripts", "job scripts"), ("environments", "job environment")):
        if asked.action == action and not asked.targets:
            raise CommandError(
                f"sacct: fatal: When requesting {what} you must also request specific jobs with the '-j' option."
            )
    if asked.long and asked.fields:
        raise CommandError(
            "sacct: fatal: Options -o(--format) and -l(--long) are mutually exclusive. Please remove one and retry."
        )
    return asked


def _option(asked: Request, key: str, text: str, now: float) -> None:
    if key in NO_EFFECT:
        pass
    elif key == "whole-hetjob":
        if text.lower() not in ("", "yes", "no"):
            raise CommandError(f'sacct: error: Invalid --whole-hetjob value "{text}". Valid values: [yes|no].')
        asked.whole_hetjob = text.lower() != "no"
    elif key in _READERS:
        _READERS[key](asked, text)
    elif key in ("S", "E"):
        setattr(asked, "start" if key == "S" else "end", _time(text, now))
    elif key == "c":
        raise CommandError("Slurm job completion is disabled")
    elif key == "f":
        raise CommandError(f"{text} is not a valid file")
    else:
        raise CommandError(f"sacct: error: --{key} is not supported here; leave it out")


def _time(text: str, now: float) -> int:
    try:
        return timefmt.moment(text, now, past=True)
    except BadValue as problem:
        raise CommandError(str(problem) or f"Invalid time specification (pos=0): {text}") from None


def _ids(kind: str, text: str, number_of: Callable[[str], int], known: Callable[[int], object]) -> list[int]:
    """Users or groups by name or number. Slurm takes neither names nor numbers that nobody has."""
    found = []
    for word in filter(None, text.split(",")):
        try:
            found.append(number_of(word))
        except KeyError:
            try:
                found.append(int(word))
                known(found[-1])
            except (ValueError, KeyError, OverflowError):
                raise CommandError(f"sacct: error: Invalid {kind} id: {word}") from None
    return found


def _users(asked: Request, text: str) -> None:
    if text == "-1":  # all of them
        asked.all_users = True
        return
    asked.users += _ids("user", text, lambda name: pwd.getpwnam(name).pw_uid, pwd.getpwuid)


def _groups(asked: Request, text: str) -> None:
    asked.groups += _ids("group", text, lambda name: grp.getgrnam(name).gr_gid, grp.getgrgid)


ACCOUNTED = ("REQUEUED", "RESIZING", "REVOKED")  # of the states that stand beside a job's own


def _flags(asked: Request, text: str) -> None:
    known = {flag.lower(): flag for flag in JOB_FLAGS}
    for word in filter(None, text.split(",")):
        if word.lower() not in known:
            raise CommandError(f"sacct: error: str_2_job_flags: Invalid job flag {word}")
        asked.flags.append(known[word.lower()])


JOB_FLAGS = ("None", "SchedSubmit", "SchedMain", "SchedBackfill", "StartReceived")


def _states(asked: Request, text: str) -> None:
    for word in filter(None, text.split(",")):
        name = states.state_named(word)
        if name is None:
            raise CommandError(f"sacct: fatal: unrecognized job state value '{word}'")
        if name not in states.BASE and name not in ACCOUNTED:
            raise CommandError(f"sacct: fatal: job state {word} is not supported / accounted")
        asked.states.append(name)


def _reasons(asked: Request, text: str) -> None:
    from slurm_compat.cli.sacct_help import REASONS

    known = {reason.lower(): reason for reason in REASONS}
    for word in filter(None, text.split(",")):
        if word.lower() not in known:
            raise CommandError(f"sacct: fatal: unrecognized job reason value '{word}'")
        asked.reasons.append(known[word.lower()])


def _nodes(asked: Request, text: str) -> None:
    try:
        asked.nodes += hostlist.expand(text)
    except BadValue:
        asked.bad_nodes = True  # found out with the header on the page already


def _range(what: str, text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if not found:
        raise CommandError(f'sacct: error: Invalid numeric value "{text}" for requested {what} range.')
    return int(found[1]), int(found[2] or found[1])


def _nnodes(asked: Request, text: str) -> None:
    asked.nnodes = _range("node", text)


def _ncpus(asked: Request, text: str) -> None:
    asked.ncpus = _range("cpu", text)


def _limit(name: str) -> Callable[[Request, str], None]:
    def read(asked: Request, text: str) -> None:
        try:
            setattr(asked, name, timefmt.minutes(text))
        except BadValue:
            raise CommandError("sacct: fatal: Invalid time limit specification") from None

    return read


def _unit(asked: Request, text: str) -> None:
    letter = text[:1].upper()
    if not letter or letter not in units.LETTERS:
        raise CommandError(
            # without a letter Slurm prints the end of its text, which ends the line
            f"sacct: error: Invalid unit type '{text[:1]}'. Possible options are 'KMGTP'"
            if text
            else "sacct: error: Invalid unit type '",
            "sacct: fatal: Invalid unit type",
        )
    asked.unit = units.LETTERS.index(letter)


def _format(asked: Request, text: str) -> None:
    asked.fields += text + ","


def _delimiter(asked: Request, text: str) -> None:
    asked.delimiter = text


def _targets(asked: Request, text: str) -> None:
    asked.targets += [target(word) for word in text.split(",") if word]


def _output(kind: str) -> Callable[[Request, str], None]:
    def read(asked: Request, text: str) -> None:
        asked.output, asked.parser = kind, text

    return read


def _verbose(asked: Request, text: str) -> None:
    asked.verbose += 1


_READERS: Mapping[str, Callable[[Request, str], None]] = {
    "u": _users,
    "g": _groups,
    "s": _states,
    "F": _flags,
    "R": _reasons,
    "N": _nodes,
    "i": _nnodes,
    "I": _ncpus,
    "k": _limit("limit_min"),
    "K": _limit("limit_max"),
    "units": _unit,
    "o": _format,
    "delimiter": _delimiter,
    "j": _targets,
    "json": _output("json"),
    "yaml": _output("yaml"),
    "v": _verbose,
}

_TARGET = re.compile(r"(?P<job>[^_+.]*)(?:_(?P<task>[^.]*)|\+(?P<offset>[^.]*))?(?:\.(?P<step>.*))?", re.DOTALL)
# part: numbers of the errors for empty, not a number, too large
_PART_ERRORS = {
    "job": (2136, 2140, 2139, jobid.NO_VAL),
    "task": (2141, 2144, 2143, jobid.NO_VAL),
    "offset": (2146, 2140, 2148, jobid.NO_VAL),
    "step": (2150, 2153, 2152, 0xFFFFFFF0),
}


def target(text: str, command: str = "sacct") -> JobExpression:
    """One job or step of -j. Raises CommandError that names the part which is wrong, as sacct and sstat do."""
    bad = f"{command}: fatal: Bad job/step specified: {text}"
    if not text[:1].isdigit():
        if jobid.is_sluid(text.partition(".")[0]):
            return jobid.parse(text)
        raise CommandError(bad)
    match = _TARGET.fullmatch(text)
    assert match is not None  # every text matches
    for part, (empty, not_number, too_large, limit) in _PART_ERRORS.items():
        value = match[part]
        if value is None or (part == "step" and value in jobid.NAMED_STEPS):
            continue
        number = empty if not value else not_number if not re.fullmatch(r"\d+", value, re.ASCII) else 0
        if part == "task" and value.startswith("["):
            number = 2140
        if not number and int(value) >= limit:
            number = too_large
        if not number and part == "job" and int(value) == 0:
            number = 2137
        if number:
            raise CommandError(f"{bad}: {errors.TEXT[number]}")
    try:
        return jobid.parse(text)
    except BadValue:
        raise CommandError(bad) from None
