"""What sacctmgr's options and option verbs have set, and who asks."""

from __future__ import annotations

import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from slurm_compat.cli.context import Context
from slurm_compat.core.errors import ACCESS_DENIED, SlurmError
from slurm_compat.core.fieldprint import COLUMNS as PLAIN

Record = dict[str, Any]
NO_PRIVILEGE = (
    "sacctmgr: error: Your user doesn't have privilege to perform this action",
    " Error with request: Access/permission denied",
)


@dataclass
class Settings:
    """What sacctmgr's options and option verbs have set."""

    ctx: Context
    header: bool = True
    form: int = PLAIN
    associations: bool = False
    immediate: bool = False
    readonly: bool = False
    quiet: bool = False
    over: bool = False  # exit or quit was said
    output: str = ""  # json, yaml
    parser: str = ""

    def rows(self, call: str, fields: Iterable[str]) -> list[Record]:
        names = list(fields)
        return [dict(zip(names, row, strict=True)) for row in self.ctx.controller.rows(call, names)]


def caller_is_operator(settings: Settings) -> bool:
    """Whether the caller may look at and change what is others'."""
    return _level(settings) in ("Operator", "Administrator")


def caller_is_admin(settings: Settings) -> bool:
    """The controller knows: whoever runs it is one too."""
    try:
        settings.ctx.controller.call("change_book", verb="load", entity="steps", values={"steps": []}, dry=True)
    except SlurmError as problem:
        if problem.number != ACCESS_DENIED:
            raise
        return False
    return True


def _level(settings: Settings) -> str:
    from slurm_compat.cli.jsondoc import user_name

    if settings.ctx.uid == 0:
        return "Administrator"
    own = user_name(settings.ctx.uid)
    rows = settings.rows("users", ("name", "admin_level"))
    return next((str(row["admin_level"]) for row in rows if row["name"] == own), "None")


def has_uid(name: str) -> bool:
    """Whether this machine knows such a user."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
