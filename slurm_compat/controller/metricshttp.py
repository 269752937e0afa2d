"""The metrics' HTTP port: the paths, words and codes that slurmctld answers with on 26.05.

Off unless MetricsAddress names a place, and anybody who reaches that may read; where PrivateData hides something, only
with the token of an operator or of one of MetricsAuthUsers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pwd
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from slurm_compat.controller.metrics import Metrics
from slurm_compat.core import privatedata
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.errors import BadValue, SlurmError

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller

log = logging.getLogger(__name__)

MAX_HEAD = 16 << 10  # bytes of a request; nobody sends a body
PATIENCE = 10.0  # seconds in which a request is to be there
MAX_OPEN = 50  # connections at once
INDEX = """\
slurmctld index of endpoints:
  '/readyz': check slurmctld is servicing RPCs
  '/livez': check slurmctld is running
  '/healthz': check slurmctld is running
  '/metrics': print available metric endpoints
"""
METRICS_INDEX = """\
slurmctld index of metrics endpoints:
  '/metrics/jobs': get job metrics
  '/metrics/nodes': get node metrics
  '/metrics/partitions': get partition metrics
  '/metrics/jobs-users-accts': get user and account jobs metrics
  '/metrics/scheduler': get scheduler metrics
  '/metrics/controller': get metrics of the controller and of its way to Armada
"""
ALIVE = ("/readyz", "/livez", "/healthz")
TOKEN_HEADERS = ("x-slurm-user-token", "authorization")


class Request(NamedTuple):
    method: str
    path: str
    token: str


class Reply(NamedTuple):
    status: HTTPStatus
    body: bytes = b""
    content_type: str = "text/plain"


def place(conf: ClusterConf) -> tuple[str, int] | None:
    """Where to listen: loopback unless a host is named. Raises BadValue."""
    if not conf.metrics_address:
        return None
    host, _, port = str(conf.metrics_address).rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise BadValue(f"MetricsAddress: {conf.metrics_address}: not host:port")
    return host.strip("[]") or "127.0.0.1", int(port)


def parsed(head: bytes) -> Request | None:
    """The request, None for what is none."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    token = ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() in TOKEN_HEADERS:
            token = value.strip().removeprefix("Bearer ").strip()
    return Request(words[0], words[1].partition("?")[0], token)


class MetricsServer:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._metrics = Metrics(controller)
        self._open = 0
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """-> the port. Raises OSError."""
        self._server = await asyncio.start_server(self._connected, host, port, limit=MAX_HEAD)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > MAX_OPEN:
                reply, request = Reply(HTTPStatus.SERVICE_UNAVAILABLE), None
            else:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
                request = parsed(head)
                reply = await self.answer(request) if request else Reply(HTTPStatus.BAD_REQUEST)
            writer.write(written(reply, head_only=request is not None and request.method == "HEAD"))
            await asyncio.wait_for(writer.drain(), PATIENCE)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass  # it went away, or never asked
        except Exception:
            log.exception("metrics")
        finally:
            self._open -= 1
            with contextlib.suppress(OSError):
                writer.close()

    async def answer(self, request: Request) -> Reply:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        path = request.path.rstrip("/") or "/"
        if request.method not in ("GET", "HEAD"):
            return _failed(request, HTTPStatus.METHOD_NOT_ALLOWED, "Unexpected request method")
        if path in ALIVE:
            return Reply(HTTPStatus.NO_CONTENT)
        if path == "/":
            return Reply(HTTPStatus.OK, INDEX.encode())
        if path != "/metrics" and path not in self._metrics.pages:
            return _failed(request, HTTPStatus.NOT_FOUND, "Invalid or unknown URL path")
        if not self._may(request):
            return _failed(request, HTTPStatus.UNAUTHORIZED, "Invalid authentication credential")
        if path == "/metrics":
            return Reply(HTTPStatus.OK, METRICS_INDEX.encode())
        return Reply(HTTPStatus.OK, await self._metrics.page(path), CONTENT_TYPE_LATEST)

    def _may(self, request: Request) -> bool:
        controller = self._controller
        conf = controller.conf
        if not privatedata.words(conf.private_data):
            return True
        try:
            name = controller.tokens.user_of(request.token)
            entry = pwd.getpwnam(name)
        except (SlurmError, KeyError):
            return False
        allowed = conf.metrics_auth_users.replace(" ", "").split(",")
        return name in allowed or controller.caller(entry.pw_uid, entry.pw_gid).operator


def _failed(request: Request, status: HTTPStatus, why: str) -> Reply:
    text = f"slurmctld HTTP server request for '{request.method} {request.path[:200]}':\nFailed: {why}\n\n"
    return Reply(status, text.encode())


def written(reply: Reply, head_only: bool = False) -> bytes:
    lines = [f"HTTP/1.1 {reply.status.value} {reply.status.phrase}", "Connection: Close"]
    if reply.body:
        lines += [f"Content-Length: {len(reply.body)}", f"Content-Type: {reply.content_type}"]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if head_only else head + reply.body
