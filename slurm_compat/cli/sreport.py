"""sreport: what was used of the cluster, by whom, in whole hours that are over; asked once, or in a conversation.

Source: sreport(1); layouts, refusals and exit codes observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from slurm_compat import SLURM_VERSION
from slurm_compat.cli import sreport_reports as reports
from slurm_compat.cli import sreport_sizes as sizes
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import OPERAND, REQUIRED, Opt, help_lines, parsed
from slurm_compat.cli.sreport_amounts import MINUTES, RULE, Unit, unit_named, widened, window
from slurm_compat.cli.sreport_columns import AMOUNTS, placed
from slurm_compat.cli.sreport_reports import Inquiry, Report
from slurm_compat.cli.sreport_words import GRAMMARS, read
from slurm_compat.core import fieldprint
from slurm_compat.core.errors import CommandError
from slurm_compat.core.fieldprint import BETWEEN, COLUMNS, ENDED

OPTIONS = (
    Opt("all", "a", help="all clusters"),
    Opt("all_clusters", "a"),
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("cluster", "M", REQUIRED),
    Opt("clusters", "M", REQUIRED),
    Opt("federation", "federation", help="no effect: there are no federations here"),
    Opt("help", "h", help="show this text, and end"),
    Opt("usage", "h"),
    Opt("local", "local", help="no effect: only this cluster is ever asked"),
    Opt("noheader", "n", help="without the header"),
    Opt("parsable", "p", help="fields with | behind each"),
    Opt("parsable2", "P", help="fields with | between them"),
    Opt("quiet", "Q", help="no effect: errors only are told anyway"),
    Opt("time", "t", REQUIRED),  # its letter alone is on the real page
    Opt("tres", "T", REQUIRED, "the resources to report on, by comma; ALL for all", "NAMES"),
    Opt("verbose", "v", help="no effect: there is nothing more to tell"),
    Opt("version", "V", help="show the version, and end"),
)
TRY = 'Try "sreport --help" for more information'

CLUSTER_REPORTS = (
    # least letters, name, the words it takes, report
    (21, "AccountUtilizationByUser", "association", reports.account_by_user),
    (21, "AccountUtilizationByQOS", "association", reports.account_by_qos),
    (18, "UserUtilizationByAccount", "association", reports.user_by_account),
    (18, "UserUtilizationByWckey", "wckey", reports.user_by_wckey),
    (2, "Utilization", "cluster", reports.cluster_utilization),
    (1, "WCKeyUtilizationByUser", "wckey", reports.wckey_by_user),
)
JOB_REPORTS = (
    (1, "SizesByAccount", "job", sizes.by_account),
    (15, "SizesByAccountAndWcKey", "job", sizes.by_account_and_wckey),
    (8, "SizesByWckey", "job", sizes.by_wckey),
)
RESERVATION_REPORTS = ((1, "Utilization", "reservation", reports.reservation_utilization),)
USER_REPORTS = ((1, "TopUsage", "user", reports.top_users),)

Reports = tuple[tuple[int, str, str, Callable[[Inquiry], Report]], ...]
KINDS: tuple[tuple[int, str, Reports, str], ...] = (
    # least letters, name, reports, what a refusal says is valid
    (2, "cluster", CLUSTER_REPORTS, '"AccountUtilizationByUser", "AccountUtilizationByQOS", '
     '"UserUtilizationByAccount", "UserUtilizationByWckey", "Utilization", and "WCKeyUtilizationByUser"'),
    (1, "job", JOB_REPORTS, '"SizesByAccount, SizesByAccountAndWcKey, and  SizesByWckey"'),
    (2, "reservation", RESERVATION_REPORTS, '"Utilization"'),
    (1, "user", USER_REPORTS, '"Top"'),
)  # fmt: skip


@dataclass
class Settings:
    """What options, and commands of a conversation, set for the reports behind them."""

    unit: Unit = MINUTES
    tres: str = ""
    form: int = COLUMNS
    header: bool = True
    clusters: list[str] = field(default_factory=list)
    every: bool = False  # all clusters
    exit_code: int = 0
    ended: bool = False


def main(ctx: Context) -> int:
    settings = Settings()
    words: list[str] = []
    for key, text in parsed("sreport", ctx.argv[1:], OPTIONS, [TRY]):
        if key == OPERAND:
            words.append(text)
        elif key in _AT_ONCE:
            for line in _AT_ONCE[key]():
                ctx.out(line)
            return 0
        else:
            _set(ctx, settings, key, text)
    if words:
        _command(ctx, settings, words)
    else:
        _converse(ctx, settings)
    return settings.exit_code


def _set(ctx: Context, settings: Settings, key: str, text: str) -> None:
    if key == "t":
        _time(ctx, settings, text)
    elif key == "T":
        settings.tres = text
    elif key in ("p", "P"):
        settings.form = ENDED if key == "p" else BETWEEN
    elif key == "n":
        settings.header = False
    elif key == "M":
        settings.clusters = [name for name in text.split(",") if name]
    elif key == "a":
        settings.every = True


def _time(ctx: Context, settings: Settings, text: str) -> None:
    unit = unit_named(text)
    if unit is None:
        ctx.stderr.write(f"unknown time format {text}")  # and no end of the line: so does sreport
    else:
        settings.unit = unit


def _converse(ctx: Context, settings: Settings) -> None:
    """Commands line by line, until one ends it or the input does; echoed where nobody types them."""
    echo = not ctx.stdin.isatty()
    last = ""
    while not settings.ended:
        ctx.stdout.write("sreport: ")
        ctx.stdout.flush()
        line = ctx.stdin.readline()
        if not line:
            ctx.out("")
            return
        line = line.rstrip("\n")
        if echo:
            ctx.out(line)
        if line.strip() == "!!":
            line = last
        last = line
        words = line.split()
        if words:
            _command(ctx, settings, words)
        else:
            settings.exit_code = 1


def _command(ctx: Context, settings: Settings, words: list[str]) -> None:
    word = words[0].lower()
    for least, name, takes, act in COMMANDS:
        if len(word) >= least and name.startswith(word):
            if len(words) - 1 < takes:
                _problem(ctx, settings, f"too few arguments for keyword:{words[0]}")
                return
            if len(words) - 1 > takes:
                text = f"too many arguments for keyword:{words[0]}"
                _problem(ctx, settings, "too many arguments for version keyword" if name == "version" else text)
                if name not in ("help", "version"):
                    return
            act(ctx, settings, words)
            return
    for least, kind, known, valid in KINDS:
        if len(word) >= least and kind.startswith(word):
            if len(words) < 2:
                _problem(ctx, settings, f"too few arguments for keyword:{words[0]}")
                return
            asked = words[1].lower()
            for letters, name, grammar, report in known:
                if len(asked) >= letters and name.lower().startswith(asked):
                    _report(ctx, settings, report, grammar, words[2:])
                    return
            _problem(ctx, settings, f"Not valid report {words[1]}", f"Valid {kind} reports are, {valid}")
            return
    _problem(ctx, settings, f"invalid keyword: {words[0]}")


def _problem(ctx: Context, settings: Settings, *lines: str) -> None:
    for line in lines:
        ctx.err(line)
    settings.exit_code = 1


def _report(
    ctx: Context, settings: Settings, make: Callable[[Inquiry], Report], grammar: str, words: list[str]
) -> None:
    """Print one. What it was asked that makes no sense is told, and the rest printed."""
    now = int(ctx.now())
    asked = read(words, GRAMMARS[grammar], now)
    if settings.clusters and "clusters" not in asked.values:
        asked.values["clusters"] = settings.clusters
    if settings.every or "all_clusters" in asked.switches:
        asked.values.pop("clusters", None)
    inquiry = Inquiry(ctx, asked, window(asked.start, asked.end, now), settings.unit)
    inquiry.cluster = ctx.controller.call("ping")["cluster"]
    inquiry.tres = _tres(ctx, settings.tres)
    if grammar == "cluster" and "node" in inquiry.tres and settings.tres.lower() != "all":
        raise CommandError(
            "sreport: fatal: TRES node usage is no longer reported in the Cluster Utilization report.  "
            "Please use TRES CPU instead."
        )
    try:
        report = make(inquiry)
    except CommandError as refusal:
        _problem(ctx, settings, *refusal.lines)
        return
    cells = placed(asked.format or report.default, report.table, asked.problems.append)
    for line in asked.remarks:
        ctx.err(line)
    if asked.problems:
        _problem(ctx, settings, *asked.problems)
    rows = report.rows()
    if grammar != "job":
        cells = widened(cells, AMOUNTS, rows)
    if settings.header:
        for line in (RULE, *report.title, RULE, *fieldprint.header(cells, settings.form)):
            ctx.out(line)
    for row in rows:
        ctx.out(fieldprint.line(cells, row, None, settings.form))


def _tres(ctx: Context, text: str) -> list[str]:
    """The resources that -T names, without those nobody knows."""
    if not text:
        return []
    rows = ctx.controller.rows("tres", ["type", "name"])
    names = [f"{kind}/{name}" if name else kind for kind, name in rows]
    if text.lower() == "all":
        return names
    known = {name.lower(): name for name in names}
    found = [known[word.lower()] for word in text.split(",") if word.lower() in known]
    if not found:
        raise CommandError("sreport: fatal: No valid TRES given")
    return found


def _end(ctx: Context, settings: Settings, words: list[str]) -> None:
    settings.ended = True


def _show_help(ctx: Context, settings: Settings, words: list[str]) -> None:
    for line in _help():
        ctx.out(line)


def _show_version(ctx: Context, settings: Settings, words: list[str]) -> None:
    ctx.out(f"slurm-wlm {SLURM_VERSION}")


def _form(form: int) -> Callable[[Context, Settings, list[str]], None]:
    def act(ctx: Context, settings: Settings, words: list[str]) -> None:
        settings.form = form

    return act


COMMANDS: tuple[tuple[int, str, int, Callable[[Context, Settings, list[str]], None]], ...] = (
    # least letters, name, arguments, what it does
    (1, "exit", 0, _end),
    (2, "help", 0, _show_help),
    (1, "nonparsable", 0, _form(COLUMNS)),
    (1, "parsable", 0, _form(ENDED)),
    (9, "parsable2", 0, _form(BETWEEN)),
    (4, "quiet", 0, lambda ctx, settings, words: None),
    (4, "quit", 0, _end),
    (1, "time", 1, lambda ctx, settings, words: _time(ctx, settings, words[1])),
    (4, "verbose", 0, lambda ctx, settings, words: None),
    (4, "version", 0, _show_version),
)


def _help() -> Iterator[str]:
    yield "sreport [OPTION...] [REPORT [WORD...]]: sums over whole hours; without a report, a conversation"
    yield from help_lines(OPTIONS)
    yield "Reports:"
    for _, kind, known, _ in KINDS:
        yield f"  {kind}: {', '.join(name for _, name, _, _ in known)}"
    yield "Words: start=TIME end=TIME (yesterday) format=FIELD[%WIDTH],... clusters= all_clusters"
    yield "  cluster: accounts= users= wckeys= tree"
    yield "  job: accounts= acctasparent flatview gid= grouping= jobs= nodes= partitions= printjobcount users= wckeys="
    yield "  reservation: names= nodes="
    yield "  user: accounts= group topcount= users="
    yield "Commands of a conversation: exit, help, nonparsable, parsable, parsable2, quiet, quit, time UNIT, verbose,"
    yield "  version, !!"


_AT_ONCE: dict[str, Callable[[], Iterable[str]]] = {"h": _help, "V": lambda: [f"slurm-wlm {SLURM_VERSION}"]}
