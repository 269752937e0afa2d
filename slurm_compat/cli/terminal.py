"""The caller's terminal: its size, and raw mode while a remote one is shown on it."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

DEFAULT_SIZE = (24, 80)  # rows, columns, where there is no terminal to ask


def size(fds: tuple[int, ...] = (0, 1, 2)) -> tuple[int, int]:
    """Rows and columns of the first of these that is a terminal."""
    for fd in fds:
        try:
            rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
        except OSError:
            continue
        return rows, columns
    return DEFAULT_SIZE


@contextmanager
def raw(fd: int) -> Iterator[None]:
    """Each key goes through as it is typed; no echo, no signals from keys. Nothing where there is no terminal."""
    try:
        before = termios.tcgetattr(fd)
    except (termios.error, OSError):
        yield
        return
    tty.setraw(fd, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def in_background(fd: int) -> bool:
    """Whether `fd` is a terminal that another job of the shell has: reading it would stop this process."""
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:
        return False
