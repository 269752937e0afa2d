"""sprio: what the priorities of pending jobs are made of."""

from __future__ import annotations

import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.clusters import require_own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import OPERAND, OPTIONAL, REQUIRED, Opt, help_lines, parsed
from slurm_compat.core import columns
from slurm_compat.core.columns import Cell, Column
from slurm_compat.core.errors import CommandError

OPTIONS = (
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("federation", "federation", help="no effect: there are no federations here"),
    Opt("noheader", "h", help="without the header"),
    Opt("jobs", "j", OPTIONAL, "only these jobs, by comma", "IDS"),
    Opt("local", "local", help="no effect: only this cluster is ever asked"),
    Opt("long", "l", help="more columns"),
    Opt("cluster", "M", REQUIRED, "of these clusters, by comma", "NAMES"),
    Opt("clusters", "M", REQUIRED),
    Opt("norm", "n", help="factors from 0 to 1, without their weights"),
    Opt("format", "o", REQUIRED, "columns by letters, %[[.]WIDTH]LETTER", "FORMAT"),
    Opt("sibling", "sibling", help="the cluster's column too"),
    Opt("partition", "p", REQUIRED, "only these partitions, by comma", "NAMES"),
    Opt("partitions", "p", REQUIRED),
    Opt("sort", "S", REQUIRED, "sort by these letters of --format; - in front: downwards", "LETTERS"),
    Opt("user", "u", REQUIRED, "only jobs of these users, by comma", "NAMES"),
    Opt("users", "u", REQUIRED),
    Opt("verbose", "v", help="show the settings first"),
    Opt("version", "V", help="show the version, and end"),
    Opt("weights", "w", help="the weights that the factors have"),
    Opt("help", "help", help="show this text, and end"),
    Opt("helpformat", "helpformat", help="list what --format takes, and end"),
    Opt("usage", "usage", help="show a line of usage, and end"),
)
USAGE = """Usage: sprio [-j jid[s]] [-u user_name[s]] [-o format] [-p partitions]
   [--federation] [--local] [--sibling] [--usage] [-hlnvVw]"""
TRY = 'Try "sprio --help" for more information'

Row = dict[str, Any]


class Term(NamedTuple):
    """One part of a priority: where its factor is, and the configuration's key of its weight."""

    normalized: str  # letters of --format
    weighted: str
    header: str
    factor: str  # in a row; "" for one that no job here has
    weight: str


TERMS = (
    Term("a", "A", "AGE", "age", "PriorityWeightAge"),
    Term("b", "B", "ASSOC", "", "PriorityWeightAssoc"),
    Term("f", "F", "FAIRSHARE", "fairshare", "PriorityWeightFairShare"),
    Term("j", "J", "JOBSIZE", "job_size", "PriorityWeightJobSize"),
    Term("p", "P", "PARTITION", "partition_factor", "PriorityWeightPartition"),
    Term("q", "Q", "QOS", "qos_factor", "PriorityWeightQOS"),
)
# the same in the row that -w shows
WEIGHT_KEYS = tuple(term.weight for term in TERMS)


class Shown(NamedTuple):
    """A column, as a job and the row of weights show it. A job's text comes from its row and the weights."""

    letter: str
    header: str
    job: Callable[[Row, Mapping[str, int]], Any]
    weight: Callable[[Mapping[str, int]], Any]


def _normalized(term: Term) -> Shown:
    return Shown(
        term.normalized,
        term.header,
        lambda row, weights: f"{row[term.factor] if term.factor else 0.0:.7f}",
        lambda weights: weights[term.weight],
    )


def _weighted(term: Term) -> Shown:
    return Shown(
        term.weighted,
        term.header,
        lambda row, weights: f"{weights[term.weight] * (row[term.factor] if term.factor else 0):.0f}",
        lambda weights: weights[term.weight],
    )


def _of_job(letter: str, header: str, text: Callable[[Row], Any]) -> Shown:
    return Shown(letter, header, lambda row, weights: text(row), lambda weights: "")


COLUMNS = (
    *(_normalized(term) for term in TERMS),
    *(_weighted(term) for term in TERMS),
    _of_job("c", "CLUSTER", lambda row: columns.NULL),  # as outside of any federation
    Shown("i", "JOBID", lambda row, weights: row["job_id"], lambda weights: "Weights"),
    _of_job("n", "QOSNAME", lambda row: row["qos"]),
    _of_job("N", "NICE", lambda row: row["nice"]),
    _of_job("o", "ACCOUNT", lambda row: row["account"]),
    _of_job("r", "PARTITION", lambda row: row["partition"]),
    _of_job("s", "SLUID", lambda row: row["sluid"]),
    Shown("S", "SITE", lambda row, weights: 0, lambda weights: 1),
    _of_job("t", "TRES", lambda row: ""),  # no resource has a weight of its own
    Shown("T", "TRES", lambda row, weights: "", lambda weights: columns.NULL),
    _of_job("u", "USER", lambda row: row["user_name"]),
    _of_job("y", "PRIORITY", lambda row: f"{row['priority'] / 2**32:.14f}"),
    _of_job("Y", "PRIORITY", lambda row: row["priority"]),
)
BY_LETTER = {shown.letter: shown for shown in COLUMNS}
LETTERS = {shown.letter: Column("", shown.letter, shown.header, (shown.letter,)) for shown in COLUMNS}
HELP_ORDER = "aAbBcfFijJnNopPrSqQsuyYtT"

NORMALIZED = "%10y %10a %10f %10j %10p %10q"
NORMALIZED_LONG = "%.8u %.8o %10y %10a %10b %10f %10j %10p %10n %10q %20t"
WEIGHTED = "%.10Y %.10S %.10A %.10F %.10J %.10P %.10Q"
WEIGHTED_LONG = "%.8u %.8o %.10Y %.10S %.10A %.10B %.10F %.10J %.10P %.10n %.10Q %.11N %.20T"


@dataclass
class Asked:
    flags: set[str] = field(default_factory=set)
    stray: str = ""  # a word that no option takes
    action: str = ""
    format: str | None = None
    sort: str = ""
    jobs: list[int] = field(default_factory=list)
    jobs_text: str | None = None
    partitions: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    users_text: str | None = None
    clusters: str = ""


_FLAGS = frozenset("hlnvw") | {"sibling"}
_ACTIONS = ("help", "helpformat", "usage", "V")
_NO_EFFECT = ("federation", "local", "autocomplete")


def asked_for(argv: Sequence[str], env: Mapping[str, str]) -> Asked:
    """Raises CommandError for what sprio refuses before it asks anybody."""
    asked = Asked(clusters=env.get("SLURM_CLUSTERS", ""))
    for key, text in parsed("sprio", argv, OPTIONS, [TRY]):
        if key in _FLAGS:
            asked.flags.add(key)
        elif key in _ACTIONS:
            asked.action = key
            return asked
        elif key == "j":
            asked.jobs_text, asked.jobs = text, [_job_id(word) for word in text.split(",") if word]
        elif key == "u":
            asked.users_text, asked.users = text, list(filter(None, text.split(",")))
        elif key == "p":
            asked.partitions = list(filter(None, text.split(",")))
        elif key == "o":
            asked.format = text
        elif key == "S":
            asked.sort = text
        elif key == "M":
            asked.clusters = text
        elif key == OPERAND and asked.jobs_text == "":
            # -j takes what stands next to it; what stands apart is an operand, and meant for it all the same
            asked.jobs_text, asked.jobs = text, [_job_id(word) for word in text.split(",") if word]
        elif key == OPERAND:
            asked.action, asked.stray = "usage", text
            return asked
        elif key not in _NO_EFFECT:
            raise CommandError(f"sprio: error: --{key} is not supported here; leave it out")
    if asked.format is None:
        asked.format = env.get("SPRIO_FORMAT")
    return asked


def _job_id(text: str) -> int:
    """A task's id is its job's: 123_4 is 123."""
    if not re.fullmatch(r"\d{1,10}(_\d+)?", text):
        raise CommandError(f"sprio: error: Invalid job id: {text}")
    return int(text.partition("_")[0])


def format_text(asked: Asked) -> str:
    if asked.format is not None:
        return asked.format
    start = "%.15i %9r"
    if "l" in asked.flags:
        return f"{start} {NORMALIZED_LONG if 'n' in asked.flags else WEIGHTED_LONG}"
    if "sibling" in asked.flags:
        start += " %.8c"
    if asked.users_text is not None:
        start += " %.8u"
    return f"{start} {NORMALIZED if 'n' in asked.flags else WEIGHTED}"


def main(ctx: Context) -> int:
    asked = asked_for(ctx.argv[1:], ctx.env)
    if asked.action:
        for line in _ANSWERS[asked.action]():
            ctx.out(line)
        if asked.stray:
            ctx.error(f"Unrecognized option: {asked.stray}")
        return 1 if asked.stray else 0
    if "v" in asked.flags:
        for line in settings(asked):
            ctx.out(line)
    users = known_users(ctx, asked.users)
    if asked.clusters:
        require_own_cluster(ctx, asked.clusters)
    weights = weights_of(dict(ctx.controller.call("config")["pairs"]))
    rows: list[Row] = []
    if "w" not in asked.flags:
        all_rows = waiting(ctx)
        if not all_rows and asked.jobs:
            ctx.out("Unable to find jobs matching user/id(s) specified")
            return 0
        rows = [row for row in all_rows if passes(row, asked, users)]
        rows = in_order(rows, asked.sort, weights)
    layout = columns.layout(_cells(ctx, format_text(asked)))
    if "h" not in asked.flags:
        ctx.out(layout.header)
    shown = [BY_LETTER[letter] for letter in layout.fields]
    if "w" in asked.flags:
        ctx.out(layout.line([column.weight(weights) for column in shown]))
    for row in rows:
        ctx.out(layout.line([column.job(row, weights) for column in shown]))
    return 0


def _cells(ctx: Context, text: str) -> list[Cell | str]:
    """A letter that names no column leaves nothing of itself, nor of what follows it."""

    def complain(letter: str) -> None:
        ctx.error(f"Invalid job format specification: {letter}")

    cells = columns.parse_short(text, LETTERS, complain)
    return [cell for place, cell in enumerate(cells) if isinstance(cell, Cell) or (not place and text[:1] != "%")]


FIELDS = [
    "job_id", "array_job_id", "sluid", "user_id", "user_name", "account", "partition", "qos", "nice", "priority",
    *(term.factor for term in TERMS if term.factor),
]  # fmt: skip


def waiting(ctx: Context) -> list[Row]:
    return [dict(zip(FIELDS, row, strict=True)) for row in ctx.controller.rows("priorities", FIELDS)]


def weights_of(config: Mapping[str, str]) -> dict[str, int]:
    return {key: int(config[key]) if config.get(key, "").isdecimal() else 0 for key in WEIGHT_KEYS}


def known_users(ctx: Context, names: Iterable[str]) -> frozenset[int]:
    """Their numbers; one that nobody knows is told, and matches no job."""
    found = set()
    for name in names:
        try:
            found.add(int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid)
        except KeyError:
            ctx.error(f"Invalid user: {name}\n")
    return frozenset(found)


def passes(row: Row, asked: Asked, users: frozenset[int]) -> bool:
    if asked.jobs and row["job_id"] not in asked.jobs and row["array_job_id"] not in asked.jobs:
        return False
    if asked.partitions and row["partition"] not in asked.partitions:
        return False
    return not asked.users or row["user_id"] in users


NO_SORT = "bdeghklmsvwxzBCKORSUZ"  # letters by which the real one can't sort


def in_order(rows: list[Row], text: str, weights: Mapping[str, int]) -> list[Row]:
    """By job id, then as -S has it. Raises CommandError for a letter that nothing is sorted by."""
    rows = sorted(rows, key=lambda row: row["job_id"])
    for place in range(len(text) - 1, -1, -1):
        column = BY_LETTER.get(text[place])
        if text[place] in NO_SORT:
            raise CommandError(f"sprio: error: Invalid sort specification: {text[place]}")
        if column is not None:
            rows.sort(key=lambda row, column=column: _key(column, row, weights), reverse=text[place - 1 : place] == "-")  # type: ignore[misc]
    return rows


def _key(column: Shown, row: Row, weights: Mapping[str, int]) -> tuple[int, float, str]:
    """Numbers by their value, texts by their letters."""
    value = column.job(row, weights)
    try:
        return (0, float(value), "")
    except ValueError:
        return (1, 0.0, str(value))


def settings(asked: Asked) -> Iterator[str]:
    yield "-----------------------------"
    for name, value in (
        ("format", asked.format),
        ("job_flag", 1 if asked.jobs else 0),
        ("jobs", asked.jobs_text),
        ("partition", ",".join(asked.partitions) or None),
        ("users", asked.users_text),
        ("verbose", 1),
    ):
        yield f"{name:<10} = {columns.NULL if value is None else value}"
    yield "-----------------------------"
    yield ""
    yield ""


def _help() -> Iterator[str]:
    yield "Usage: sprio [OPTION...]: show what makes the priorities of pending jobs"
    yield from help_lines(OPTIONS)


def _letters() -> Iterator[str]:
    cells = [f"%{letter}    " for letter in HELP_ORDER]
    for start in range(0, len(cells), 8):
        yield " ".join(cells[start : start + 8]).replace("     ", "    ")


_ANSWERS: dict[str, Callable[[], Iterable[str]]] = {
    "help": _help,
    "usage": lambda: USAGE.split("\n"),
    "V": lambda: [f"slurm-wlm {SLURM_VERSION}"],
    "helpformat": _letters,
}
