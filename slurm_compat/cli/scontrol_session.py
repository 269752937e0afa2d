"""One run of scontrol: what its verbs are given, and what a verb is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from slurm_compat.cli.context import Context
from slurm_compat.core.errors import CommandError, SlurmError

LOAD_ERRORS = {
    "nodes": "slurm_load_node error: ",
    "partitions": "slurm_load_partitions error: ",
    "reservations": "slurm_load_reservations error: ",
    "licenses": "slurm_load_licenses error: ",
}


@dataclass
class Session:
    """One run of scontrol: where it prints, and what its options and option verbs have set."""

    ctx: Context
    one_line: bool = False
    details: int = 0
    all: bool = False
    quiet: bool = False
    verbose: bool = False
    over: bool = False  # exit or quit was said
    document: str = ""  # "json" or "yaml": what has a document is printed as one
    parser: str = ""  # the version of its schema, with flags
    cluster: str = ""  # of -M
    uid: int | None = None  # of --uid: whose changes of jobs these are to be
    code: int = 1  # the exit code when a verb did not go well

    @property
    def time_format(self) -> str:
        return self.ctx.env.get("SLURM_TIME_FORMAT", "standard")

    def rows(self, call: str, fields: list[str], **args: Any) -> list[dict[str, Any]]:
        """Rows of a list; a refusal of those in LOAD_ERRORS ends the command in Slurm's words for that list."""
        try:
            return [dict(zip(fields, row, strict=True)) for row in self.ctx.controller.rows(call, fields, **args)]
        except SlurmError as problem:
            if call in LOAD_ERRORS:
                raise CommandError(f"{LOAD_ERRORS[call]}{problem.text}") from None
            raise

    def fail(self, *lines: str) -> bool:
        for line in lines:
            if not self.quiet:
                self.ctx.err(line)
        return False

    def ordered(self, said: str, call: str, **arguments: Any) -> bool:
        """A call whose answer tells nothing; its refusal is shown behind "SAID error:"."""
        try:
            self.ctx.controller.call(call, **arguments)
        except SlurmError as problem:
            return self.fail(f"{said} error:{problem.text}")
        return True

    def say(self, text: str) -> None:
        """What --quiet leaves out."""
        if not self.quiet:
            self.ctx.out(text)


class Verb(NamedTuple):
    least: int  # letters that suffice
    fewest: int  # words after it
    most: int | None
    do: Callable[[Session, list[str]], bool]


def refused(what: str, instead: str) -> Callable[[Session, list[str]], bool]:
    def refuse(session: Session, words: list[str]) -> bool:
        session.ctx.error(f"{what} is not supported here; {instead}")
        return False

    return refuse


def option_verb(**changes: Any) -> Callable[[Session, list[str]], bool]:
    def change(session: Session, words: list[str]) -> bool:
        for name, value in changes.items():
            setattr(session, name, value)
        return True

    return change
