"""sreport: what it can be asked, and that its reports are not made here yet; sacct has the same records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import OPERAND, REQUIRED, Opt, help_lines, parsed
from slurm_compat.core.errors import CommandError

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
    Opt("quiet", "Q", help="errors only"),
    Opt("time", "t", REQUIRED),
    Opt("tres", "T", REQUIRED, "the resources to report on", "NAMES"),
    Opt("verbose", "v", help="no effect: there is nothing more to tell"),
    Opt("version", "V", help="show the version, and end"),
)
TRY = 'Try "sreport --help" for more information'

REPORTS = {
    "cluster": (
        "AccountUtilizationByUser", "AccountUtilizationByQOS", "UserUtilizationByAccount", "UserUtilizationByWckey",
        "Utilization", "WCKeyUtilizationByUser",
    ),
    "job": ("SizesByAccount", "SizesByAccountAndWcKey", "SizesByWckey"),
    "reservation": ("Utilization",),
    "user": ("TopUsage",),
}  # fmt: skip


def main(ctx: Context) -> int:
    words: list[str] = []
    for key, text in parsed("sreport", ctx.argv[1:], OPTIONS, [TRY]):
        if key == OPERAND:
            words.append(text)
        elif key in _ANSWERS:
            for line in _ANSWERS[key]():
                ctx.out(line)
            return 0
    kind = next((kind for kind in REPORTS if words and kind.startswith(words[0].lower())), "")
    if not kind:
        raise CommandError(f"invalid keyword: {words[0]}" if words else "sreport: error: no report is asked for")
    word = words[1].lower() if len(words) > 1 else ""
    report = next((name for name in REPORTS[kind] if word and name.lower().startswith(word)), "")
    if not report:
        names = [f'"{name}"' for name in REPORTS[kind]]
        listed = ", ".join(names[:-1]) + (", and " if names[:-1] else "") + names[-1]
        raise CommandError(f"Not valid report {word}", f"Valid {kind} reports are, {listed}")
    raise CommandError(f"sreport: error: {kind} {report} is not supported here; sacct shows the same jobs one by one")


def _help() -> Iterator[str]:
    yield "sreport [OPTION...] [REPORT]: sums over the accounting's records"
    yield from help_lines(OPTIONS)
    for kind, names in REPORTS.items():
        yield f"Reports of {kind} (none is made here; sacct shows jobs one by one): {', '.join(names)}"


_ANSWERS: dict[str, Callable[[], Iterable[str]]] = {"h": _help, "V": lambda: [f"slurm-wlm {SLURM_VERSION}"]}
