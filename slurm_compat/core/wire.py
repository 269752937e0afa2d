"""Frames of the controller's socket: four bytes of length, big-endian, then JSON.

A call is one frame {"call": name, "args": {...}}. The answer is any number of {"rows": [[...], ...]} or
{"event": name, ...} frames, then one {"result": {...}} or {"error": [number, text, notes]}. Both ends check what they
read: a frame that is too long, cut short or not JSON raises BadFrame, and the reader drops that connection.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgspec

from slurm_compat.core import rawbytes

MAX_FRAME = 64 << 20  # bytes; a script of 4 MiB, its environment and base64 fit with room
LENGTH = struct.Struct(">I")

_encode = msgspec.json.Encoder().encode


class BadFrame(Exception):
    """What came is not a frame; nothing more can be read from where it came."""


def frame(value: Any) -> bytes:
    try:
        body = _encode(value)
    except UnicodeEncodeError:
        body = _encode(rawbytes.carried(msgspec.to_builtins(value)))
    return LENGTH.pack(len(body)) + body


def read_frame(recv_exactly: Callable[[int], bytes | None], limit: int = MAX_FRAME) -> Any:
    """The next value, or None at a clean end. `recv_exactly(n)` gives n bytes, None at end of file before the first."""
    head = recv_exactly(LENGTH.size)
    if head is None:
        return None
    (length,) = LENGTH.unpack(head)
    if length > limit:
        raise BadFrame(f"a frame of {length} bytes is longer than {limit}")
    body = recv_exactly(length)
    if body is None:
        raise BadFrame("the connection ended inside a frame")
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as problem:
        raise BadFrame(str(problem)) from None
    return rawbytes.restored(value) if rawbytes.MARK in body else value
