"""The documents of --json and --yaml: their frame, how they are written, and the shapes that recur in them.

The shapes are those of Slurm's published schema (data_parser/v0.0.45); text as json-c and Slurm's YAML writer put it.
"""

from __future__ import annotations

import grp
import json
import pwd
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.context import Context
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.signals import signal_name

PARSER = "v0.0.45"
PARSERS = ("v0.0.43", "v0.0.42", "v0.0.45", "v0.0.44")  # as the real commands list them
_KINDS = {"json": "application/json", "yaml": "application/x-yaml"}


def refusal(ctx: Context, kind: str, parser: str) -> int | None:
    """The exit code when `--json=parser` is answered without a document: "list", or an unknown parser. Else None."""
    if parser == "list":
        ctx.err("Possible data_parser plugins:")
        for name in PARSERS:
            ctx.err(f"data_parser/{name}")
        return 0
    if parser and parser.removeprefix("data_parser/").partition("+")[0] not in PARSERS:
        ctx.error(f"load_plugins: unable to find plugin: data_parser/{parser}")
        ctx.error("data_parser_g_new: failure loading plugins: Plugin has invalid format or unable to be loaded")
        ctx.error(f"{_KINDS[kind]} output not supported by data_parser/{PARSER}")
        return 0
    return None


def document(ctx: Context, name: str, entries: list[Any], cluster: str) -> dict[str, Any]:
    major, minor, micro = SLURM_VERSION.split(".")
    return {
        name: entries,
        "meta": {
            "plugin": {
                "type": "", "name": "", "data_parser": f"data_parser/{PARSER}",
                "accounting_storage": "accounting_storage/slurmdbd",
            },
            "client": {"source": "", "user": user_name(ctx.uid), "group": _group(ctx.gid)},
            "command": list(ctx.argv),
            "slurm": {
                "version": {"major": major, "micro": micro, "minor": minor}, "release": SLURM_VERSION,
                "cluster": cluster,
            },
        },
        "errors": [],
        "warnings": [],
    }  # fmt: skip


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
    if kind == "json":
        ctx.out(json.dumps(value, indent=2, ensure_ascii=False).replace("/", "\\/"))
        return
    ctx.out("%YAML 1.1")
    for line in _yaml(value, "", "--- "):
        ctx.out(line)
    ctx.out("...")
    ctx.out("")


def _yaml(value: Any, indent: str, lead: str) -> Iterator[str]:
    """Lines of one value; `lead` stands before its tag on the first."""
    if isinstance(value, Mapping):
        yield lead + ("!!map" if value else "!!map {}")
        for key, each in value.items():
            deeper = indent if isinstance(each, (list, tuple)) else indent + "  "
            yield from _yaml(each, deeper, f"{indent}!!str {key}: ")
    elif isinstance(value, (list, tuple)):
        yield lead + ("!!seq" if value else "!!seq []")
        for each in value:
            yield from _yaml(each, indent + "  ", f"{indent}- ")
    else:
        yield lead + _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return f"!!bool {str(value).lower()}"
    if isinstance(value, int):
        return f"!!int {value}"
    if isinstance(value, float):
        return f"!!float {value}"
    text = str(value)
    if not text:
        return "!!str"
    plain = text.isprintable() and text == text.strip() and ": " not in text and " #" not in text
    plain = plain and text[0] not in "\"'&*!|>%@`{}[],?:-#"
    return f"!!str {text if plain else json.dumps(text, ensure_ascii=False)}"


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


def tres(counts: Iterable[tuple[str, int]], **more: Any) -> list[dict[str, Any]]:
    """Resources by name ("cpu", "gres/gpu") with counts, in the order of their numbers."""
    entries = []
    for index, (resource, count) in enumerate(counts):
        kind, _, name = resource.partition("/")
        number_ = _TRES_IDS.get(resource, _FIRST_FURTHER + index)
        entries.append({"type": kind, "name": name, "id": number_, "count": count, **more})
    return sorted(entries, key=lambda entry: entry["id"])
