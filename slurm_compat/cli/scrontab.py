"""scrontab: a user's table of jobs that run again and again. Only where ScronParameters=enable.

Source: scrontab(1); texts, streams and exit codes as observed on 26.05.
"""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import tempfile
from typing import Any

from slurm_compat.cli import crontab, jobenv
from slurm_compat.cli.caller import this_process
from slurm_compat.cli.context import Context
from slurm_compat.cli.crontab import BadLine, Entry
from slurm_compat.cli.optiontable import NONE, OPERAND, REQUIRED, Opt, parsed
from slurm_compat.core.errors import CommandError, SlurmError

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
DISABLED = "scrontab is disabled on this cluster"
MAX_SIZE = 1 << 20  # bytes of a crontab
BAD = "#BAD: "  # before lines that could not be read, when they are edited again
# what an entry's job has of sbatch's environment: it is submitted from nowhere
NOT_SET = ("SLURM_SUBMIT_DIR", "SLURM_SUBMIT_HOST", "SLURM_UMASK")
EMPTY = """\
# scrontab: jobs that Slurm runs again and again.
#
# A line is a time and a command:
#   minute hour day-of-month month day-of-week command
# or @hourly, @daily, @weekly, @monthly, @yearly and a command. The time is
# that of the Slurm controller's machine.
#
# Lines that begin with #SCRON hold options for the next entry, as #SBATCH
# lines do; not all of them can be used here. All other lines that begin with
# # are comments.
#
# An example, without its #: every day at five, for at most ten minutes
# #SCRON --time=10
# 0 5 * * * /path/to/command
"""


class Refused(Exception):
    """The table was not taken: lines for standard output, and where (first and last line from 0) what is wrong is."""

    def __init__(self, lines: list[str], span: tuple[int, int]) -> None:
        super().__init__(*lines)
        self.lines = lines
        self.span = span


def main(ctx: Context) -> int:
    given, operands = _given(ctx)
    edits = "e" in given or (not operands and not given.keys() & {"l", "r"} and ctx.stdin.isatty())
    if "e" in given and not ctx.stdin.isatty():
        raise _fatal("Standard input is not a TTY")
    if "enable" not in dict(ctx.controller.call("config")["pairs"]).get("ScronParameters", "").lower().split(","):
        raise _fatal(DISABLED)
    owner = _owner(ctx, given.get("u"))
    if "l" in given:
        return _list(ctx, owner)
    if "r" in given:
        return _remove(ctx, owner)
    if edits:
        return _edit(ctx, owner)
    try:
        _install(ctx, owner, _read(ctx, operands[0] if operands else "-"))
    except Refused as problem:
        for line in problem.lines:
            ctx.out(line)
        return 1
    return 0


def _fatal(text: str) -> CommandError:
    return CommandError(f"scrontab: fatal: {text}")


def _given(ctx: Context) -> tuple[dict[str, str], list[str]]:
    if any(word.startswith("--") and word != "--" for word in ctx.argv[1:]):
        raise CommandError(*USAGE)
    try:
        found = list(parsed("scrontab", ctx.argv[1:], OPTIONS))
    except CommandError:
        raise CommandError(*USAGE) from None
    operands = [text for key, text in found if key == OPERAND]
    if len(operands) > 1:
        raise CommandError(*USAGE)
    return {key: text for key, text in found if key != OPERAND}, operands


def _owner(ctx: Context, name: str | None) -> pwd.struct_passwd:
    try:
        if name is None:
            return pwd.getpwuid(ctx.uid)
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        raise _fatal(f"Could not find user {name if name is not None else ctx.uid}") from None


# what there is


def _kept(ctx: Context, owner: pwd.struct_passwd) -> str | None:
    try:
        text: str | None = ctx.controller.call("crontab", user_id=owner.pw_uid)["text"]
    except SlurmError as problem:
        raise _fatal(f"slurm_request_crontab failed: {problem.text}") from None
    return text


def _list(ctx: Context, owner: pwd.struct_passwd) -> int:
    text = _kept(ctx, owner)
    if text is None:
        ctx.out(f"no crontab for {owner.pw_name}")
        return 1
    ctx.stdout.write(text)
    return 0


def _remove(ctx: Context, owner: pwd.struct_passwd) -> int:
    try:
        ctx.controller.call("update_crontab", user_id=owner.pw_uid, text=None)
    except SlurmError as problem:
        raise _fatal(f"slurm_remove_crontab failed: {problem.text}") from None
    return 0


def _read(ctx: Context, source: str) -> str:
    if source == "-":
        text = ctx.stdin.read(MAX_SIZE + 1)
    else:
        try:
            with open(os.path.join(ctx.cwd, source), encoding="utf-8", errors="surrogateescape") as file:
                text = file.read(MAX_SIZE + 1)
        except OSError:
            raise _fatal(f"failed to open {source}") from None
    if len(text) > MAX_SIZE:
        raise _fatal(f"a crontab holds at most {MAX_SIZE} bytes")
    return text


# what there shall be


def _install(ctx: Context, owner: pwd.struct_passwd, text: str) -> None:
    """Raises Refused; what stood before then stands."""
    try:
        found = crontab.entries(text, ctx.uid, ctx.now())
    except BadLine as problem:
        for line in problem.texts:
            ctx.error(line)
        ctx.stderr.flush()
        raise Refused(["There are errors in your crontab."], (problem.line, problem.line)) from None
    jobs = [_job(ctx, owner, entry) for entry in found]
    try:
        answer = ctx.controller.call("update_crontab", user_id=owner.pw_uid, text=text, entries=jobs)
    except SlurmError as problem:
        raise Refused(_words("(null)", problem.text, ""), (-1, -1)) from None
    if failed := answer.get("failed"):
        entry = found[failed["entry"]]
        lines = _words(f"{entry.first + 1}-{entry.last + 1}", failed["text"], failed["message"])
        raise Refused(lines, (entry.first, entry.last))


def _words(lines: str, text: str, message: str) -> list[str]:
    return [
        f"There was an issue with the job submission on lines {lines}",
        f"The error code return was: {text}",
        f"The error message was: {message or '(null)'}",
    ]


def _job(ctx: Context, owner: pwd.struct_passwd, entry: Entry) -> dict[str, Any]:
    options = entry.parsed(owner.pw_dir)
    request = options.request
    caller = this_process(owner.pw_dir, ctx.env)
    environment = jobenv.of_request(options, caller) | {"SLURM_GET_USER_ENV": "1"}
    request.batch = request.get_user_env = True
    request.name = request.name or entry.name
    if "nodes" not in options.given:
        request.minimum_nodes = request.maximum_nodes = None
    request.umask, request.rlimits = caller.umask, caller.rlimits
    if request.mail_type and not request.mail_user:
        request.mail_user = owner.pw_name
    kept = {name: value for name, value in environment.items() if value and name not in NOT_SET}
    return {
        "request": request,
        "script": entry.script,
        "environment": jobenv.block(kept),
        "spec": entry.spec,
        "first": entry.first,
        "last": entry.last,
    }


# the editor


def _edit(ctx: Context, owner: pwd.struct_passwd) -> int:
    before = _kept(ctx, owner)
    text = EMPTY if before is None else before
    with tempfile.NamedTemporaryFile("w+", prefix="scrontab-", encoding="utf-8", errors="surrogateescape") as file:
        while True:
            after = _edited(ctx, file.name, text)
            if after == (EMPTY if before is None else before):
                ctx.out("scrontab: No modification made")
                return 0
            try:
                _install(ctx, owner, after)
                return 0
            except Refused as problem:
                if not _again(ctx, problem.lines):
                    return 0
                text = _marked(after, problem.span)


def _edited(ctx: Context, path: str, text: str) -> str:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    editor = ctx.env.get("VISUAL") or ctx.env.get("EDITOR") or "vi"
    ctx.stdout.flush()
    try:
        done = subprocess.run([*shlex.split(editor), path], env=dict(ctx.env), check=False)
    except (OSError, ValueError):
        raise _fatal(f"failed to run editor {editor}") from None
    if done.returncode:
        raise _fatal("editor returned non-zero exit code")
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read(MAX_SIZE)


def _again(ctx: Context, lines: list[str]) -> bool:
    """Whether the user wants to go on; the end of the input is a no."""
    while True:
        for line in [*lines, f"The failed line(s) is commented out with {BAD.strip()}"]:
            ctx.out(line)
        ctx.stdout.write("Do you want to retry the edit? (y/n) ")
        ctx.stdout.flush()
        letter = ctx.stdin.read(1)
        if letter in ("y", "Y"):
            return True
        if letter in ("n", "N", ""):
            return False


def _marked(text: str, span: tuple[int, int]) -> str:
    lines = text.split("\n")
    return "\n".join(BAD + line if span[0] <= number <= span[1] else line for number, line in enumerate(lines))
