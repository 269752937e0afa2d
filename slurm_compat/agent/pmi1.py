"""PMI-1, as a task of a step speaks it: lines of `cmd=NAME key=value …`. MPICH as Debian builds it speaks this.

Pure: bytes in, requests out; answers to bytes. Source: MPICH's PMI-1 wire protocol; the answers of mpi/pmi2 of 26.05.
"""

from __future__ import annotations

from collections.abc import Mapping

from slurm_compat.agent.pmirequest import Garbled, Request

NAME_MAX, KEY_MAX, VALUE_MAX = 256, 64, 1024
LONGEST = 1 << 16  # bytes of a request, or of all lines of a spawn
ENDS = b"endcmd\n"

# cmd on the wire: what is wanted
WANTED = {
    "get_maxes": "maxes",
    "get_universe_size": "universe",
    "get_appnum": "appnum",
    "get_my_kvsname": "job id",
    "get": "get",
    "put": "put",
    "barrier_in": "fence",
    "publish_name": "publish",
    "unpublish_name": "unpublish",
    "lookup_name": "lookup",
    "spawn": "spawn",
    "finalize": "finalize",
    "abort": "abort",
}
# of the protocol, and served by nobody: MPI libraries don't ask
UNSERVED = ("getbyidx", "create_kvs", "destroy_kvs")
SERVICE = {"service": "name"}  # fields that PMI-2 has another word for


def take(data: bytearray) -> Request | None:
    """The first request of `data`, taken out of it; None when it has not come whole. Raises Garbled."""
    ends = ENDS if data.startswith(b"mcmd=") else b"\n"
    at = data.find(ends)
    if at < 0:
        if len(data) > LONGEST:
            raise Garbled(f"a PMI1 request of more than {LONGEST} bytes")
        return None
    line = bytes(data[:at])
    del data[: at + len(ends)]
    fields = parse(line)
    cmd = fields.get("cmd") or fields.get("mcmd", "")
    if cmd not in WANTED:
        if cmd in UNSERVED:
            return Request("", {}, f"PMI1 request of '{cmd}' not supported")
        return Request("", {}, f"invalid pmi1 command received: '{cmd}'")
    return Request(WANTED[cmd], {SERVICE.get(name, name): value for name, value in fields.items()})


def parse(line: bytes) -> dict[str, str]:
    """ "cmd=put kvsname=7.0 key=a value=b" by name; words without "=" are nobody's."""
    words = (word.partition("=") for word in line.decode("latin-1").split())
    return {name: value for name, equals, value in words if equals}


def answer(wanted: str, rc: int, values: Mapping[str, str]) -> bytes:
    """The answer to a request: `rc` 0 or not, and what was asked for in `values`."""
    name, shape = ANSWERS[wanted]
    if shape == "info":
        words = ["info=ok" if rc == 0 else "info=fail"]
    else:
        words = [f"rc={rc}"]
    return " ".join([f"cmd={name}", *words, *(f"{key}={value}" for key, value in values.items())]).encode(
        "latin-1", "replace"
    ) + b"\n"  # fmt: skip


ANSWERS = {
    "maxes": ("maxes", "rc"),
    "universe": ("universe_size", "rc"),
    "appnum": ("appnum", "rc"),
    "job id": ("my_kvsname", "rc"),
    "get": ("get_result", "rc"),
    "put": ("put_result", "rc"),
    "fence": ("barrier_out", "rc"),
    "publish": ("publish_result", "info"),
    "unpublish": ("unpublish_result", "info"),
    "lookup": ("lookup_result", "info"),
    "spawn": ("spawn_result", "rc"),
    "finalize": ("finalize_ack", "rc"),
}
