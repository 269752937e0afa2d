"""PMI-2, as a task of a step speaks it: a length of six characters, then `cmd=NAME;key=value;…`.

Pure: bytes in, requests out; answers to bytes. Source: MPICH's PMI-2 wire protocol; the answers of mpi/pmi2 of 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from slurm_compat.agent.pmirequest import Garbled, Request

HEAD = 6  # bytes
LONGEST = 1 << 16  # bytes of a request

# cmd on the wire: what is wanted
WANTED = {
    "fullinit": "init",
    "job-getid": "job id",
    "info-getjobattr": "job attribute",
    "info-getnodeattr": "node attribute",
    "info-putnodeattr": "put node attribute",
    "kvs-put": "put",
    "kvs-get": "get",
    "kvs-fence": "fence",
    "name-publish": "publish",
    "name-unpublish": "unpublish",
    "name-lookup": "lookup",
    "job-connect": "connect",
    "job-disconnect": "connect",
    "spawn": "spawn",
    "finalize": "finalize",
    "abort": "abort",
}
# a semicolon within a value is written twice
_FIELD = re.compile(r"((?:[^;]|;;)*)(?:;|$)")


def take(data: bytearray) -> Request | None:
    """The first request of `data`, taken out of it; None when it has not come whole. Raises Garbled."""
    if len(data) < HEAD:
        return None
    head = bytes(data[:HEAD]).strip()
    if not head.isdigit() or int(head) > LONGEST:
        raise Garbled(f"a PMI2 request of length '{head.decode('latin-1')}'")
    end = HEAD + int(head)
    if len(data) < end:
        return None
    fields = parse(bytes(data[HEAD:end]))
    del data[:end]
    cmd = fields.get("cmd", "")
    if cmd not in WANTED:
        return Request("", {}, f"invalid pmi2 command received: '{cmd}'")
    complaint = f"{cmd.replace('-', ' ')} not implemented" if WANTED[cmd] == "connect" else ""
    return Request(WANTED[cmd], fields, complaint)


def parse(body: bytes) -> dict[str, str]:
    """ "cmd=kvs-put;key=a;value=b;" by name; fields without "=" are nobody's."""
    fields = (text.replace(";;", ";").partition("=") for text in _FIELD.findall(body.decode("latin-1")))
    return {name: value for name, equals, value in fields if equals}


def answer(cmd: str, rc: int, values: Mapping[str, str]) -> bytes:
    """The answer to the request whose cmd was `cmd`."""
    fields = {"cmd": f"{cmd}-response", "rc": str(rc), **values}
    body = "".join(f"{name}={value.replace(';', ';;')};" for name, value in fields.items()).encode("latin-1", "replace")
    return f"{len(body):<{HEAD}}".encode() + body
