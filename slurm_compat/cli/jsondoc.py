"""The documents of --json and --yaml: their frame, how it was asked for, and the shapes that recur in them.

The shapes are those of Slurm's published schema (data_parser/v0.0.45, and the three before it).
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.context import Context
from slurm_compat.cli.jsonwrite import json_lines, json_text, simple, yaml_lines, yaml_text
from slurm_compat.cli.optiontable import NOTHING
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.signals import signal_name

PARSER = "v0.0.45"
PARSERS = ("v0.0.43", "v0.0.42", "v0.0.45", "v0.0.44")  # as the real commands list them
KINDS = {"json": "application/json", "yaml": "application/x-yaml"}
# flags behind the version: what they change, or how the real parsers answer them
COMPLEX = "complex"
TAKEN = ("fast", "minimize_refs", "spec_only")  # accepted; they change nothing that is printed here
DEFAULT_FLAG = "prefer_refs"


class Form(NamedTuple):
    """How a document was asked for."""

    kind: str = "json"
    version: str = PARSER
    complex: bool = False
    plugin: str = f"data_parser/{PARSER}"  # as meta names it

    def upto(self, version: str) -> bool:
        """Whether the shapes asked for are that version's or older ones."""
        return self.version <= version


def begin(ctx: Context, kind: str, parser: str, failure: int = 1) -> Form | int:
    """The form of `--json=parser`, or the exit code where there is no document. `failure`: of an unknown parser."""
    name, *flags = parser.removeprefix("data_parser/").split("+")
    if name == "list":
        ctx.err("Possible data_parser plugins:")
        ctx.stderr.flush()
        for each in PARSERS:
            ctx.out(f"data_parser/{each}")
        return 0
    version = PARSER if parser == "" or name == "latest" else name
    if version not in PARSERS:
        if parser == NOTHING:
            ctx.error("data_parser_g_new: invalid plugin ")
        elif not name:
            ctx.error("data_parser_g_new: unable to find plugin ")
        else:
            ctx.error(f"load_plugins: unable to find plugin: data_parser/{name}")
            ctx.error("data_parser_g_new: failure loading plugins: Plugin has invalid format or unable to be loaded")
        ctx.error(f"{KINDS[kind]} output not supported by data_parser/{PARSER}")
        return failure
    for flag in flags:
        if flag == DEFAULT_FLAG:
            ctx.err(f"{ctx.command}: data_parser/{version} ignoring default flag FLAG_PREFER_REFS")
        elif flag not in (COMPLEX, *TAKEN):
            ctx.err(f"{ctx.command}: warning: data_parser/{version} ignoring unknown flag {flag}")
    suffix = "".join(f"+{flag}" for flag in flags)
    return Form(kind, version, COMPLEX in flags, f"data_parser/{version}{suffix}")


def refusal(ctx: Context, kind: str, parser: str, failure: int = 1) -> int | None:
    """The exit code when `--json=parser` is answered without a document: "list", or an unknown parser. Else None."""
    form = begin(ctx, kind, parser, failure)
    return form if isinstance(form, int) else None


def frame(ctx: Context, form: Form, cluster: str) -> dict[str, Any]:
    """What ends every document."""
    major, minor, micro = SLURM_VERSION.split(".")
    return {
        "meta": {
            "plugin": {
                "type": "", "name": "", "data_parser": form.plugin,
                "accounting_storage": "accounting_storage/slurmdbd",
            },
            "client": {"source": _terminal(ctx), "user": user_name(ctx.uid), "group": _group(ctx.gid)},
            "command": ctx.command_line,
            "slurm": {
                "version": {"major": major, "micro": micro, "minor": minor}, "release": SLURM_VERSION,
                "cluster": cluster,
            },
        },
        "errors": [],
        "warnings": [],
    }  # fmt: skip


def stream(
    ctx: Context,
    form: Form,
    name: str,
    entries: Iterable[Any],
    cluster: str,
    more: Mapping[str, Any] | None = None,
    empty: frozenset[str] = frozenset(),
) -> None:
    """Print a document whose long part is a list, an entry at a time; `more` stands between it and the frame; its
    own warnings replace none. `empty`: keys whose empty text stays one where others are null."""
    rest = _framed(ctx, form, more or {}, cluster)
    if form.complex:
        entries, rest = (simple(entry, empty) for entry in entries), simple(rest)
    lines = json_lines if form.kind == "json" else yaml_lines
    for text in lines(name, entries, rest):
        ctx.stdout.write(text)


def show(ctx: Context, form: Form, value: Mapping[str, Any], cluster: str, empty: frozenset[str] = frozenset()) -> None:
    """Print a document that is one value."""
    whole = _framed(ctx, form, value, cluster)
    if form.complex:
        whole = simple(whole, empty)
    ctx.stdout.write(json_text(whole) if form.kind == "json" else yaml_text(whole))


def _framed(ctx: Context, form: Form, value: Mapping[str, Any], cluster: str) -> dict[str, Any]:
    """`value` with the frame behind it; warnings of its own take the place of none."""
    own = {key: each for key, each in value.items() if key not in ("errors", "warnings")}
    return {**own, **frame(ctx, form, cluster), **{key: value[key] for key in ("errors", "warnings") if key in value}}


def warning(text: str) -> dict[str, str]:
    return {"description": text, "source": ""}


def document(ctx: Context, name: str, entries: list[Any], cluster: str) -> dict[str, Any]:
    return {name: entries, **frame(ctx, Form(), cluster)}


def _terminal(ctx: Context) -> str:
    """The terminal of whoever asked: the first of the three streams that is one."""
    for each in (ctx.stdin, ctx.stdout, ctx.stderr):
        try:
            return os.ttyname(each.fileno())
        except (OSError, ValueError):
            continue
    return ""


def user_name(uid: int | None) -> str:
    """The name of a user's number, the number when it has none, "" for nobody."""
    if uid is None:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def write(ctx: Context, kind: str, value: Any) -> None:
    ctx.stdout.write(json_text(value) if kind == "json" else yaml_text(value))


# recurring shapes


def number(value: float | None) -> dict[str, Any]:
    """A number that may be missing or unlimited."""
    if value is None:
        return {"set": False, "infinite": False, "number": 0}
    if value == UNLIMITED:
        return {"set": False, "infinite": True, "number": 0}
    return {"set": True, "infinite": False, "number": value}


def exit_code(status: int) -> dict[str, Any]:
    """A wait status."""
    signal = status & 0x7F
    word = "SIGNALED" if signal else "ERROR" if status else "SUCCESS"
    if status & 0x80:
        word = "CORE_DUMPED"
    return {
        "status": [word],
        "return_code": number(None if signal else status >> 8 & 0xFF),
        "signal": {"id": number(signal or None), "name": signal_name(signal) if signal else ""},
    }


def cpu_time(microseconds: int) -> dict[str, int]:
    return {"seconds": microseconds // 1_000_000, "microseconds": microseconds % 1_000_000}


# resource: its number in the accounting, type and name
_TRES_IDS = {"cpu": 1, "mem": 2, "energy": 3, "node": 4, "billing": 5, "fs/disk": 6, "vmem": 7, "pages": 8}
_FIRST_FURTHER = 1001  # GRES and licences get theirs as they are configured


def tres(
    counts: Iterable[tuple[str, int]], numbers: Mapping[str, int] | None = None, **more: Any
) -> list[dict[str, Any]]:
    """Resources by name ("cpu", "gres/gpu") with counts, in the order of their numbers: the accounting's, if given."""
    entries = []
    for index, (resource, count) in enumerate(counts):
        kind, _, name = resource.partition("/")
        number_ = (numbers or _TRES_IDS).get(resource) or _TRES_IDS.get(resource, _FIRST_FURTHER + index)
        entries.append({"type": kind, "name": name, "id": number_, "count": count, **more})
    return sorted(entries, key=lambda entry: entry["id"])
