"""Values as text: JSON as json-c prints it, YAML as libyaml does with its tags. A document's long list is a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from slurm_compat.cli.yamltext import text_lines

BATCH = 64  # entries that are turned into text at a time
ENDLESS = float(2**64)  # what stands for infinity where a fraction is told
NUMBER = frozenset({"set", "infinite", "number"})
# the fraction of a number, and not of a text: that would end with a quote, not with its line. One that is 0 is right
FRACTION = re.compile(r"\.(?!0,?\n)\d+(?:e[-+]?\d+)?(?=,?\n)")


def json_lines(stream: str, entries: Iterable[Any], rest: Mapping[str, Any]) -> Iterator[str]:
    """The pieces of {stream: [entries…], **rest}."""
    yield f"{{\n  {json.dumps(stream)}: ["
    empty = True
    for batch in batches(entries):
        yield "\n" if empty else ",\n"
        yield "  " + _json(batch)[2:-2].replace("\n", "\n  ")
        empty = False
    yield "]" if empty else "\n  ]"
    # what follows stands in an object of its own: its opening bracket gives way to a comma
    yield "," + _json(rest)[1:] + "\n"


def json_text(value: Any) -> str:
    return _json(value) + "\n"


def _exact(text: str) -> str:
    """Fractions as C's %.17g, which json-c uses, has them."""
    pieces: list[str] = []
    done = 0
    for found in FRACTION.finditer(text):
        start = text.rfind(" ", 0, found.start()) + 1
        number = f"{float(text[start : found.end()]):.17g}"
        pieces += text[done:start], number if "." in number or "e" in number else number + ".0"
        done = found.end()
    return "".join([*pieces, text[done:]]) if pieces else text


def _json(value: Any) -> str:
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:  # bytes that are no UTF-8 go through unchanged
        text = json.dumps(value, indent=2, ensure_ascii=False)
    text = text.replace("/", "\\/")
    return _exact(text)


def batches(entries: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(entries)
    while batch := list(islice(rest, BATCH)):
        yield batch


def yaml_lines(stream: str, entries: Iterable[Any], rest: Mapping[str, Any]) -> Iterator[str]:
    yield "%YAML 1.1\n--- !!map\n"
    empty = True
    for entry in entries:
        if empty:
            yield f"!!str {stream}: !!seq\n"
        empty = False
        for line in _yaml(entry, "  ", "- "):
            yield line + "\n"
    if empty:
        yield f"!!str {stream}: !!seq []\n"
    for line in _members(rest, ""):
        yield line + "\n"
    yield "...\n\n"


def yaml_text(value: Any) -> str:
    return "\n".join(["%YAML 1.1", *_yaml(value, "", "--- "), "...", "", ""])


def _yaml(value: Any, indent: str, lead: str) -> Iterator[str]:
    """Lines of one value; `lead` stands before its tag on the first."""
    if isinstance(value, dict):
        yield lead + ("!!map" if value else "!!map {}")
        yield from _members(value, indent)
    elif isinstance(value, (list, tuple)):
        yield lead + ("!!seq" if value else "!!seq []")
        for each in value:
            yield from _yaml(each, indent + "  ", f"{indent}- ")
    elif isinstance(value, str):
        yield from text_lines(value, indent, f"{lead}!!str")
    else:
        yield lead + scalar(value)


def _members(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, each in value.items():
        deeper = indent if isinstance(each, (list, tuple)) else indent + "  "
        yield from _yaml(each, deeper, f"{indent}!!str {key}: ")


def scalar(value: float | bool | None) -> str:
    if value is None:
        return "!!null null"
    if isinstance(value, bool):
        return f"!!bool {str(value).lower()}"
    return f"!!int {value}" if isinstance(value, int) else f"!!float {value:.6f}"


def simple(value: Any, empty: frozenset[str] = frozenset(), key: str = "") -> Any:
    """A value as the flag `complex` has it: a number that may be missing is itself, null or "Infinity"; "" is null,
    but for the keys of `empty`."""
    if isinstance(value, dict):
        if value.keys() == NUMBER:
            if value["infinite"]:
                return "Infinity"
            if value["number"] == ENDLESS:
                return "Infinity"
            return value["number"] if value["set"] else None
        return {name: simple(each, empty, name) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [simple(each, empty, key) for each in value]
    return None if value == "" and key not in empty else value
