"""scontrol: look at and change the cluster's state; one verb a call, or many in an interactive session.

Verbs are a table: name, how many letters suffice, words it takes, function. A verb returns True when all went well; the
exit code is 1 if any of a call's verbs did not. Words and codes as 26.05 has them.
"""

from __future__ import annotations

import pwd

from slurm_compat.cli import scontrol_daemons as daemons
from slurm_compat.cli import scontrol_here as here
from slurm_compat.cli import scontrol_jobs as jobs
from slurm_compat.cli import scontrol_local as local
from slurm_compat.cli import scontrol_log as log
from slurm_compat.cli import scontrol_nodes, scontrol_write
from slurm_compat.cli.context import Context
from slurm_compat.cli.scontrol_changes import update_verb
from slurm_compat.cli.scontrol_create import create, delete
from slurm_compat.cli.scontrol_entities import show_verb
from slurm_compat.cli.scontrol_help import print_help
from slurm_compat.cli.scontrol_session import Session, Verb, option_verb
from slurm_compat.cli.scontrol_update import BadUpdate

MAX_LINE = 64 * 1024  # characters of an interactive line


VERBS: dict[str, Verb] = {
    "all": Verb(3, 0, 0, option_verb(all=True)),
    "cancel_reboot": Verb(3, 0, 1, scontrol_nodes.cancel_reboot),
    "cluster": Verb(2, 0, 1, daemons.cluster),
    "completing": Verb(2, 0, 0, local.completing),
    "create": Verb(2, 0, None, create),
    "delete": Verb(3, 0, None, delete),
    "details": Verb(1, 0, 0, option_verb(details=1)),
    "errnumstr": Verb(2, 1, 1, local.errnumstr),
    "exit": Verb(1, 0, 0, option_verb(over=True)),
    "fsdampeningfactor": Verb(2, 1, 1, log.fsdampeningfactor),
    "getaddrs": Verb(4, 0, None, here.getaddrs),
    "getent": Verb(4, 0, 1, here.getent),
    "gethost": Verb(4, 0, None, here.gethost),
    "help": Verb(2, 0, 0, print_help),
    "hide": Verb(2, 0, 0, option_verb(all=False)),
    "hold": Verb(4, 1, None, jobs.hold),
    "holdu": Verb(5, 1, None, jobs.uhold),
    "listjobs": Verb(5, 0, 1, here.listjobs),
    "listpids": Verb(1, 0, 2, here.listpids),
    "liststeps": Verb(5, 0, 1, here.liststeps),
    "notify": Verb(1, 2, None, jobs.notify),
    "oneliner": Verb(1, 0, 0, option_verb(one_line=True)),
    "pidinfo": Verb(3, 1, 1, here.pidinfo),
    "ping": Verb(3, 0, 0, daemons.ping),
    "power": Verb(3, 1, None, log.power),
    "quiet": Verb(4, 0, 0, option_verb(quiet=True)),
    "quit": Verb(4, 0, 0, option_verb(over=True)),
    "reboot": Verb(3, 0, None, scontrol_nodes.reboot),
    "reboot_nodes": Verb(8, 0, None, scontrol_nodes.reboot),
    "reconfigure": Verb(3, 0, None, daemons.reconfigure),
    "release": Verb(3, 1, None, jobs.release),
    "requeue": Verb(3, 1, None, jobs.requeue),
    "requeuehold": Verb(8, 1, None, jobs.requeuehold),
    "resume": Verb(3, 1, None, jobs.resume),
    "schedloglevel": Verb(3, 1, 1, log.schedloglevel),
    "setdebug": Verb(8, 1, None, log.setdebug),
    "setdebugflags": Verb(9, 1, None, log.setdebugflags),
    "show": Verb(3, 1, None, show_verb),
    "shutdown": Verb(8, 0, 1, daemons.shutdown),
    "suspend": Verb(2, 1, None, jobs.suspend),
    "takeover": Verb(8, 0, 1, log.takeover),
    "token": Verb(3, 0, None, daemons.token),
    "top": Verb(3, 1, None, jobs.top),
    "uhold": Verb(3, 1, None, jobs.uhold),
    "update": Verb(1, 0, None, update_verb),
    "verbose": Verb(4, 0, 0, option_verb(quiet=False)),
    "version": Verb(4, 0, None, daemons.version),
    "wait_job": Verb(2, 1, 1, local.wait_job),
    "write": Verb(5, 1, 3, scontrol_write.write),
}


# one words it in another way
TOO_FEW = {"pidinfo": "missing argument for keyword:pidinfo"}


def process(session: Session, words: list[str]) -> bool:
    """One command line of words."""
    keyword = words[0].lower()
    for name, verb in VERBS.items():
        if name == keyword or (len(keyword) >= verb.least and name.startswith(keyword)):
            rest = words[1:]
            if len(rest) < verb.fewest:
                return session.fail(TOO_FEW.get(name, f"too few arguments for keyword:{words[0]}"))
            if verb.most is not None and len(rest) > verb.most:
                session.over = session.over or name in ("exit", "quit")
                session.fail(f"too many arguments for keyword:{words[0]}")
                if verb.do is print_help:
                    print_help(session, [])
                return False
            try:
                return _documented(session, name, rest) if session.document else verb.do(session, rest)
            except BadUpdate as problem:
                session.fail(*problem.lines)
                return not problem.code
    session.ctx.err(f"invalid keyword: {words[0]}")  # --quiet or not
    return False


def _documented(session: Session, name: str, words: list[str]) -> bool:
    from slurm_compat.cli.scontrol_json import shown

    done = shown(session, name, words)
    return VERBS[name].do(session, words) if done is None else done


def interactive(session: Session) -> bool:
    """A session on stdin until exit, quit or its end."""
    good = True
    last: list[str] = []
    while not session.over:
        session.ctx.stdout.write("scontrol: ")
        session.ctx.stdout.flush()
        line = session.ctx.stdin.readline(MAX_LINE)
        if not line:
            session.ctx.out("")
            break
        if not session.ctx.stdin.isatty():
            session.ctx.out(line.rstrip("\n"))  # as readline shows what it reads where no terminal does
        words = typed(line)
        words, last = (last, last) if words[:1] == ["!!"] else (words, words)
        if words:
            good &= process(session, words)
            session.ctx.stderr.flush()
    return good


def typed(line: str) -> list[str]:
    """The words of a line. A quote that is not a word's first character keeps spaces in it up to the next; all stay."""
    words: list[str] = []
    place = 0
    while place < len(line):
        if line[place].isspace():
            place += 1
            continue
        start, quote = place, ""
        place += 1
        while place < len(line) and (quote or not line[place].isspace()):
            if line[place] in "'\"" and quote in ("", line[place]):
                quote = "" if quote else line[place]
            place += 1
        words.append(line[start:place].rstrip("\r\n"))
    return words


def main(ctx: Context) -> int:
    from slurm_compat.cli.optiontable import OPERAND, parsed
    from slurm_compat.cli.scontrol_help import MORE, OPTIONS

    session = Session(ctx, all="SCONTROL_ALL" in ctx.env)
    words: list[str] = []
    argv = ctx.argv[1:]
    # flags that are switched off look like options
    flags_at = next((place for place, word in enumerate(argv) if word.lower().startswith("setdebugf")), len(argv))
    for key, value in parsed("scontrol", argv[:flags_at], OPTIONS, MORE):
        if key == OPERAND:
            words.append(value)
        elif key == "V":
            daemons.version(session, [])
            return 0
        elif key == "h":
            print_help(session, [])
            return 0
        elif key == "u" and user_id(value) is None:
            ctx.error(f'--uid="{value}" invalid')
            return 0
        else:
            _set_option(session, key, value)
    words += argv[flags_at:]
    good = process(session, words) if words else interactive(session)
    return 0 if good else session.code


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
        session.document, session.parser = key, value
    elif key == "Q":
        session.quiet = True
    elif key == "v":
        session.quiet, session.verbose = False, True
    elif key == "u":
        session.uid = user_id(value)
    elif key == "M":
        daemons.choose_cluster(session, value)


def user_id(text: str) -> int | None:
    """A user's number by his name or the number itself."""
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        return int(text) if text.isascii() and text.isdigit() else None
