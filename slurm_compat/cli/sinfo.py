"""sinfo: partitions and nodes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slurm_compat import SLURM_VERSION
from slurm_compat.cli import sinfo_columns as c
from slurm_compat.cli.clusters import require_own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import OPERAND, OPTIONAL, REQUIRED, Opt, help_lines, parsed
from slurm_compat.cli.sinfo_groups import STATES, Group, Node, grouped, state_filter
from slurm_compat.cli.timeformat import time_format
from slurm_compat.core import columns, hostlist, nodestates, timefmt
from slurm_compat.core.errors import BadValue, CommandError, SlurmError

OPTIONS = (
    #    long            short or key      argument   help
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("all", "a", help="all partitions, hidden ones too"),
    Opt("dead", "d", help="only nodes that should respond and do not"),
    Opt("exact", "e", help="nodes share a row only when their sizes are equal"),
    Opt("federation", "federation", help="no effect: there are no federations here"),
    Opt("future", "F", help="nodes in FUTURE state too"),
    Opt("help", "help", help="show this text, and end"),
    Opt("helpformat", "helpformat", help="list what --format takes, and end"),
    Opt("helpFormat", "helpFormat", help="list what --Format takes, and end"),
    Opt("helpstate", "helpstate", help="list what --states takes, and end"),
    Opt("hide", "hide", help="without hidden partitions, whatever SINFO_ALL says"),
    Opt("iterate", "i", REQUIRED, "again and again, so many seconds apart", "SECONDS"),
    Opt("json", "json", OPTIONAL, "as JSON", "PARSER"),
    Opt("local", "local", help="no effect: only this cluster is ever asked"),
    Opt("long", "l", help="more columns"),
    Opt("cluster", "M", REQUIRED),
    Opt("clusters", "M", REQUIRED, "of these clusters, by comma", "NAMES"),
    Opt("nodes", "n", REQUIRED, "only these nodes", "HOSTS"),
    Opt("noconvert", "noconvert", help="no effect: sinfo converts no amounts"),
    Opt("noheader", "h", help="without the header"),
    Opt("Node", "N", help="a line a node and partition"),
    Opt("format", "o", REQUIRED, "columns by letters, %[[.]WIDTH]LETTER", "FORMAT"),
    Opt("Format", "O", REQUIRED, "columns by names, NAME[:[.][WIDTH][SUFFIX]] by comma", "FORMAT"),
    Opt("partition", "p", REQUIRED, "only these partitions, by comma", "NAMES"),
    Opt("responding", "r", help="only nodes that respond"),
    Opt("list-reasons", "R", help="why nodes are down or drained"),
    Opt("summarize", "s", help="a line a partition"),
    Opt("sort", "S", REQUIRED, "sort by these letters of --format; - in front: downwards", "LETTERS"),
    Opt("states", "t", REQUIRED, "only nodes in one of these states, by comma; & is and, ~ is not", "STATES"),
    Opt("reservation", "T", help="reservations only"),
    Opt("usage", "usage", help="show a line of usage, and end"),
    Opt("verbose", "v", help="show the settings first"),
    Opt("version", "V", help="show the version, and end"),
    Opt("yaml", "yaml", OPTIONAL, "as YAML", "PARSER"),
)  # fmt: skip

USAGE = """Usage: sinfo [-abdelNRrsTv] [-i seconds] [-t states] [-p partition] [-n nodes]
             [-S fields] [-o format] [-O Format] [--federation] [--local]"""
TRY = 'Try "sinfo --help" for more information'

SUMMARY = "%9P %.5a %.10l %.16F %N"
NODES = "%9N %.6D %.9P %6t"
NODES_LONG = "%9N %.6D %.9P %.11T %4c %.8z %.6m %.8d %.6w %.8f %20E"
REASONS = "%20E %9u %19H %N"
REASONS_LONG = "%20E %12U %19H %6t %N"
DEFAULT = "%9P %.5a %.10l %.6D %.6t %N"
DEFAULT_LONG = "%9P %.5a %.10l %.10s %.4r %.8h %.10g %.6D %.11T %.11i %N"


@dataclass
class Asked:
    flags: set[str] = field(default_factory=set)  # short letters given
    action: str = ""
    format: str | None = None
    by_names: bool = False  # --Format
    partitions: list[str] | None = None
    nodes: list[str] | None = None
    states: str | None = None
    sort: str | None = None
    iterate: int = 0
    clusters: str = ""
    output: str = ""
    parser: str = ""


_FLAGS = frozenset("adeFlhNrRsTv")
_ACTIONS = ("help", "helpformat", "helpFormat", "helpstate", "usage", "V")
_NO_EFFECT = ("federation", "local", "noconvert", "autocomplete")


def asked_for(argv: Sequence[str], env: Mapping[str, str]) -> Asked:
    """The options over the environment's. Raises CommandError for what sinfo refuses before it asks anybody."""
    asked = Asked(clusters=env.get("SLURM_CLUSTERS", ""))
    if "SINFO_ALL" in env:
        asked.flags.add("a")
    named = False
    for key, text in parsed("sinfo", argv, OPTIONS, [TRY]):
        if key in _FLAGS:
            asked.flags.add(key)
        elif key in _ACTIONS:
            asked.action = key
            return asked
        elif key == "hide":
            asked.flags.discard("a")
        elif key in ("o", "O"):
            asked.format = text
            asked.by_names |= key == "O"
        elif key == "p":
            asked.partitions, named = text.split(","), True
        elif key == "n":
            asked.nodes = _hosts(text)
        elif key == "t":
            asked.states = _checked_states(text)
        elif key == "S":
            asked.sort = text
        elif key == "i":
            asked.iterate = int(text) if re.fullmatch(r"[1-9]\d{0,8}", text) else _bad_iterate(text)
        elif key == "M":
            asked.clusters = text
        elif key in ("json", "yaml"):
            asked.output, asked.parser = key, text
        elif key not in _NO_EFFECT and key != OPERAND:  # sinfo looks at no operands
            raise CommandError(f"sinfo: error: --{key} is not supported here; leave it out")
    if named and "a" in asked.flags and "SINFO_ALL" not in env:
        raise CommandError("sinfo: error: Conflicting options, -a and -p, specified. Please choose one or the other.")
    if asked.partitions is None and env.get("SINFO_PARTITION") and "SINFO_ALL" in env:
        raise CommandError(
            "sinfo: error: Conflicting options, SINFO_ALL and SINFO_PARTITION, specified."
            " Please choose one or the other."
        )
    if asked.partitions is None and env.get("SINFO_PARTITION"):
        asked.partitions = env["SINFO_PARTITION"].split(",")
    if asked.sort is None:
        asked.sort = env.get("SINFO_SORT")
    return asked


def _hosts(text: str) -> list[str]:
    try:
        return hostlist.expand(text)
    except BadValue:
        raise CommandError(f"sinfo: error: '{text}' invalid entry for --nodes") from None


def _checked_states(text: str) -> str:
    try:
        state_filter(text)
    except ValueError as problem:
        raise CommandError(
            f'sinfo: error: Bad state string: "{problem}"',
            "sinfo: error: valid states: " + ",".join(name for name, _, _ in STATES),
        ) from None
    return text


def _bad_iterate(text: str) -> int:
    raise CommandError(f"sinfo: error: Error: invalid entry for --iterate={text}")


def main(ctx: Context) -> int:
    asked = asked_for(ctx.argv[1:], ctx.env)
    if asked.action:
        for line in _ANSWERS[asked.action]():
            ctx.out(line)
        return 0
    while True:
        if "v" in asked.flags:
            for line in settings(asked, ctx.env):
                ctx.out(line)
        code = once(ctx, asked)
        if not asked.iterate:
            return code
        ctx.out("")
        ctx.stdout.flush()
        time.sleep(asked.iterate)


def once(ctx: Context, asked: Asked) -> int:
    if asked.output and "T" not in asked.flags:
        from slurm_compat.cli.sinfo_document import print_document

        return print_document(ctx, asked)
    view = c.View(time_format(ctx), ctx.now(), "N/A")
    if asked.clusters:
        view = view._replace(cluster=require_own_cluster(ctx, asked.clusters))
        if "h" not in asked.flags:
            ctx.out(f"CLUSTER: {view.cluster}")
    if asked.iterate or ("l" in asked.flags and "h" not in asked.flags):
        ctx.out(time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(view.now)))
    if "T" in asked.flags:
        _print_reservations(ctx, asked, view)
        return 0
    complaints: list[str] = []
    cells = columns_asked(asked, ctx.env, complaints.append)
    for line in complaints:
        ctx.err(line)
    shown = [c.BY_NAME[cell.column.name] for cell in cells if isinstance(cell, columns.Cell)]
    keys = sort_keys(sort_text(asked))
    partitions, nodes = load(ctx, asked, [*shown, *(column for column, _ in keys if column)])
    groups = grouped(
        partitions,
        nodes,
        node_filter(asked),
        kept_apart(shown, asked),
        one_a_node="N" in asked.flags,
        show_partition=with_partition(shown),
    )
    for column, downwards in reversed(keys):
        groups.sort(key=column.sort if column and column.sort else by_number, reverse=downwards)
    if (asked.format is None and "SINFO_FORMAT" not in ctx.env) or "l" in asked.flags:
        cells = fitted(cells, groups)
    layout = columns.layout([_widths_known(cell) for cell in cells])
    if "h" not in asked.flags:
        ctx.out(layout.header)
    texts = [
        (c.BY_NAME[name].text, int(width or 0)) for name, _, width in (key.partition("/") for key in layout.fields)
    ]
    for group in groups:
        # a default partition keeps its "*" when its name is cut
        ctx.out(
            layout.line([_starred(text(group, view), width) if width else text(group, view) for text, width in texts])
        )
    return 0


def kept_apart(shown: list[c.Shown], asked: Asked) -> list[Callable[[Any, Any], Any]]:
    return [column.apart for column in shown if column.apart and (not column.size or "e" in asked.flags)]


def with_partition(shown: list[c.Shown]) -> bool:
    return any(column.name in ("Partition", "PartitionName") for column in shown)


def _starred(text: str, width: int) -> str:
    return text[: width - 1] + "*" if text.endswith("*") and len(text) > width else text


def _widths_known(cell: columns.Cell | str) -> columns.Cell | str:
    """A partition's cell asks for its text by width."""
    if isinstance(cell, str) or cell.column.name != "Partition" or not cell.width:
        return cell
    return cell._replace(column=cell.column._replace(fields=(f"Partition/{cell.width}",)))


def by_number(group: Group) -> int:
    return group.number


def format_text(asked: Asked, env: Mapping[str, str]) -> str:
    if asked.format is not None:
        return asked.format
    long = "l" in asked.flags
    if "s" in asked.flags:
        return SUMMARY
    if "N" in asked.flags:
        return NODES_LONG if long else NODES
    if "R" in asked.flags:
        return REASONS_LONG if long else REASONS
    return env.get("SINFO_FORMAT") or (DEFAULT_LONG if long else DEFAULT)


def columns_asked(asked: Asked, env: Mapping[str, str], complain: Callable[[str], None]) -> list[columns.Cell | str]:
    text = format_text(asked, env)
    if asked.by_names:
        return columns.parse_long(
            text,
            columns.by_name(c.TABLE),
            lambda name: complain(f"sinfo: error: Invalid job format specification: {name}"),
        )
    return columns.parse_short(
        text,
        columns.by_letter(c.TABLE),
        lambda letter: complain(f"Invalid node format specification: {letter}"),
        missing=c.TABLE[0],
    )


def fitted(cells: Sequence[columns.Cell | str], groups: Iterable[Group]) -> list[columns.Cell | str]:
    """The default formats give partition and node names as much room as the longest needs, never less than nine."""
    view = c.View()
    widths = {
        name: max([9, *(len(c.BY_NAME[name].text(group, view)) for group in groups)])
        for name in ("Partition", "NodeList")
    }
    return [
        cell._replace(width=widths[cell.column.name])
        if isinstance(cell, columns.Cell) and cell.width and cell.column.name in widths
        else cell
        for cell in cells
    ]


def sort_text(asked: Asked) -> str:
    if asked.sort is not None:
        return asked.sort
    return "N" if "N" in asked.flags else "#P,-t"


def sort_keys(text: str) -> list[tuple[c.Shown | None, bool]]:
    """(column, downwards) of each letter; None is the partitions' own order ("#P"). Other letters are nothing."""
    keys: list[tuple[c.Shown | None, bool]] = []
    for index, letter in enumerate(text):
        before = text[index - 1] if index else ""
        if letter == "P" and before == "#":
            keys.append((None, False))
        elif letter in c.BY_LETTER and c.BY_LETTER[letter].sort:
            keys.append((c.BY_LETTER[letter], before == "-"))
    return keys


def load(
    ctx: Context, asked: Asked, shown: Sequence[c.Shown]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Partitions in their order, and nodes by name, with the fields that the columns, filters and sort keys read."""
    partition_fields = [
        "name",
        "node_names",
        "hidden",
        "default",
        *(key for column in shown for key in column.partition),
    ]
    node_fields = ["name", "state", "state_flags", "reason", *(key for column in shown for key in column.nodes)]
    partition_fields, node_fields = list(dict.fromkeys(partition_fields)), list(dict.fromkeys(node_fields))
    try:
        partitions = [
            dict(zip(partition_fields, row, strict=True)) for row in ctx.controller.rows("partitions", partition_fields)
        ]
        nodes = {row[0]: dict(zip(node_fields, row, strict=True)) for row in ctx.controller.rows("nodes", node_fields)}
    except SlurmError as problem:
        raise CommandError(f"slurm_load_partitions: {problem.text}") from None
    if asked.partitions is not None:
        partitions = [partition for partition in partitions if partition["name"] in asked.partitions]
    elif "a" not in asked.flags and ctx.uid != 0:
        partitions = [partition for partition in partitions if not partition["hidden"]]
    return partitions, nodes


def node_filter(asked: Asked) -> Callable[[Node], bool]:
    tests: list[Callable[[Node], bool]] = []
    if asked.nodes is not None:
        names = frozenset(asked.nodes)
        tests.append(lambda node: node["name"] in names)
    if asked.states is not None and (in_states := state_filter(asked.states)):
        tests.append(in_states)
    if "R" in asked.flags:
        tests.append(lambda node: bool(node["reason"]))
    if "d" in asked.flags:
        tests.append(lambda node: nodestates.NOT_RESPONDING in node["state_flags"])
    if "r" in asked.flags:
        tests.append(lambda node: nodestates.NOT_RESPONDING not in node["state_flags"])
    if "F" not in asked.flags and asked.states is None:
        tests.append(lambda node: node["state"] != nodestates.FUTURE)
    return lambda node: all(test(node) for test in tests)


RESERVATION_FIELDS = ["name", "start_time", "end_time", "nodes"]


def _print_reservations(ctx: Context, asked: Asked, view: c.View) -> None:
    rows = list(ctx.controller.rows("reservations", RESERVATION_FIELDS))
    if not rows:
        ctx.out("No reservations in the system")
        return
    # without the header nobody has looked how long the names are
    width = 9 if "h" in asked.flags else max(9, *(len(row[0]) for row in rows))
    line = "%-*s  %8s  %19s  %19s  %11s  %s"
    if "h" not in asked.flags:
        ctx.out(line % (width, "RESV_NAME", "STATE", "START_TIME", "END_TIME", "DURATION", "NODELIST"))
    for name, start, end, nodes in rows:
        state = "ACTIVE" if start <= view.now <= end else "INACTIVE"
        moments = (timefmt.clock(at, view.time_format, view.now) for at in (start, end))
        ctx.out(line % (width, name, state, *moments, timefmt.duration(end - start), nodes or "(null)"))


def settings(asked: Asked, env: Mapping[str, str]) -> Iterator[str]:
    """What -v shows before the table."""
    rule = "-----------------------------"
    yield rule
    for name, value in (
        ("dead", "d" in asked.flags), ("exact", int("e" in asked.flags)),
        ("format", format_text(asked, env)), ("iterate", asked.iterate), ("long", "l" in asked.flags),
        ("no_header", "h" in asked.flags), ("node_format", "N" in asked.flags),
        ("nodes", hostlist.compress(asked.nodes) if asked.nodes else "n/a"),
        ("partition", ",".join(asked.partitions or []) or "n/a"), ("responding", "r" in asked.flags),
        ("states", asked.states or "(null)"), ("sort", asked.sort or "(null)"),
        ("summarize", "s" in asked.flags), ("verbose", 1),
    ):  # fmt: skip
        yield f"{name:<11} = {str(value).lower() if isinstance(value, bool) else value}"
    yield rule


def _help() -> Iterator[str]:
    yield "Usage: sinfo [OPTIONS]"
    yield from help_lines(OPTIONS)


_ANSWERS: dict[str, Callable[[], Iterable[str]]] = {
    "help": _help,
    "usage": lambda: USAGE.split("\n"),
    "V": lambda: [f"slurm-wlm {SLURM_VERSION}"],
    "helpformat": lambda: [
        "".join(f"%{letter}    " for letter in c.HELP_LETTERS[start : start + 8])
        for start in range(0, len(c.HELP_LETTERS), 8)
    ],
    "helpFormat": lambda: [
        "".join(column.name.ljust(20) for column in c.COLUMNS[start : start + 4])
        for start in range(0, len(c.COLUMNS), 4)
    ],
    "helpstate": lambda: [name for name, _, _ in STATES],
}
