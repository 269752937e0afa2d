"""sacctmgr: accounts, users, associations and QOS as the accounting has them; one command, or many on stdin.

What it changes outranks what the cluster file declares. Source: sacctmgr(1); words, codes and how far names may be
abbreviated observed on 26.05.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.context import Context
from slurm_compat.cli.optiontable import OPERAND, OPTIONAL, REQUIRED, Opt, help_lines, parsed
from slurm_compat.cli.sacctmgr_settings import NO_PRIVILEGE, Settings, caller_is_admin, caller_is_operator
from slurm_compat.cli.sacctmgr_show import show
from slurm_compat.core.errors import CommandError, SlurmError
from slurm_compat.core.fieldprint import BETWEEN, ENDED

OPTIONS = (
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("help", "h", help="show this text, and end"),
    Opt("usage", "h"),
    Opt("immediate", "i", help="ask nothing"),
    Opt("json", "json", OPTIONAL, "as JSON, where there is such a form", "PARSER"),
    Opt("noheader", "n", help="without the header"),
    Opt("oneliner", "o", help="no effect: every record is a line"),
    Opt("parsable", "p", help="fields with | behind each"),
    Opt("parsable2", "P", help="fields with | between them"),
    Opt("quiet", "Q", help="errors only"),
    Opt("readonly", "r", help="change nothing"),
    Opt("associations", "s", help="users and accounts with their associations"),
    Opt("verbose", "v", help="no effect: there is nothing more to tell"),
    Opt("version", "V", help="show the version, and end"),
    Opt("yaml", "yaml", OPTIONAL, "as YAML, where there is such a form", "PARSER"),
)
TRY = 'Try "sacctmgr --help" for more information'
MAX_LINE = 64 * 1024  # characters of an interactive line

# what list shows: name, letters that suffice. Where several begin so the first is meant.
LISTED = (
    ("account", 3), ("association", 2), ("cluster", 2), ("configuration", 2), ("event", 1), ("federation", 1),
    ("instance", 1), ("problem", 1), ("qos", 1), ("resource", 4), ("reservation", 4), ("runawayjobs", 2), ("stats", 1),
    ("transaction", 1), ("tres", 4), ("user", 1), ("wckey", 1),
)  # fmt: skip
NO_ENTITY = (
    "No valid entity in list command",
    'Input line must include "Account", "Association", "Cluster", "Configuration",',
    '"Event", "Federation", "Problem", "QOS", "Resource", "Reservation",',
    '"RunAwayJobs", "Stats", "Transaction", "TRES", "User", or "WCKey"',
)

Verb = Callable[[Settings, Sequence[str]], int]


def list_entity(settings: Settings, words: Sequence[str]) -> int:
    from slurm_compat.cli import sacctmgr_reports as reports

    word = words[0].lower() if words else ""
    for name, least in LISTED:
        plural = name if name == "resource" else name + "s"
        if (len(word) >= least and plural.startswith(word)) or (name, word) == ("account", "acct"):
            break
    else:
        raise CommandError(*NO_ENTITY)
    others: dict[str, Verb] = {
        "configuration": reports.configuration,
        "stats": reports.statistics,
        "runawayjobs": reports.runaway_jobs,
    }
    if settings.output:
        from slurm_compat.cli.sacctmgr_pages_json import print_page

        done = print_page(settings, name)
        if done is not None:
            return done
    return others[name](settings, words[1:]) if name in others else show(settings, name, words[1:])


def ping(settings: Settings, words: Sequence[str]) -> int:
    if settings.output:
        from slurm_compat.cli.sacctmgr_pages_json import print_page

        return print_page(settings, "ping") or 0
    host = settings.ctx.controller.call("ping")["hostname"]
    settings.ctx.out(f"slurmdbd(primary) at {host} is UP")
    return 0


def version(settings: Settings, words: Sequence[str]) -> int:
    settings.ctx.out(f"slurm-wlm {SLURM_VERSION}")
    return 0


def help_verb(settings: Settings, words: Sequence[str]) -> int:
    for line in _help():
        settings.ctx.out(line)
    return 0


def setting(name: str, value: object = True) -> Verb:
    def run(settings: Settings, words: Sequence[str]) -> int:
        setattr(settings, name, value)
        return 0

    return run


def _change(verb: str) -> Verb:
    def run(settings: Settings, words: Sequence[str]) -> int:
        from slurm_compat.cli import sacctmgr_changes

        return sacctmgr_changes.change(verb)(settings, words)

    return run


def archive(settings: Settings, words: Sequence[str]) -> int:
    word = words[0].lower() if words else ""
    if not word or not ("dump".startswith(word) or "load".startswith(word)):
        raise CommandError("No valid entity in archive command", 'Input line must include, "Dump", or "load"')
    if settings.readonly:
        raise CommandError("Can't run this command in readonly mode.")
    if not caller_is_operator(settings):
        raise CommandError(*NO_PRIVILEGE)
    raise CommandError("sacctmgr: error: archive is not supported here; back up the controller's store instead")


def reconfigure(settings: Settings, words: Sequence[str]) -> int:
    """Of the accounting, which the controller keeps. Who may not is not told so."""
    with contextlib.suppress(SlurmError):
        settings.ctx.controller.call("reconfigure")
    return 0


def shutdown(settings: Settings, words: Sequence[str]) -> int:
    if not caller_is_admin(settings):
        raise CommandError(" Problem shutting down server: Access/permission denied")
    raise CommandError(
        "sacctmgr: error: shutdown is not supported here; scontrol shutdown stops the controller, which is the "
        "accounting too"
    )


def dump(settings: Settings, words: Sequence[str]) -> int:
    from slurm_compat.cli.sacctmgr_dump import dump as dump_to

    return dump_to(settings, words)


def load(settings: Settings, words: Sequence[str]) -> int:
    from slurm_compat.cli.sacctmgr_load import load as load_from

    return load_from(settings, words)


def clear(settings: Settings, words: Sequence[str]) -> int:
    from slurm_compat.cli import sacctmgr_reports

    return sacctmgr_reports.clear_statistics(settings, words)


# verb: what it does, and what --help says of it
VERBS: dict[str, tuple[Verb, str]] = {
    "list": (list_entity, "ENTITY [SPECS]: show it"),
    "show": (list_entity, "the same"),
    "add": (_change("add"), "ENTITY NAME [KEY=VALUE]: make it"),
    "create": (_change("add"), "the same"),
    "modify": (_change("modify"), "ENTITY [where CONDITIONS] set KEY=VALUE: change it"),
    "update": (_change("modify"), "the same"),
    "delete": (_change("delete"), "ENTITY where CONDITIONS: remove it"),
    "remove": (_change("delete"), "the same"),
    "dump": (dump, "CLUSTER [file=NAME]: write all of it to a file"),
    "load": (load, "FILE [clean]: make what such a file has"),
    "archive": (archive, "refused: back up the controller's store"),
    "reconfigure": (reconfigure, "read the cluster file again"),
    "shutdown": (shutdown, "refused: the controller is the accounting"),
    "clear": (clear, "stats: begin the controller's statistics anew"),
    "ping": (ping, "whether the accounting answers"),
    "associations": (setting("associations"), "list users and accounts with their associations"),
    "oneliner": (setting("quiet", False), "no effect"),
    "quiet": (setting("quiet"), "errors only"),
    "readonly": (setting("readonly"), "change nothing from here on"),
    "verbose": (setting("quiet", False), "no effect"),
    "version": (version, "show the version"),
    "help": (help_verb, "show this text"),
    "exit": (setting("over"), "end"),
    "quit": (setting("over"), "the same"),
}


# letters of a verb that suffice
LEAST = {
    "list": 3, "show": 3, "add": 3, "create": 3, "modify": 1, "update": 1, "delete": 3, "remove": 3, "dump": 3,
    "load": 2, "archive": 3, "reconfigure": 4, "shutdown": 4, "clear": 3, "ping": 4, "associations": 3, "oneliner": 1,
    "quiet": 4, "readonly": 4, "verbose": 4, "version": 4, "help": 2, "exit": 4, "quit": 4,
}  # fmt: skip


def verb_named(word: str) -> tuple[Verb, str] | None:
    lower = word.lower()
    return next((VERBS[name] for name, least in LEAST.items() if len(lower) >= least and name.startswith(lower)), None)


def process(settings: Settings, words: Sequence[str]) -> int:
    """One command's exit code; what it refuses is told."""
    verb = verb_named(words[0])
    try:
        if verb is None:
            raise CommandError(f"invalid keyword: {words[0]}")
        return verb[0](settings, words[1:])
    except CommandError as problem:
        for line in problem.lines:
            settings.ctx.err(line)
        return problem.code
    except SlurmError as problem:
        if words[0].lower()[:3] in ("sho", "lis"):  # PrivateData
            settings.ctx.err(f"sacctmgr: error: {problem.text}")
            settings.ctx.err(" Problem with query.")
        else:
            settings.ctx.err(f" Error with request: {problem.text}")
        return 1


def interactive(settings: Settings) -> int:
    """Commands from stdin until exit, quit or its end; "!!" is the last one again."""
    code = 0
    last: list[str] = []
    ctx = settings.ctx
    while not settings.over:
        ctx.stdout.write("sacctmgr: ")
        ctx.stdout.flush()
        line = ctx.stdin.readline(MAX_LINE)
        if not line:
            ctx.out("")
            break
        if not ctx.stdin.isatty():
            ctx.out(line.rstrip("\n"))  # as readline shows what it reads where no terminal does
            ctx.stdout.flush()
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = line.split()
        if words == ["!!"]:
            words = last
        if words:
            last = words
            code = process(settings, words) or code
            ctx.stderr.flush()
    return code


_FLAGS: dict[str, tuple[str, object]] = {
    "n": ("header", False), "p": ("form", ENDED), "P": ("form", BETWEEN), "s": ("associations", True),
    "i": ("immediate", True), "r": ("readonly", True), "Q": ("quiet", True),
}  # fmt: skip


def main(ctx: Context) -> int:
    settings = Settings(ctx)
    words: list[str] = []
    for key, text in parsed("sacctmgr", ctx.argv[1:], OPTIONS, [TRY]):
        if key == OPERAND:
            words.append(text)
        elif key in _FLAGS:
            name, value = _FLAGS[key]
            setattr(settings, name, value)
        elif key == "V":
            return version(settings, [])
        elif key == "h":
            return help_verb(settings, [])
        elif key in ("json", "yaml"):
            settings.output, settings.parser = key, text
    return process(settings, words) if words else interactive(settings)


def _help() -> Iterator[str]:
    yield "sacctmgr [OPTION...] [COMMAND]: show and change accounts, users, associations and QOS"
    yield from help_lines(OPTIONS)
    yield ""
    yield "Commands; without one they are read from stdin:"
    for name, (_, text) in VERBS.items():
        yield f"  {name:<14} {text}"
    yield ""
    yield "Entities of list: " + ", ".join(name for name, _ in LISTED)
    yield "SPECS: conditions KEY=VALUE,…, format=FIELD[%WIDTH],…, and for users and accounts withassoc"
