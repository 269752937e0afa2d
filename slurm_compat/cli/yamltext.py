"""Texts as libyaml writes them: plain where that is possible, else in quotes; broken at spaces past column 80."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

WIDTH = 80
HARMLESS = re.compile(r"[A-Za-z0-9_/(][A-Za-z0-9_./()=+%-]*\Z")  # plain, and never broken
PLAIN, SINGLE, DOUBLE = "", "'", '"'
ESCAPES = {
    "\0": "0", "\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", "\x1b": "e", '"': '"',
    "\\": "\\", "\x85": "N", "\xa0": "_", "\u2028": "L", "\u2029": "P",
}  # fmt: skip


@lru_cache(maxsize=4096)
def style(text: str) -> str:
    """How libyaml would write it as a value of a block."""
    from io import StringIO

    from yaml.emitter import Emitter

    found = Emitter(StringIO()).analyze_scalar(text)
    if text and found.allow_block_plain and not found.multiline:
        return PLAIN
    return SINGLE if found.allow_single_quoted else DOUBLE


def text_lines(text: str, indent: str, lead: str) -> Iterator[str]:
    """The lines of a text whose first one begins with `lead`; what it is broken into stands under `indent`."""
    if HARMLESS.match(text):
        yield f"{lead} {text}"
    elif not text:
        yield lead
    else:
        quote = style(text)
        line = f"{lead} {quote}"
        for place, char in enumerate(text):
            inside = 0 < place < len(text) - 1
            if char == " " and inside and text[place - 1] != " " and len(line) > WIDTH and _breaks(text, place, quote):
                yield line
                line = indent + ("\\" if text[place + 1] == " " else "")
            elif char == "\n" and quote == SINGLE:
                # a line break is an empty line: one more where the first of several is
                yield "" if place and text[place - 1] == "\n" else line
                line = ""
                if text[place + 1 : place + 2] != "\n":
                    yield ""
                    line = indent
            else:
                line += _shown(char, quote)
        yield line + quote


def _breaks(text: str, place: int, quote: str) -> bool:
    """A space before another one is kept where nothing could say so."""
    return quote == DOUBLE or text[place + 1] != " "


def _shown(char: str, quote: str) -> str:
    if quote == SINGLE:
        return "''" if char == "'" else char
    if quote == DOUBLE:
        if char in ESCAPES:
            return "\\" + ESCAPES[char]
        if not " " <= char <= "~":
            number = ord(char)
            return (
                f"\\x{number:02X}" if number < 0x100 else f"\\u{number:04X}" if number < 0x10000 else f"\\U{number:08X}"
            )
    return char
