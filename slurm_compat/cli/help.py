"""--help, --usage, --version and --autocomplete of sbatch, srun and salloc, made from the tables of options."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from slurm_compat import SLURM_VERSION
from slurm_compat.core.optionrows import OF
from slurm_compat.core.options import NONE, OPTIONAL, REFUSED, Option, completions

if TYPE_CHECKING:
    from slurm_compat.cli.batchopts import Parsed
    from slurm_compat.cli.context import Context

VERSION = f"slurm-wlm {SLURM_VERSION}"
GROUPS = {
    "run": "What to run, how and when:",
    "where": "Which nodes:",
    "container": "Containers:",
    "share": "Sharing of nodes and memory:",
    "shape": "Sockets, cores and threads:",
    "gpu": "GPUs:",
    "help": "Help:",
    "other": "Other:",
}
SYNOPSIS = {
    "sbatch": "sbatch [options] [ : [options]...] script [arguments...]",
    "srun": "srun [options] command [arguments...] [ : [options] command [arguments...]]",
    "salloc": "salloc [options] [ : [options]...] [command [arguments...]]",
}
# named by --help for the sake of old scripts, though 26.05 has no such option any more
GONE = {"sbatch": ("power",), "srun": ("power",), "salloc": ("power", "get-user-env")}
COLUMN = 31


def answer(ctx: Context, parsed: Parsed) -> int | None:
    """The exit code when an option asked only to be told something, which is then printed; None when not."""
    attrs = parsed.attrs
    command = ctx.command
    if attrs.get("version"):
        ctx.out(VERSION)
    elif attrs.get("help"):
        ctx.out(text(command))
    elif attrs.get("usage"):
        ctx.out(usage(command))
    elif "autocomplete" in attrs:
        for name in completions(OF[command], attrs["autocomplete"]):
            ctx.out(name)
    elif attrs.get("gres_help"):
        kinds = dict(ctx.controller.call("config")["pairs"]).get("GresTypes", "")
        ctx.out("Valid gres options are:")
        for kind in filter(None, kinds.replace("(null)", "").split(",")):
            ctx.out(f"{kind}[[:type]:count]")
    elif "tell" in attrs:
        ctx.out(attrs["tell"])
        return int(attrs.get("tell_code", 0))
    else:
        return None
    return 0


def listed(command: str) -> list[Option]:
    letter = {"sbatch": "b", "srun": "s", "salloc": "a"}[command]
    rows = []
    for row in OF[command]:
        only, said = _only(row.help)
        if said and letter in (only or letter):
            rows.append(row._replace(help=said))
    return rows


def _only(said: str) -> tuple[str, str]:
    """ "@ba text" is the help of the commands b and a alone."""
    if not said.startswith("@"):
        return "", said
    letters, _, rest = said[1:].partition(" ")
    return letters, rest


def text(command: str) -> str:
    lines = [f"Usage: {SYNOPSIS[command]}"]
    for group, title in GROUPS.items():
        rows = [row for row in listed(command) if row.group == group]
        if rows:
            lines += ["", title]
            for row in rows:
                lines += _entry(row)
    gone = " and ".join(f"--{name}" for name in GONE[command])
    lines += ["", f"Earlier releases also had {gone}."]
    return "\n".join(lines)


def _shown(row: Option) -> str:
    name = f"--{row.name}"
    if row.argument == OPTIONAL:
        return f"{name}[={row.value}]"
    return name if row.argument == NONE else f"{name}={row.value}"


def _entry(row: Option) -> list[str]:
    head = f"  {f'-{row.short},' if row.short else '   '} {_shown(row)}"
    said = row.help + (" (not supported here)" if row.fate == REFUSED else "")
    wrapped = textwrap.wrap(said, 110 - COLUMN)
    if len(head) < COLUMN:
        first, rest = f"{head:<{COLUMN}}{wrapped[0]}", wrapped[1:]
    else:
        first, rest = f"{head} {wrapped[0]}", wrapped[1:]
    return [first, *(" " * COLUMN + line for line in rest)]


def usage(command: str) -> str:
    shown = " ".join(f"[{_shown(row)}]" for row in listed(command))
    head = f"Usage: {command} "
    body = textwrap.wrap(shown, 78 - len(head), break_long_words=False, break_on_hyphens=False)
    return head + ("\n" + " " * len(head)).join([*body, SYNOPSIS[command].split("] ", 1)[1]])
