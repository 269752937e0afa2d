"""Where the agents of a step reach srun: a socket file only this user can open, and a TCP port."""

from __future__ import annotations

import contextlib
import hmac
import os
import socket
from collections.abc import Mapping

from slurm_compat.core import stepio
from slurm_compat.core.relayline import PREFIX

LOOPBACK = "127.0.0.1"
UNREACHABLE = "none"  # SLURM_COMPAT_SRUN_HOST of a host that no pod reaches
TEMPORARY = "/tmp"


class Listener:
    """Listens until `stop`. `secret` is what an agent must show in its first frame."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.secret = os.urandom(16).hex()
        # inside a pod its own address; on a login node the one a site says its pods can reach; else this machine alone
        self.host = env.get("SLURM_COMPAT_SRUN_HOST") or env.get("_SLURM_COMPAT_ADDRESS") or LOOPBACK
        self.sockets: list[socket.socket] = []
        self.addresses: list[str] = []
        self._folder = ""
        # the name under which the controller passes on what agents send that reach none of the addresses
        self.ticket = os.urandom(16).hex()
        if self.host == UNREACHABLE:
            self.host = LOOPBACK
            self.port = self._listen_tcp(LOOPBACK)
            self.addresses.clear()
        else:
            self._listen_for_agents(env)
        self.addresses.append(f"{PREFIX}{self.ticket}")

    def _listen_for_agents(self, env: Mapping[str, str]) -> None:
        self._listen_unix(env.get("XDG_RUNTIME_DIR") or "")
        self.port = self._listen_tcp("" if env.get("SLURM_COMPAT_SRUN_HOST") else self.host)

    def _listen_unix(self, runtime: str) -> None:
        where = runtime if os.path.isdir(runtime) and os.access(runtime, os.W_OK) else TEMPORARY
        try:
            folder = f"{where}/srun-{os.urandom(8).hex()}"
            os.mkdir(folder, 0o700)
            self._folder = folder
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.bind(f"{self._folder}/io")
        except OSError:  # no such folder, a full disk, a path that is too long: TCP will do
            self._remove_folder()
            return
        sock.listen(128)
        self.sockets.append(sock)
        self.addresses.append(f"unix:{self._folder}/io")

    def _listen_tcp(self, host: str) -> int:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.bind((host, 0))
        except OSError:  # the address is not this process's to listen on
            self.host = LOOPBACK
            sock.bind((LOOPBACK, 0))
        sock.listen(1024)
        self.sockets.append(sock)
        port = int(sock.getsockname()[1])
        self.addresses.append(f"{self.host}:{port}")
        return port

    def accept(self, sock: socket.socket) -> socket.socket | None:
        try:
            connection, _ = sock.accept()
        except OSError:
            return None
        connection.setblocking(False)
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def admits(self, hello: Mapping[str, object]) -> bool:
        """Whether this agent knows the secret and speaks our language."""
        shown = hello.get("secret")
        # compared as a whole: where it differs takes no longer or shorter
        same = isinstance(shown, str) and hmac.compare_digest(shown.encode(errors="replace"), self.secret.encode())
        return same and hello.get("version") == stepio.VERSION

    def stop(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder:
            with contextlib.suppress(OSError):
                os.unlink(f"{self._folder}/io")
            with contextlib.suppress(OSError):
                os.rmdir(self._folder)
            self._folder = ""
