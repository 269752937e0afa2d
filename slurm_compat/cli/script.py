"""The batch script: where it is, whether it can be one, and the options in its comments."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from slurm_compat.core.errors import CommandError

MAX_SIZE = 4 << 20  # bytes; SchedulerParameters max_script_size
NO_INTERPRETER = (
    "This does not look like a batch script.  The first",
    "line must start with #! followed by the path to an interpreter.",
    "For instance: #!/bin/sh",
)
DOS_BREAKS = (r"Batch script contains DOS line breaks (\r\n)", r"instead of expected UNIX line breaks (\n).")


class Script(NamedTuple):
    body: bytes
    name: str  # what the job is called after it: the file's name, "sbatch" for standard input, "wrap"
    path: str  # "" for standard input and --wrap
    label: str  # what messages call it


def problem(*lines: str, code: int = 1) -> CommandError:
    return CommandError(*(f"sbatch: error: {line}" for line in lines), code=code)


def find(name: str, cwd: str, env: Mapping[str, str]) -> str:
    """The path that `name` means: as it is when it begins with "/" or ".", else in `cwd`, else the first in PATH.

    Source: sbatch(1), SCRIPT PATH RESOLUTION.
    """
    if name.startswith(("/", ".")):
        return name
    beside = os.path.join(cwd, name)
    if os.path.exists(beside):
        return beside
    for folder in env.get("PATH", "").split(":"):
        path = os.path.join(folder, name)
        if folder and os.path.isfile(path) and os.access(path, os.R_OK):
            return path
    return beside


def read(name: str, cwd: str, env: Mapping[str, str]) -> Script:
    path = find(name, cwd, env)
    try:
        # to sbatch a directory is a file that holds nothing
        real = os.path.join(cwd, path)
        body = b"" if stat.S_ISDIR(os.stat(real).st_mode) else _bytes_of(real)
    except OSError:
        # a bare name that was found and can't be read is named as it was found
        raise problem(f"Unable to open file {real if '/' not in name and os.path.exists(real) else name}") from None
    return Script(checked(body), os.path.basename(name), path, name)


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(MAX_SIZE + 1)


def checked(body: bytes) -> bytes:
    """The script, or a CommandError with the reason why it can't be one."""
    if not body:
        raise problem("Batch script is empty!")
    if not body.partition(b"\0")[0].strip():  # to sbatch a text ends at its first NUL here
        raise problem("Batch script contains only whitespace!")
    if not body.startswith(b"#!"):
        raise problem(*NO_INTERPRETER)
    if b"\0" in body:
        raise problem("The Slurm controller does not allow scripts that", r"contain a NULL character '\0'.")
    if b"\r\n" in body:
        raise problem(*DOS_BREAKS)
    return body


def wrapped(command: str) -> Script:
    text = f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{command}\n"
    return Script(text.encode("utf-8", "surrogateescape"), "wrap", "", "")


class Directive(NamedTuple):
    line: int
    text: str


def directives(body: bytes, prefix: str) -> Iterator[Directive]:
    """What follows `prefix` on the comment lines before the first line that is neither comment nor empty."""
    for number, line in enumerate(body.decode("utf-8", "surrogateescape").split("\n"), 1):
        if line.startswith(prefix):
            yield Directive(number, line[len(prefix) :])
        elif line and not line.isspace() and not line.lstrip(" \t").startswith("#"):
            return


def option_groups(script: Script) -> list[list[str]]:
    """The words of the #SBATCH lines, a list a component: a line `#SBATCH hetjob` begins the next."""
    groups: list[list[str]] = [[]]
    for directive in directives(script.body, "#SBATCH"):
        words = split_words(directive.text, f"{script.label}: line {directive.line}")
        if words in (["hetjob"], ["packjob"]):
            groups.append([])
        else:
            groups[-1] += words
    return groups


def says_packjob(script: Script) -> bool:
    """Whether components are parted by the old name of `hetjob`."""
    return any(line.text.split() == ["packjob"] for line in directives(script.body, "#SBATCH"))


def split_words(text: str, place: str = "") -> list[str]:
    r"""Words as sbatch reads them: blanks separate, '…' and "…" hold together, \ takes the next letter as it is.

    A # outside quotes ends the line, and "" alone is no word. `place` names the line in the error.
    """
    words: list[str] = []
    word = ""
    quote = ""
    begin = at = 0  # `begin`: where the last word ended, which the messages quote from
    while at < len(text):
        letter = text[at]
        if letter == "\\" and at + 1 < len(text):
            at += 1
            word += text[at]
        elif letter == "\\":
            pass
        elif quote:
            quote, word = ("", word) if letter == quote else (quote, word + letter)
        elif letter in "\"'":
            quote = letter
        elif letter == "#":
            break
        elif letter in " \t\r\v\f":
            if word:
                words.append(_word(word, text[begin:], place))
                word, begin = "", at
        else:
            word += letter
        at += 1
    if quote:
        raise CommandError(f"sbatch: fatal: {place}: Unmatched `{quote}` in [{text[begin:]}]")
    return [*words, _word(word, text[begin:], place)] if word else words


def _word(word: str, rest: str, place: str) -> str:
    if word == ":":
        raise CommandError(f"sbatch: fatal: {place}: Unexpected `:` in [{rest}]")
    return word
