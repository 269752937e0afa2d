"""PMI for the tasks of a step on this node: who they are, what they put for each other, where they wait for all.

Each task has a socket (PMI_FD) and speaks PMI-1 or PMI-2 on it. What one puts the others see after the next fence, when
srun has the puts of all nodes and gives them out (cli/srun_pmi.py). Messages to and from srun are those of that module.
Source: observed on 26.05 with --mpi=pmi2.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slurm_compat.agent import pmi1, pmi2
from slurm_compat.agent.loop import READ, WRITE, Loop
from slurm_compat.agent.pmirequest import Garbled, Request
from slurm_compat.core import stepio

FD = 17  # in a task: above what scripts use for files of their own
MAPPING = "PMI_process_mapping"
NO_SPAWN = "MPI_Comm_spawn is not supported: give srun all the tasks with --ntasks"

Message = dict[str, Any]


class _Task:
    """One task's end of the conversation."""

    def __init__(self, rank: int, sock: socket.socket) -> None:
        self.rank = rank
        self.sock = sock
        self.data = bytearray()
        self.out = bytearray()
        self.version = 0  # of PMI, 0 until it has said
        self.finalized = False


class Pmi:
    """`send` gives srun a message, `say` writes a line of slurmstepd's own."""

    def __init__(
        self, loop: Loop, job_id: str, layout: Sequence[Sequence[Any]], node_rank: int,
        send: Callable[[Message], None], say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._loop = loop
        self._job_id = job_id  # "123.0"
        self._send = send
        self._say = say
        ranks_by_node = [list(entry[1]) for entry in layout]
        self._size = sum(map(len, ranks_by_node))
        self._here = ranks_by_node[node_rank]
        self._tasks: dict[int, _Task] = {}
        self._known = {MAPPING: process_mapping(ranks_by_node)}
        self._put: dict[str, str] = {}  # since the last fence
        self._at_fence: dict[int, Request] = {}  # rank: what it asked with
        self._node_attributes: dict[str, str] = {}
        self._attribute_waits: list[tuple[_Task, Request]] = []
        self._name_waits: dict[int, tuple[_Task, Request]] = {}  # by number of the question to srun
        self._asked = 0

    def environment(self, rank: int) -> dict[str, str]:
        return {
            "SLURM_MPI_TYPE": "pmi2", "PMI_FD": str(FD), "PMI_JOBID": self._job_id, "PMI_RANK": str(rank),
            "PMI_SIZE": str(self._size),
        }  # fmt: skip

    def connect(self, rank: int) -> int:
        """A task's own end of its socket, to be closed here once it has started."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        task = self._tasks[rank] = _Task(rank, ours)
        self._loop.watch(ours.fileno(), READ, lambda events: self._ready(task, events))
        return theirs.detach()

    # --- srun --------------------------------------------------------------------------------------------------------

    def hear(self, message: Message) -> None:
        """What srun says: what others put, that all have come to the fence, or the answer to a question for a name."""
        for key, value in message.get("put") or ():
            self._known[str(key)] = str(value)
        if message.get("fence"):
            waiting, self._at_fence = self._at_fence, {}
            for rank, request in waiting.items():
                self._answer(self._tasks[rank], request)
        if "answer" in message and message["answer"] in self._name_waits:
            task, request = self._name_waits.pop(message["answer"])
            port = message["port"]
            if request.wanted != "lookup":
                self._answer(task, request)
            elif port is None:
                self._answer(task, request, 1)
            else:
                self._answer(task, request, 0, {"port" if task.version == 1 else "value": str(port)})

    # --- the tasks' sockets ------------------------------------------------------------------------------------------

    def _ready(self, task: _Task, events: int) -> None:
        if events & WRITE:
            self._flush(task)
        if not events & READ or task.sock.fileno() < 0:
            return
        try:
            received = task.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:  # it has ended: who waits for it at a fence waits for ever, as in Slurm
            self._drop(task)
            return
        task.data += received
        try:
            self._read(task)
        except Garbled as problem:
            self._complain(str(problem))
            self._drop(task)

    def _read(self, task: _Task) -> None:
        while not task.finalized:
            if not task.version:
                if not self._greet(task):
                    return
                continue
            request = pmi1.take(task.data) if task.version == 1 else pmi2.take(task.data)
            if request is None:
                return
            if request.complaint:
                self._complain(request.complaint)
            if request.wanted:
                REQUESTS[request.wanted](self, task, request)

    def _greet(self, task: _Task) -> bool:
        """The first line: which PMI it speaks. Both protocols begin with the same."""
        line, newline, rest = bytes(task.data).partition(b"\n")
        if not newline:
            if len(line) > pmi1.LONGEST:
                raise Garbled("no PMI1 init command")
            return False
        task.data[:] = rest
        asked = pmi1.parse(line)
        version, minor = asked.get("pmi_version", ""), asked.get("pmi_subversion", "")
        rc = 0
        if asked.get("cmd") != "init" or not version.isdigit() or not minor.isdigit():
            shown = line.decode("utf-8", "replace")
            self._complain(f"invalid PMI1 init command: `{shown}'")
            version, minor, rc = "2", "0", 1
        elif (version, minor) in (("1", "0"), ("1", "1"), ("2", "0")):
            task.version = int(version)
        else:
            self._complain(f"unsupported PMI version: {version}.{minor}")
            rc = -1
        self._write(task, f"cmd=response_to_init rc={rc} pmi_version={version} pmi_subversion={minor}\n".encode())
        return True

    def _answer(self, task: _Task, request: Request, rc: int = 0, values: Mapping[str, str] | None = None) -> None:
        if task.version == 1:
            self._write(task, pmi1.answer(request.wanted, rc, values or {}))
        else:
            self._write(task, pmi2.answer(request.fields["cmd"], rc, values or {}))

    def _write(self, task: _Task, text: bytes) -> None:
        task.out += text
        self._flush(task)

    def _flush(self, task: _Task) -> None:
        if task.sock.fileno() < 0:
            return
        if not stepio.pour(task.sock, task.out) or (task.finalized and not task.out):
            self._drop(task)
        else:
            self._loop.watch(
                task.sock.fileno(), READ | WRITE if task.out else READ, lambda events: self._ready(task, events)
            )

    def _drop(self, task: _Task) -> None:
        if task.sock.fileno() >= 0:
            self._loop.unwatch(task.sock.fileno())
            task.sock.close()

    def _complain(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._say(f"mpi/pmi2: {text}")

    # --- requests ----------------------------------------------------------------------------------------------------

    def _init(self, task: _Task, request: Request) -> None:
        self._answer(task, request, 0, {
            "pmi-version": "2", "pmi-subversion": "0", "rank": str(task.rank), "size": str(self._size),
            "appnum": "-1", "debugged": "FALSE", "pmiverbose": "FALSE",
        })  # fmt: skip

    def _maxes(self, task: _Task, request: Request) -> None:
        maxes = {"kvsname_max": pmi1.NAME_MAX, "keylen_max": pmi1.KEY_MAX, "vallen_max": pmi1.VALUE_MAX}
        self._answer(task, request, 0, {name: str(value) for name, value in maxes.items()})

    def _universe(self, task: _Task, request: Request) -> None:
        self._answer(task, request, 0, {"size": str(self._size)})

    def _appnum(self, task: _Task, request: Request) -> None:
        self._answer(task, request, 0, {"appnum": "-1"})  # not spawned by another program

    def _job(self, task: _Task, request: Request) -> None:
        self._answer(task, request, 0, {"kvsname" if task.version == 1 else "jobid": self._job_id})

    def _put_value(self, task: _Task, request: Request) -> None:
        if key := request.fields.get("key", ""):
            self._put[key] = request.fields.get("value", "")
        self._answer(task, request)

    def _get(self, task: _Task, request: Request) -> None:
        value = self._known.get(request.fields.get("key", ""))
        if task.version == 1:
            self._answer(task, request, 0 if value is not None else 1, {} if value is None else {"value": value})
        else:
            self._found(task, request, value)

    def _found(self, task: _Task, request: Request, value: str | None) -> None:
        self._answer(task, request, 0, {"found": "FALSE"} if value is None else {"found": "TRUE", "value": value})

    def _job_attribute(self, task: _Task, request: Request) -> None:
        attributes = {MAPPING: self._known[MAPPING], "universeSize": str(self._size)}
        self._found(task, request, attributes.get(request.fields.get("key", "")))

    def _node_attribute(self, task: _Task, request: Request) -> None:
        value = self._node_attributes.get(request.fields.get("key", ""))
        if value is None and request.fields.get("wait", "").upper() == "TRUE":
            self._attribute_waits.append((task, request))
        else:
            self._found(task, request, value)

    def _put_node_attribute(self, task: _Task, request: Request) -> None:
        key = request.fields.get("key", "")
        self._node_attributes[key] = request.fields.get("value", "")
        self._answer(task, request)
        served = [wait for wait in self._attribute_waits if wait[1].fields.get("key", "") == key]
        self._attribute_waits = [wait for wait in self._attribute_waits if wait not in served]
        for waiter, asked in served:
            self._found(waiter, asked, self._node_attributes[key])

    def _fence(self, task: _Task, request: Request) -> None:
        self._at_fence[task.rank] = request
        if len(self._at_fence) < len(self._here):
            return
        for pairs in stepio.portions(list(self._put.items())):
            self._send({"put": pairs})
        self._put.clear()
        self._send({"fence": True})

    def _name(self, task: _Task, request: Request) -> None:
        """Names that programs give their ports are srun's to keep: tasks of all nodes see them."""
        self._asked += 1
        self._name_waits[self._asked] = (task, request)
        asked: Message = {request.wanted: request.fields.get("name", ""), "ask": self._asked}
        self._send({**asked, "port": request.fields.get("port", "")} if request.wanted == "publish" else asked)

    def _refuse(self, task: _Task, request: Request) -> None:
        if request.wanted == "spawn":
            self._complain(NO_SPAWN)
        self._answer(task, request, 1, {} if task.version == 1 else {"errmsg": "not supported"})

    def _abort(self, task: _Task, request: Request) -> None:
        self._send({"abort": task.rank})

    def _finalize(self, task: _Task, request: Request) -> None:
        task.finalized = True
        self._answer(task, request)


REQUESTS: dict[str, Callable[[Pmi, _Task, Request], None]] = {
    "init": Pmi._init,
    "maxes": Pmi._maxes,
    "universe": Pmi._universe,
    "appnum": Pmi._appnum,
    "job id": Pmi._job,
    "put": Pmi._put_value,
    "get": Pmi._get,
    "fence": Pmi._fence,
    "job attribute": Pmi._job_attribute,
    "node attribute": Pmi._node_attribute,
    "put node attribute": Pmi._put_node_attribute,
    "publish": Pmi._name,
    "unpublish": Pmi._name,
    "lookup": Pmi._name,
    "connect": Pmi._refuse,
    "spawn": Pmi._refuse,
    "abort": Pmi._abort,
    "finalize": Pmi._finalize,
}


def process_mapping(ranks_by_node: Sequence[Sequence[int]]) -> str:
    """Where the ranks are: "(vector,(0,2,4))" is two nodes from number 0 on with four ranks each.

    MPI libraries find by it which ranks share a node's memory.
    """
    places = {rank: node for node, ranks in enumerate(ranks_by_node) for rank in ranks}
    runs: list[tuple[int, int]] = []  # node, how many ranks there one after the other
    for rank in range(len(places)):
        if runs and runs[-1][0] == places[rank]:
            runs[-1] = (places[rank], runs[-1][1] + 1)
        else:
            runs.append((places[rank], 1))
    blocks: list[tuple[int, int, int]] = []  # first node, nodes, ranks on each
    for node, count in runs:
        if blocks and blocks[-1][0] + blocks[-1][1] == node and blocks[-1][2] == count:
            blocks[-1] = (blocks[-1][0], blocks[-1][1] + 1, count)
        else:
            blocks.append((node, 1, count))
    return f"(vector,{','.join('({},{},{})'.format(*block) for block in blocks)})"
