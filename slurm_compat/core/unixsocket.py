"""Connecting to a Unix socket whose path may be long. Standard library only: the agent reads this too."""

from __future__ import annotations

import os
import socket

LONGEST = 107  # bytes that sun_path holds


def connect(sock: socket.socket, path: str) -> None:
    """Connect to a path of any length: one that is too long is reached through its directory's descriptor."""
    if len(os.fsencode(path)) <= LONGEST:
        sock.connect(path)
        return
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
