"""TLS over a socket that never blocks: ciphertext in and plaintext out, and the other way round.

The caller's selector waits for the socket; here are only bytes. The controller is known by the authority that the pod
was started with, and by the name it was dialled by.
"""

from __future__ import annotations

import base64
import ssl

CHUNK = 1 << 18


class Tls:
    """One connection's TLS on the side that dials. Raises OSError (as ssl.SSLError is) when the peer is not the one."""

    def __init__(self, authority: str, host: str) -> None:
        context = ssl.create_default_context(cadata=base64.b64decode(authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._ready = False
        self._waiting = bytearray()  # plaintext until the handshake is over
        self._shake()

    def _shake(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return
        self._ready = True
        if self._waiting:
            self._ssl.write(self._waiting)
            self._waiting.clear()

    def send(self, data: bytes | bytearray) -> None:
        """Plaintext for the peer; `outgoing` then has what the socket is to carry."""
        if self._ready:
            self._ssl.write(data)
        else:
            self._waiting += data

    def outgoing(self) -> bytes:
        return self._outgoing.read()

    def received(self, data: bytes) -> bytes:
        """The plaintext in what the socket gave."""
        self._incoming.write(data)
        if not self._ready:
            self._shake()
        found = bytearray()
        while self._ready:
            try:
                some = self._ssl.read(CHUNK)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                break  # the peer is done; the socket's own end follows
            if not some:
                break
            found += some
        return bytes(found)


def host_of(address: str) -> str:
    """The name in host:port, [v6]:port."""
    return address.rpartition(":")[0].strip("[]")
