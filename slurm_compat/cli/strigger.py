"""strigger: programs to be run when something happens. Only SlurmUser may set any, and here nobody is SlurmUser.

Source: strigger(1); answers as observed on 26.05 for users and root.
"""

from __future__ import annotations

from collections.abc import Iterable

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import NONE, OPTIONAL, REQUIRED, Opt, help_lines, parsed
from slurm_compat.core.errors import CommandError

SET, GET, CLEAR = "set", "get", "clear"
# what a trigger can wait for: long name, letter, when
EVENTS = (
    ("burst_buffer", "burst_buffer", "a burst buffer fails"),
    ("primary_slurmctld_failure", "a", "the controller fails"),
    ("primary_slurmctld_resumed_operation", "A", "the controller works again"),
    ("primary_slurmctld_resumed_control", "b", "the controller has taken over again"),
    ("backup_slurmctld_failure", "B", "the backup controller fails"),
    ("backup_slurmctld_resumed_operation", "c", "the backup controller works again"),
    ("backup_slurmctld_assumed_control", "C", "the backup controller has taken over"),
    ("down", "d", "a node goes down"),
    ("drained", "D", "a node is drained"),
    ("draining", "draining", "a node drains"),
    ("primary_slurmctld_acct_buffer_full", "e", "the controller's accounting buffer is full"),
    ("fail", "F", "a node is about to fail"),
    ("fini", "f", "a job ends"),
    ("primary_slurmdbd_failure", "g", "the accounting daemon fails"),
    ("primary_slurmdbd_resumed_operation", "G", "the accounting daemon works again"),
    ("primary_database_failure", "h", "the database fails"),
    ("primary_database_resumed_operation", "H", "the database works again"),
    ("idle", "I", "a node stays idle"),
    ("reconfig", "r", "the configuration changes"),
    ("resume", "R", "a node is resumed"),
    ("time", "t", "a job's time is over"),
    ("up", "u", "a node is back"),
)
OPTIONS = (
    Opt(SET, SET, NONE, "make a trigger"),
    Opt(GET, GET, NONE, "list triggers"),
    Opt(CLEAR, CLEAR, NONE, "remove triggers"),
    *(Opt(name, letter, NONE, f"when {when}") for name, letter, when in EVENTS),
    Opt("flags", "flags", REQUIRED, "perm: it stays after its event", "WORD"),
    Opt("id", "i", REQUIRED, "the trigger of this number", "NUMBER"),
    Opt("jobid", "j", REQUIRED, "of this job", "JOB"),
    Opt("cluster", "M", REQUIRED, "on this cluster", "NAME"),
    Opt("node", "n", OPTIONAL, "of these nodes, all without a name", "HOSTS"),
    Opt("noheader", "N", NONE, "without the head line"),
    Opt("offset", "o", REQUIRED, "seconds from the event", "SECONDS"),
    Opt("program", "p", REQUIRED, "what is run", "PATH"),
    Opt("quiet", "Q", NONE, "say less"),
    Opt("user", "user", REQUIRED, "of this user", "USER"),
    Opt("verbose", "v", NONE, "say more"),
    Opt("version", "V", NONE, "show the version, and end"),
    Opt("help", "help", NONE, "show this text, and end"),
    Opt("usage", "usage", NONE, "show a line of usage, and end"),
)
USAGE = "Usage: strigger [--set | --get | --clear | --version] [-aAbBcCdDefFgGhHiIjnNopQrtuv]"


def main(ctx: Context) -> int:
    given: dict[str, str] = {}
    for key, text in parsed("strigger", ctx.argv[1:], OPTIONS, ['Try "strigger --help" for more information']):
        if key in ("help", "usage", "V"):
            for line in {"help": _help(), "usage": [USAGE], "V": [f"slurm-wlm {SLURM_VERSION}"]}[key]:
                ctx.out(line)
            return 0
        given[key] = text
    actions = [action for action in (SET, GET, CLEAR) if action in given]
    if len(actions) != 1:
        raise CommandError(
            "strigger: error: You must use exactly one of the following options: --set, --get or --clear"
        )
    if actions[0] == SET:
        _refuse_set(given)
    elif actions[0] == CLEAR:
        if not given.keys() & {"i", "j", "user"}:
            raise CommandError("strigger: error: You must specify a --id, --jobid, or --user to clear")
        raise CommandError("slurm_clear_trigger: No such process")
    return 0  # there are none to list


def _refuse_set(given: dict[str, str]) -> None:
    if not any(letter in given for _, letter, _ in EVENTS):
        raise CommandError("strigger: error: You must specify a trigger")
    if not given.get("p", "").startswith("/"):
        raise CommandError('strigger: error: The --program value must start with "/"')
    raise CommandError("slurm_set_trigger: Access/permission denied")


def _help() -> Iterable[str]:
    yield "Usage: strigger [--set | --get | --clear] [OPTIONS]"
    yield from help_lines(OPTIONS)
