"""scontrol: look at and change the cluster's state; one verb a call, or many in an interactive session.

Verbs are a table: name, how many letters suffice, words it takes, function. A verb returns True when all went well; the
exit code is 1 if any of a call's verbs did not. Words and codes as 26.05 has them.
"""

from __future__ import annotations

import shlex

from slurm_compat.cli import scontrol_daemons as daemons
from slurm_compat.cli import scontrol_jobs as jobs
from slurm_compat.cli import scontrol_local as local
from slurm_compat.cli.clusters import require_own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.scontrol_changes import update_verb
from slurm_compat.cli.scontrol_create import create, delete
from slurm_compat.cli.scontrol_entities import show_verb
from slurm_compat.cli.scontrol_help import print_help
from slurm_compat.cli.scontrol_session import Session, Verb, option_verb, refused
from slurm_compat.cli.scontrol_update import BadUpdate
from slurm_compat.core.errors import CommandError

MAX_LINE = 64 * 1024  # characters of an interactive line


VERBS: dict[str, Verb] = {
    "abort": Verb(5, 0, 0, refused("abort", "scontrol shutdown stops the controller")),
    "all": Verb(3, 0, 0, option_verb(all=True)),
    "cancel_reboot": Verb(3, 1, 1, refused("cancel_reboot", "no reboot is ever pending: nodes are not rebooted here")),
    "cluster": Verb(2, 0, 1, refused("cluster", "there is one cluster; SLURM_CONF names another's file")),
    "completing": Verb(2, 0, 0, local.completing),
    "create": Verb(2, 0, None, create),
    "delete": Verb(3, 0, None, delete),
    "details": Verb(3, 0, 0, option_verb(details=1)),
    "errnumstr": Verb(2, 1, 1, local.errnumstr),
    "exit": Verb(1, 0, 0, option_verb(over=True)),
    "fsdampeningfactor": Verb(2, 1, 1, refused("fsdampeningfactor", "shares are Armada's")),
    "getent": Verb(3, 0, 1, refused("getent", "users are looked up on the node itself")),
    "help": Verb(2, 0, 0, print_help),
    "hide": Verb(2, 0, 0, option_verb(all=False)),
    "hold": Verb(2, 1, None, jobs.hold),
    "holdu": Verb(5, 1, None, jobs.uhold),
    "listjobs": Verb(5, 0, 1, refused("listjobs", "squeue -w NODE lists them")),
    "listpids": Verb(5, 0, 2, local.listpids),
    "liststeps": Verb(5, 0, 1, refused("liststeps", "squeue -s -w NODE lists them")),
    "notify": Verb(1, 2, None, jobs.notify),
    "oneliner": Verb(1, 0, 0, option_verb(one_line=True)),
    "pidinfo": Verb(3, 1, 1, refused("pidinfo", "scontrol listpids shows the pids of a job")),
    "ping": Verb(3, 0, 0, daemons.ping),
    "power": Verb(3, 1, None, refused("power", "nodes' power is not managed here")),
    "quiet": Verb(4, 0, 0, option_verb(quiet=True)),
    "quit": Verb(4, 0, 0, option_verb(over=True)),
    "reboot": Verb(3, 1, None, refused("reboot", "nodes are not rebooted here")),
    "reboot_nodes": Verb(8, 0, None, refused("reboot_nodes", "nodes are not rebooted here")),
    "reconfigure": Verb(3, 0, 0, daemons.reconfigure),
    "release": Verb(3, 1, None, jobs.release),
    "requeue": Verb(3, 1, None, jobs.requeue),
    "requeuehold": Verb(8, 1, None, jobs.requeuehold),
    "resume": Verb(3, 1, None, jobs.resume),
    "schedloglevel": Verb(3, 1, 1, refused("schedloglevel", "there is no scheduler log; scheduling is Armada's")),
    "setdebug": Verb(8, 1, None, daemons.setdebug),
    "setdebugflags": Verb(9, 1, None, daemons.setdebug),
    "show": Verb(2, 1, None, show_verb),
    "shutdown": Verb(8, 0, 1, daemons.shutdown),
    "suspend": Verb(2, 1, None, jobs.suspend),
    "takeover": Verb(8, 0, 1, refused("takeover", "there is no backup controller")),
    "token": Verb(3, 0, None, daemons.token),
    "top": Verb(3, 1, None, jobs.top),
    "uhold": Verb(3, 1, None, jobs.uhold),
    "update": Verb(1, 0, None, update_verb),
    "verbose": Verb(4, 0, 0, option_verb(quiet=False)),
    "version": Verb(4, 0, 0, daemons.version),
    "wait_job": Verb(2, 1, 1, local.wait_job),
    "write": Verb(1, 1, 3, local.write),
}


def process(session: Session, words: list[str]) -> bool:
    """One command line of words."""
    keyword = words[0].lower()
    for name, verb in VERBS.items():
        if name == keyword or (len(keyword) >= verb.least and name.startswith(keyword)):
            rest = words[1:]
            if len(rest) < verb.fewest:
                return session.fail(f"too few arguments for keyword:{words[0]}")
            if verb.most is not None and len(rest) > verb.most:
                session.fail(f"too many arguments for keyword:{words[0]}")
                if verb.do is print_help:
                    print_help(session, [])
                return False
            try:
                return verb.do(session, rest)
            except BadUpdate as problem:
                return session.fail(*problem.lines)
    return session.fail(f"invalid keyword: {words[0]}")


def interactive(session: Session) -> bool:
    """A session on stdin until exit, quit or its end."""
    good = True
    while not session.over:
        session.ctx.stdout.write("scontrol: ")
        session.ctx.stdout.flush()
        line = session.ctx.stdin.readline(MAX_LINE)
        if not line:
            session.ctx.out("")
            break
        if not session.ctx.stdin.isatty():
            session.ctx.out(line.rstrip("\n"))  # as readline shows what it reads where no terminal does
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = line.split()
        if words:
            good &= process(session, words)
            session.ctx.stderr.flush()
    return good


def main(ctx: Context) -> int:
    from slurm_compat.cli.optiontable import OPERAND, parsed
    from slurm_compat.cli.scontrol_help import MORE, OPTIONS

    session = Session(ctx, all="SCONTROL_ALL" in ctx.env)
    words: list[str] = []
    for key, value in parsed("scontrol", ctx.argv[1:], OPTIONS, MORE):
        if key == OPERAND:
            words.append(value)
        elif key == "V":
            daemons.version(session, [])
            return 0
        elif key == "h":
            print_help(session, [])
            return 0
        else:
            _set_option(session, key, value)
    good = process(session, words) if words else interactive(session)
    return 0 if good else 1


def _set_option(session: Session, key: str, value: str) -> None:
    if key == "o":
        session.one_line = True
    elif key == "d":
        session.details += 1
    elif key in ("a", "F"):
        session.all = True
    elif key == "hide":
        session.all = False
    elif key in ("json", "yaml"):
        raise CommandError(f"scontrol: error: --{key} is not supported here yet; the text forms have every field")
    elif key == "u" and session.ctx.uid:
        raise CommandError("scontrol: error: Only root may act as another user with --uid")
    elif key == "M":
        require_own_cluster(session.ctx, value)
