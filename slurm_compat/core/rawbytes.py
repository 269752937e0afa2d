"""Bytes that are no UTF-8, in names, comments, paths and arguments, on their way through JSON and the store.

To Slurm such text is bytes and goes through unchanged. Python holds a stray byte as a lone surrogate (PEP 383), which
is no Unicode: JSON and SQLite refuse it. So the ends of the wire write it as a character of the last private plane,
U+10FF80 to U+10FFFF, and read it back. Standard library only, for the agent.
"""

from __future__ import annotations

import re
from typing import Any

MARK = b"\xf4\x8f"  # how those characters begin in UTF-8
_STRAY = re.compile("[\udc80-\udcff]")
_CARRIED = re.compile("[\U0010ff80-\U0010ffff]")
_SHIFT = 0x10FF00 - 0xDC00


def carried(value: Any) -> Any:
    """A value of JSON, its strings fit for the wire."""
    return _mapped(value, _STRAY, _SHIFT)


def restored(value: Any) -> Any:
    """What `carried` was given."""
    return _mapped(value, _CARRIED, -_SHIFT)


def _mapped(value: Any, letters: re.Pattern[str], shift: int) -> Any:
    if isinstance(value, str):
        return letters.sub(lambda found: chr(ord(found[0]) + shift), value)
    if isinstance(value, (list, tuple)):
        return [_mapped(entry, letters, shift) for entry in value]
    if isinstance(value, dict):
        return {_mapped(name, letters, shift): _mapped(entry, letters, shift) for name, entry in value.items()}
    return value
