"""A pod as a machine of its own, as far as its name and its neighbours' names go: UTS and mount namespaces.

Only root may have them without a user namespace, and in one of those other users' files and setuid programs are no
longer what they are; so without root pods keep this machine's name. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import socket

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000  # what is mounted outside later still shows up inside
PR_SET_CHILD_SUBREAPER = 36

HOSTS = "/etc/hosts"

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Orphans below us become our children, not init's."""
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise _error("prctl")


def enter(node: str, hosts: str) -> None:
    """Give the calling process the node's name, and `hosts` as its /etc/hosts. Raises OSError."""
    if _libc.unshare(CLONE_NEWUTS | CLONE_NEWNS) != 0:
        raise _error("unshare")
    socket.sethostname(node)
    if _libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None) != 0:
        raise _error("mount /")
    if _libc.mount(os.fsencode(hosts), HOSTS.encode(), None, MS_BIND, None) != 0:
        raise _error(f"mount {hosts}")


def try_out(hosts: str) -> None:
    """Raises OSError where `enter` does: even root may lack the right to, inside a container."""
    child = os.fork()
    if child == 0:
        try:
            enter("try", hosts)
            os._exit(0)
        except OSError as problem:
            os._exit(problem.errno or 1)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number:
        raise OSError(number, f"namespaces: {os.strerror(number)}")


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def hosts_text(own: str, nodes: dict[str, str]) -> str:
    """An /etc/hosts in which every node has its address. `own` is this machine's; lines that name a node give way."""
    kept = []
    for line in own.splitlines():
        words = line.partition("#")[0].split()
        rest = [word for word in words[1:] if word not in nodes]
        if len(rest) == len(words[1:]):
            kept.append(line)
        elif rest:
            kept.append("\t".join([words[0], *rest]))
    kept.extend(f"{address}\t{name}" for name, address in nodes.items())
    return "\n".join(kept) + "\n"
