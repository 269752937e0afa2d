"""The controller's TCP port: TLS with an authority of its own, agents' side included, and nobody without a token."""

import asyncio
import base64
import contextlib
import datetime
import json
import os
import ssl
import struct
import threading
from pathlib import Path

import pytest

from slurm_compat.agent.link import Link
from slurm_compat.agent.tls import Tls
from slurm_compat.cli import remote
from slurm_compat.cli.controller import Connection
from slurm_compat.cli.where import Remote
from slurm_compat.cli.where import remote as elsewhere
from slurm_compat.controller import tls
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.server import Server
from slurm_compat.core.calls import AGENT
from slurm_compat.core.cluster import cluster_conf
from slurm_compat.core.errors import AUTHENTICATION, BadValue, CommandError, SlurmError
from slurm_compat.core.wire import frame

NOW = datetime.datetime.now(datetime.timezone.utc)


def conf(**keys):
    return cluster_conf({"ClusterName": "c", "SlurmctldHost": "head", **keys})


def answers(session, call, args):
    if session.caller is None and call.who != AGENT:
        raise SlurmError(AUTHENTICATION)
    if call.name == "authenticate":
        session.authenticated(Caller(2001, 2001, args.token, "g", False, False))
        return {}
    if call.name == "jobs":
        return iter([[["x" * 1000]] * 1000] * 3)
    if call.name == "wait_job":
        session.send({"event": "ended", "job_state": "COMPLETED", "exit_code": 0})
        session.end()
        return None
    return {"user": session.caller.user_name if session.caller else ""}


class Port:
    """A server on a port of the loopback, in a thread of its own."""

    def __init__(self, state):
        self.identity = tls.identity(conf(), str(state), ["127.0.0.1"])
        self._loop = asyncio.new_event_loop()
        self.server = Server(answers, lambda uid, gid: None, lambda name: None)
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.port = self.run(self.server.listen_tcp("127.0.0.1", 0, self.identity.context))

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self):
        self.run(self.server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    one = Port(tmp_path_factory.mktemp("state"))
    yield one
    one.close()


@pytest.fixture
def connection(port):
    tunnel = remote.dial(Remote(f"127.0.0.1:{port.port}", port.identity.authority))
    one = Connection(tunnel.near, tunnel)
    yield one
    one.close()


def test_without_a_token_nothing_is_answered(connection):
    for name in ("ping", "jobs"):
        with pytest.raises(SlurmError) as problem:
            connection.call(name, **({"fields": []} if name == "jobs" else {}))
        assert problem.value.number == AUTHENTICATION


def test_with_one_calls_rows_and_events_come_through(connection):
    connection.call("authenticate", token="alice")
    assert connection.call("ping") == {"user": "alice"}
    assert len(list(connection.rows("jobs", ["name"]))) == 3000
    assert [event["job_state"] for event in connection.events("wait_job", job_id=1)] == ["COMPLETED"]


def test_before_a_token_frames_are_small_and_after_it_large(port):
    big = json.dumps({"call": "ping", "args": {}, "padding": "x" * (2 << 20)}).encode()
    for token, answer in (("", b""), ("alice", b"{")):
        tunnel = remote.dial(Remote(f"127.0.0.1:{port.port}", port.identity.authority))
        tunnel.near.settimeout(10)
        got = b""
        with contextlib.suppress(ConnectionError):  # what is dropped may be so while it is being written
            if token:
                tunnel.near.sendall(frame({"call": "authenticate", "args": {"token": token}}))
                assert tunnel.near.recv(1 << 16)
            tunnel.near.sendall(struct.pack(">I", len(big)) + big)
            got = tunnel.near.recv(64)
        assert got[4:5] == answer
        tunnel.close()


def test_plain_bytes_get_no_answer(port):
    import socket

    with socket.create_connection(("127.0.0.1", port.port), 10) as sock:
        sock.sendall(frame({"call": "ping", "args": {}}))
        sock.settimeout(10)
        try:
            got = sock.recv(100)
        except ConnectionError:
            got = b""
    assert b"result" not in got and b"error" not in got


def test_a_controller_of_another_authority_is_refused_by_name(port, tmp_path):
    other = tls.identity(conf(), str(tmp_path), ["127.0.0.1"])
    with pytest.raises(CommandError, match="is not vouched for by TLSAuthority"):
        remote.dial(Remote(f"127.0.0.1:{port.port}", other.authority))


def test_an_agent_talks_over_tls_and_dials_again_after_a_wrong_peer(port, tmp_path):
    def hear(authority):
        link = Link(f"127.0.0.1:{port.port}", {"job_id": 1}, authority)
        link.dial(0.0)
        got = []
        for _ in range(2000):
            if link.sock is None:
                return None
            link.sock.setblocking(True)
            link.sock.settimeout(5)
            link.write(0.0)
            link.sock.settimeout(0.02)
            try:
                got += link.read(0.0)
            except TimeoutError:
                continue
            if got:
                return got
        return got

    # the arguments are none of an agent's: the answer is an error, and it came through
    assert "error" in hear(port.identity.authority)[0]
    other = tls.identity(conf(), str(tmp_path), ["127.0.0.1"])
    assert hear(other.authority) is None


def test_ciphertext_may_come_in_any_pieces(tmp_path):
    identity = tls.identity(conf(), str(tmp_path), ["127.0.0.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = identity.context.wrap_bio(incoming, outgoing, server_side=True)
    client = Tls(identity.authority, "127.0.0.1")
    client.send(b"hello")
    heard, got = b"", b""
    for _ in range(40):
        for byte in client.outgoing():
            incoming.write(bytes([byte]))
        try:
            server.do_handshake()
            heard += server.read(100)
        except ssl.SSLWantReadError:
            pass
        if heard == b"hello" and not got:
            server.write(b"x" * 50000)
        for byte in outgoing.read():
            got += client.received(bytes([byte]))
        if got:
            break
    assert (heard, len(got)) == (b"hello", 50000)


def test_the_certificate_is_kept_and_made_anew_when_it_must_be(tmp_path):
    folder = str(tmp_path / "tls")
    names = ["127.0.0.1", "head"]
    server, key, authority = tls.made(folder, names, NOW)
    before = [Path(path).read_text() for path in (server, key, authority)]
    tls.made(folder, names, NOW)
    assert [Path(path).read_text() for path in (server, key, authority)] == before
    assert [os.stat(path).st_mode & 0o777 for path in (server, key, authority)] == [0o644, 0o600, 0o644]
    tls.made(folder, ["elsewhere"], NOW)
    renamed = Path(server).read_text()
    assert renamed != before[0] and Path(authority).read_text() == before[2]
    tls.made(folder, ["elsewhere"], NOW + datetime.timedelta(days=9 * 365 + 300))
    assert Path(server).read_text() != renamed


@pytest.mark.parametrize(
    "keys, found",
    [
        ({}, {}),
        ({"ControllerAddress": "head:6817"}, {6817: ["head"]}),
        ({"ControllerAddress": "a:1", "Armada": {"ControllerAddress": "[::1]:1"}}, {1: ["a", "::1"]}),
        ({"ControllerAddress": "a:1", "Armada": {"ControllerAddress": "b:2"}}, {1: ["a"], 2: ["b"]}),
    ],
)
def test_the_ports(keys, found):
    assert tls.addresses(conf(**keys)) == found


@pytest.mark.parametrize(
    "hosts, address",
    [
        (["127.0.0.1"], "127.0.0.1"),
        (["localhost", "127.0.0.1"], "127.0.0.1"),
        (["localhost", "head"], ""),
        (["::1"], ""),
    ],
)
def test_a_loopbacks_port_is_nobody_elses(hosts, address):
    assert tls.listen_on(hosts) == address


@pytest.mark.parametrize("text", ["head", ":1", "head:", "head:x", "head:70000"])
def test_an_address_that_is_none(text):
    with pytest.raises(BadValue, match="not host:port"):
        tls.addresses(conf(ControllerAddress=text))


@pytest.mark.parametrize(
    "keys", [{"TLSCertificate": "/a"}, {"TLSCertificate": "/a", "TLSKey": "/b", "TLSAuthority": "/nowhere"}]
)
def test_a_configured_certificate_must_be_whole(tmp_path, keys):
    with pytest.raises(BadValue, match="TLS"):
        tls.identity(conf(**keys), str(tmp_path), [])


def test_an_authority_is_one_line(tmp_path):
    paths = tls.made(str(tmp_path), ["head"], NOW)
    text = tls.one_line(Path(paths[2]).read_text() * 2)
    assert "\n" not in text and len(base64.b64decode(text)) > 500
    with pytest.raises(ValueError):
        tls.one_line("nothing")


def test_where_a_client_finds_a_controller_elsewhere(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("ClusterName: c\nControllerAddress: head:6817\nTLSAuthority: ca.pem\n")
    env = {"SLURM_CONF": str(file)}
    assert elsewhere(env) == Remote("head:6817", str(tmp_path / "ca.pem"))
    assert elsewhere(env | {"SLURM_COMPAT_CONTROLLER": "pod:1", "SLURM_COMPAT_AUTHORITY": "MII"}) == Remote(
        "pod:1", "MII"
    )
    # the controller's own machine has the folder, and its socket is the way
    (tmp_path / "state" / "run").mkdir(parents=True)
    file.write_text(file.read_text() + f"StateSaveLocation: {tmp_path}/state\n")
    assert elsewhere(env) is None
    file.write_text("ClusterName: c\n")
    assert elsewhere(env) is None
