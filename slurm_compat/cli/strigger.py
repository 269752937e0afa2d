"""strigger: programs to be run when something happens. Only SlurmUser may set any.

Source: strigger(1); answers as observed on 26.05 for SlurmUser, users and root.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable
from typing import Any

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import NONE, OPTIONAL, REQUIRED, Opt, help_lines, parsed
from slurm_compat.core.errors import CommandError, SlurmError

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


# what an event is of: long names, and the first column of --get
KINDS = {
    "job": frozenset({"fini", "time"}),
    "slurmctld": frozenset(name for name, _, _ in EVENTS if "_slurmctld_" in name),
    "slurmdbd": frozenset({"primary_slurmdbd_failure", "primary_slurmdbd_resumed_operation"}),
    "database": frozenset({"primary_database_failure", "primary_database_resumed_operation"}),
    "other": frozenset({"burst_buffer"}),
}
HEAD = "TRIG_ID RES_TYPE   RES_ID TYPE                                OFFSET USER     FLAGS PROGRAM"
FARTHEST = 32000  # seconds of an offset
Given = dict[str, str]


def main(ctx: Context) -> int:
    given: Given = {}
    for key, text in parsed("strigger", ctx.argv[1:], OPTIONS, ['Try "strigger --help" for more information']):
        if key in ("help", "usage", "V"):
            for line in {"help": _help(), "usage": [USAGE], "V": [f"slurm-wlm {SLURM_VERSION}"]}[key]:
                ctx.out(line)
            return 0
        given[key] = text
    actions = [action for action in (SET, GET, CLEAR) if action in given]
    if len(actions) != 1:
        raise _error("You must use exactly one of the following options: --set, --get or --clear")
    events = [name for name, letter, _ in EVENTS if letter in given]
    _check(given, actions[0], events)
    return {SET: _set, GET: _get, CLEAR: _clear}[actions[0]](ctx, given, events)


def _error(text: str) -> CommandError:
    return CommandError(f"strigger: error: {text}")


def _number(text: str) -> int:
    """As atoi reads it: the digits it begins with, 0 without any."""
    found = re.match(r"\s*[+-]?[0-9]{1,9}", text)
    return int(found.group()) if found else 0


def _check(given: Given, action: str, events: list[str]) -> None:
    if "j" in given and _number(given["j"]) <= 0:
        raise _error(f"Invalid jobid {given['j']}")
    if "user" in given and _uid(given["user"]) is None:
        raise _error(f"Invalid user {given['user']}")
    if "flags" in given and given["flags"].lower() != "perm":
        raise _error(f"Invalid flags {given['flags']}")
    if abs(_number(given.get("o", ""))) > FARTHEST:
        raise _error(f"The --offset parameter must be between +/-{FARTHEST}")
    if action == SET:
        if not events:
            raise _error("You must specify a trigger")
        program = given.get("p", "")
        if not program.startswith("/"):
            raise _error('The --program value must start with "/"')
        if not os.path.exists(program.split()[0]):
            raise _error("Invalid --program value, file not found")
    if KINDS["job"].intersection(events) and "j" not in given:
        raise _error("You must specify a --jobid value")
    if action == CLEAR and not (_number(given.get("i", "")) or given.keys() & {"j", "user"}):
        raise _error("You must specify a --id, --jobid, or --user to clear")


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return int(name) if name.isdecimal() else None


def _refused(ctx: Context, given: Given, call: str, problem: SlurmError) -> int:
    if "Q" in given:
        return 0 if call == "clear" else 1
    ctx.err(f"slurm_{call}_trigger: {problem.text}")
    return 1


def _set(ctx: Context, given: Given, events: list[str]) -> int:
    kind = next((kind for kind, names in KINDS.items() if names.intersection(events)), "node")
    target = {"job": str(_number(given.get("j", ""))), "node": given.get("n") or "*", "other": "(null)"}.get(kind, "*")
    try:
        ctx.controller.call(
            "set_trigger",
            kind=kind,
            target=target,
            events=events,
            offset=_number(given.get("o", "")),
            permanent="flags" in given,
            program=given["p"],
        )
    except SlurmError as problem:
        return _refused(ctx, given, "set", problem)
    if "v" in given:
        ctx.err("strigger: trigger set")
    return 0


def _clear(ctx: Context, given: Given, events: list[str]) -> int:
    trigger_id = _number(given.get("i", ""))
    user_id = _uid(given["user"]) if "user" in given else None
    try:
        ctx.controller.call(
            "clear_triggers", trigger_id=trigger_id, job_id=_number(given.get("j", "")), user_id=user_id
        )
    except SlurmError as problem:
        return _refused(ctx, given, "clear", problem)
    if "v" in given and trigger_id:
        ctx.err(f"strigger: trigger {trigger_id} cleared")
    return 0


def _get(ctx: Context, given: Given, events: list[str]) -> int:
    try:
        found = ctx.controller.call("triggers")["triggers"]
    except SlurmError as problem:
        return _refused(ctx, given, "get", problem)
    if "v" in given:
        ctx.err(f"strigger: Read {len(found)} trigger records")
        ctx.stderr.flush()
    shown = [trigger for trigger in found if _asked_for(trigger, given, events)]
    if shown and "N" not in given:
        ctx.out(HEAD)
    for trigger in shown:
        kind = trigger["events"][0] if len(trigger["events"]) == 1 else "unknown"
        flags = "PERM" if trigger["permanent"] else ""
        ctx.out(
            f"{trigger['trigger_id']:7} {trigger['kind']:<9} {trigger['target']:>7} {kind:<35} {trigger['offset']:6}"
            f" {trigger['user_name']:<8} {flags:<5} {trigger['program']}"
        )
    return 0


def _asked_for(trigger: dict[str, Any], given: Given, events: list[str]) -> bool:
    rules = (
        "i" not in given or trigger["trigger_id"] == _number(given["i"]),
        "j" not in given or (trigger["kind"], trigger["target"]) == ("job", str(_number(given["j"]))),
        "n" not in given or trigger["kind"] == "node",
        "user" not in given or trigger["user_id"] == _uid(given["user"]),
        not events or set(events) == set(trigger["events"]),
    )
    return all(rules)


def _help() -> Iterable[str]:
    yield "Usage: strigger [--set | --get | --clear] [OPTIONS]"
    yield from help_lines(OPTIONS)
