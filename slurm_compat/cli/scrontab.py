"""scrontab: a user's crontab of jobs. Refused, as wherever ScronParameters does not enable it: Slurm's default."""

from __future__ import annotations

from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import NONE, OPERAND, REQUIRED, Opt, parsed
from slurm_compat.core.errors import CommandError

OPTIONS = (
    Opt("edit", "e", NONE, "edit it"),
    Opt("list", "l", NONE, "list it"),
    Opt("remove", "r", NONE, "delete it"),
    Opt("user", "u", REQUIRED, "whose it is"),
    Opt("verbose", "v", NONE, "say more"),
)
USAGE = (
    "usage:\tscrontab [-u user] file",
    "\tscrontab [-u user] [ -e | -l | -r | -v]",
    "\t-e\tEdit user's crontab (default action if stdin is a TTY)",
    "\t-l\tList user's crontab",
    "\t-r\tDelete user's crontab",
    "\t-u\tUser to edit crontab for",
)
DISABLED = "scrontab: fatal: scrontab is disabled on this cluster"


def main(ctx: Context) -> int:
    """Options are checked as ever; what is right is refused, for no table is kept."""
    if any(word.startswith("--") and word != "--" for word in ctx.argv[1:]):
        raise CommandError(*USAGE)
    try:
        given = list(parsed("scrontab", ctx.argv[1:], OPTIONS))
    except CommandError:
        raise CommandError(*USAGE) from None
    keys = [key for key, _ in given]
    if keys.count(OPERAND) > 1:
        raise CommandError(*USAGE)
    edits = "e" in keys or not keys
    if edits and "e" in keys and not ctx.stdin.isatty():
        raise CommandError("scrontab: fatal: Standard input is not a TTY")
    raise CommandError(DISABLED)
