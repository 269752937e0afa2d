"""A controller on another machine: TLS to its TCP port, checked by its authority's certificate alone.

Commands wait on plain sockets with select, which knows nothing of what TLS has decrypted already; so a thread carries
the bytes between the TLS connection and a pair of sockets, whose other end the command has.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import threading

from slurm_compat.cli.where import Remote
from slurm_compat.core.errors import CommandError

CHUNK = 1 << 18
DIAL_TIMEOUT = 10.0  # seconds for the connection and for TLS's handshake
LAST_WORDS = 2.0  # seconds in which what was written last goes out


def dial(remote: Remote) -> Tunnel:
    """Raises OSError where nobody listens, CommandError for a controller that is not the one meant."""
    host, port = host_and_port(remote.address)
    try:
        file = remote.authority.startswith("/")
        context = ssl.create_default_context(
            cafile=remote.authority if file else None,
            cadata=base64.b64decode(remote.authority) if remote.authority and not file else None,
        )
    except OSError as problem:
        raise CommandError(f"error: TLSAuthority {remote.authority}: {problem.strerror or problem}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    plain = socket.create_connection((host, port), DIAL_TIMEOUT)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as problem:
        plain.close()
        raise CommandError(
            f"error: {remote.address} is not vouched for by TLSAuthority: {problem.verify_message}"
        ) from None
    except BaseException:
        plain.close()
        raise
    return Tunnel(secure)


def host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise CommandError(f"error: ControllerAddress {address}: not host:port")
    return host.strip("[]"), int(port)


class Tunnel:
    """`near` is the command's end: what is written to it goes to the controller, what comes can be read from it."""

    def __init__(self, secure: ssl.SSLSocket) -> None:
        self._secure = secure
        self.near, self._far = socket.socketpair()
        secure.setblocking(False)
        self._far.setblocking(False)
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The command's end is closed: what it wrote last still goes out."""
        with contextlib.suppress(OSError):
            self.near.shutdown(socket.SHUT_WR)
        self._thread.join(LAST_WORDS)
        self.near.close()

    def _carry(self) -> None:
        up, down = bytearray(), bytearray()  # to the controller, to the command
        try:
            while True:
                if not down and not self._take(down):
                    break
                if not up:
                    with contextlib.suppress(BlockingIOError):
                        data = self._far.recv(CHUNK)
                        if not data:
                            break
                        up += data
                while up:
                    try:
                        del up[: self._secure.send(up)]
                    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                        break
                while down:
                    try:
                        del down[: self._far.send(down, socket.MSG_NOSIGNAL)]
                    except BlockingIOError:
                        break
                if not down and self._secure.pending():
                    continue
                readers: list[socket.socket] = []
                writers: list[socket.socket] = []
                (writers if down else readers).append(self._far if down else self._secure)
                (writers if up else readers).append(self._secure if up else self._far)
                select.select(readers, writers, [])
        except (OSError, ValueError):  # the other end is gone, or ours was closed
            pass
        finally:
            self._far.close()
            with contextlib.suppress(OSError):
                self._secure.close()

    def _take(self, down: bytearray) -> bool:
        """What the controller sent; False at its end."""
        try:
            data = self._secure.recv(CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        down += data
        return bool(data)
