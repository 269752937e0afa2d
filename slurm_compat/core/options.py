"""What an option of sbatch, srun and salloc is, and getopt_long's reading of them.

The rows are in optionrows.py, the readers of their values in optionvalues.py. One row serves the command line,
#SBATCH lines, the environment, --help and docs/options.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from slurm_compat.core.errors import CommandError, UsageError

NONE, OPTIONAL, REQUIRED = "none", "optional", "required"

# what becomes of an option
HONOURED = "honoured"
MAPPED = "mapped"  # done in another way; the text says how
NO_EFFECT = "no effect here"  # the text says why that is harmless
REFUSED = "refused"  # the text says why, and what to do instead

COMMANDS = {"b": "sbatch", "s": "srun", "a": "salloc"}


class Where(NamedTuple):
    """What a reader may know: the command's name, the option's as messages call it, the caller and the clock."""

    command: str
    option: str
    uid: int = 0
    now: float = 0.0

    def error(self, text: str, code: int = 255) -> CommandError:
        return CommandError(f"{self.command}: error: {text}", code=code)

    def invalid(self, *before: str) -> CommandError:
        return CommandError(*before, f"{self.command}: error: Invalid --{self.option} specification", code=255)


# an option's argument, None when it was given without one -> what it fills, by field
Reader = Callable[["str | None", Where], dict[str, Any]]


class Option(NamedTuple):
    name: str
    short: str
    commands: str  # letters of COMMANDS that have it
    argument: str  # NONE, OPTIONAL, REQUIRED
    reader: Reader
    sbatch: str = ""  # input environment variables, by blanks, the one that wins last
    srun: str = ""
    salloc: str = ""
    fate: str = HONOURED
    why: str = ""  # how it is mapped, why it has no effect, or what to do instead
    value: str = ""  # what --help calls the argument
    help: str = ""  # "" leaves it out of --help
    group: str = "run"
    same_as: str = ""  # another spelling of this option
    script: bool = True  # False: a #SBATCH line may hold it, and nothing comes of it

    def variables(self, command: str) -> list[str]:
        text: str = getattr(self, command, "")
        return text.split()


class Given(NamedTuple):
    """One option as it was given."""

    option: Option
    text: str | None


def of_command(rows: Sequence[Option], command: str) -> list[Option]:
    letter = next(letter for letter, name in COMMANDS.items() if name == command)
    return [row for row in rows if letter in row.commands]


def scan(rows: Sequence[Option], command: str, args: Sequence[str], rest: list[str]) -> Iterator[Given]:
    """The options of `args` one by one, up to the first word that is none; the words from there on go to `rest`.

    Long names may be abbreviated while that is unambiguous; raises UsageError with getopt_long's words. A generator,
    so that a bad value is reported before a bad option behind it, as the real commands do.
    """
    shorts = {row.short: row for row in rows if row.short}
    longs = {row.name: row for row in rows}
    place = 0
    while place < len(args):
        word = args[place]
        if word == "-" or not word.startswith("-"):
            break
        place += 1
        if word == "--":
            break
        if word.startswith("--"):
            option, text = _long(rows, longs, command, word)
            if option.argument == REQUIRED and text is None:
                if place == len(args):
                    raise usage_error(command, f"option '--{option.name}' requires an argument")
                text, place = args[place], place + 1
            yield Given(longs[option.same_as] if option.same_as else option, text)
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            found = shorts.get(letter)
            if found is None:
                raise usage_error(command, f"invalid option -- '{letter}'")
            if found.argument == NONE:
                yield Given(found, None)
                continue
            text = letters or None
            if text is None and found.argument == REQUIRED:
                if place == len(args):
                    raise usage_error(command, f"option requires an argument -- '{letter}'")
                text, place = args[place], place + 1
            yield Given(found, text)
            break
    rest.extend(args[place:])


def _long(rows: Sequence[Option], longs: Mapping[str, Option], command: str, word: str) -> tuple[Option, str | None]:
    name, equals, text = word[2:].partition("=")
    option = longs.get(name)
    if option is None:
        fitting = [row for row in rows if row.name.startswith(name)]
        if not fitting:
            raise usage_error(command, f"unrecognized option '{word}'")
        # several spellings of one option are not ambiguous
        if len({(row.same_as or row.name, row.argument) for row in fitting}) > 1:
            shown = " ".join(f"'--{row.name}'" for row in fitting)
            raise usage_error(command, f"option '{word}' is ambiguous; possibilities: {shown}")
        option = fitting[0]
    if equals and option.argument == NONE:
        raise usage_error(command, f"option '--{option.name}' doesn't allow an argument")
    return option, text if equals else None


def usage_error(command: str, text: str) -> UsageError:
    return UsageError(f"{command}: {text}", f'Try "{command} --help" for more information', code=255)


def completions(rows: Iterable[Option], prefix: str) -> list[str]:
    """What --autocomplete answers: the options that begin with `prefix`, "=" behind those that take an argument."""
    found: list[str] = []
    for row in rows:
        if not ("--" + row.name).startswith(prefix):
            continue
        if row.argument == NONE:
            found.append(f"--{row.name}")
        else:
            found.append(f"--{row.name}=")
            if row.argument == OPTIONAL:
                found.append(f"--{row.name} ")
    return found
