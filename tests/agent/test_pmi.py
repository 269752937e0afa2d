"""PMI-1 and PMI-2 as tasks speak them, and what nodes tell each other of it. No MPI is needed here."""

import random
import socket

import pytest

from slurm_compat.agent import pmi, pmi1, pmi2
from slurm_compat.agent.pmirequest import Garbled
from slurm_compat.cli.srun_pmi import Meeting
from slurm_compat.core import stepio

ONE = [
    (b"cmd=get_maxes\n", "maxes", {}),
    (b"cmd=put kvsname=7.0 key=a value=b\n", "put", {"kvsname": "7.0", "key": "a", "value": "b"}),
    (b"cmd=put kvsname=7.0 key=a value=\n", "put", {"key": "a", "value": ""}),
    (b"cmd=get kvsname=7.0 key=PMI_process_mapping\n", "get", {"key": "PMI_process_mapping"}),
    (b"cmd=barrier_in\n", "fence", {}),
    (b"cmd=lookup_name service=s\n", "lookup", {"name": "s"}),
    (b"mcmd=spawn\nnprocs=2\nexecname=a\nendcmd\n", "spawn", {"nprocs": "2"}),
    (b"cmd=abort exitcode=5\n", "abort", {"exitcode": "5"}),
    (b"cmd=getbyidx idx=0\n", "", {}),
    (b"nonsense\n", "", {}),
]
TWO = [
    (b"cmd=fullinit;pmijobid=7.0;pmirank=0;threaded=FALSE;", "init", {"pmirank": "0"}),
    (b"cmd=kvs-put;key=k;value=a;;b=c;", "put", {"key": "k", "value": "a;b=c"}),
    (b"cmd=kvs-put;key=k;value=;", "put", {"key": "k", "value": ""}),
    (b"cmd=kvs-get;jobid=7.0;srcid=-1;key=k;thrid=5;", "get", {"key": "k"}),
    (b"cmd=kvs-fence;", "fence", {}),
    (b"cmd=job-connect;jobid=1.0;", "connect", {"jobid": "1.0"}),
    (b"cmd=blah;", "", {}),
]


def framed(body: bytes) -> bytes:
    return b"%6d" % len(body) + body


@pytest.mark.parametrize("raw, wanted, fields", ONE)
def test_a_pmi1_request_whole_and_byte_by_byte(raw, wanted, fields):
    data = bytearray()
    for byte in raw[:-1]:
        data.append(byte)
        assert pmi1.take(data) is None
    data += raw[-1:] + b"cmd=next\n"
    request = pmi1.take(data)
    assert request.wanted == wanted
    assert fields.items() <= request.fields.items()
    assert bool(request.complaint) == (not wanted)
    assert data == b"cmd=next\n"


@pytest.mark.parametrize("raw, wanted, fields", TWO)
def test_a_pmi2_request_whole_and_byte_by_byte(raw, wanted, fields):
    data = bytearray()
    for byte in framed(raw)[:-1]:
        data.append(byte)
        assert pmi2.take(data) is None
    data += framed(raw)[-1:] + b"    14"
    request = pmi2.take(data)
    assert request.wanted == wanted
    assert fields.items() <= request.fields.items()
    assert data == b"    14"


@pytest.mark.parametrize(
    "take, junk", [(pmi1.take, b"x" * 100_000), (pmi2.take, b"abcdef"), (pmi2.take, b"999999cmd=")]
)
def test_junk_is_told_from_requests(take, junk):
    with pytest.raises(Garbled):
        take(bytearray(junk))


@pytest.mark.parametrize("value", ["", "a", "a;b", ";;", "a=b;c=d;", "\xff"])
def test_pmi2_values_survive_the_wire(value):
    raw = pmi2.answer("kvs-get", 0, {"found": "TRUE", "value": value})
    assert int(raw[:6]) == len(raw) - 6
    assert pmi2.parse(raw[6:]) == {"cmd": "kvs-get-response", "rc": "0", "found": "TRUE", "value": value}


@pytest.mark.parametrize(
    "layout, want",
    [
        ([[0, 1, 2]], "(vector,(0,1,3))"),
        ([[0, 1], [2]], "(vector,(0,1,2),(1,1,1))"),
        ([[0, 2], [1]], "(vector,(0,2,1),(0,1,1))"),
        ([[0, 1], [2, 3], [4, 5], [6, 7]], "(vector,(0,4,2))"),
        ([[0, 1, 4, 5], [2, 3]], "(vector,(0,2,2),(0,1,2))"),
    ],
)
def test_process_mappings_as_slurm_writes_them(layout, want):
    assert pmi.process_mapping(layout) == want


class HandLoop:
    """Watched descriptors, seen to when the test says so."""

    def __init__(self):
        self.watched = {}

    def watch(self, fd, events, callback):
        self.watched[fd] = callback

    def unwatch(self, fd):
        self.watched.pop(fd, None)


class World:
    """Nodes with their Pmi, brought together by srun's Meeting without any srun."""

    def __init__(self, *ranks_by_node):
        layout = [[f"node{number:02}", list(ranks), len(ranks)] for number, ranks in enumerate(ranks_by_node, 1)]
        self.meeting = Meeting(len(layout))
        self.said = []
        self.aborted = []
        self.loop = HandLoop()
        self.nodes = [
            pmi.Pmi(self.loop, "7.0", layout, at, lambda message, at=at: self.hear(at, message), self.said.append)
            for at in range(len(layout))
        ]
        self.socks = {}
        for node, ranks in zip(self.nodes, ranks_by_node, strict=True):
            for rank in ranks:
                self.socks[rank] = socket.socket(fileno=node.connect(rank))
                self.socks[rank].setblocking(False)

    def hear(self, at, message):
        if "abort" in message:
            self.aborted.append(message["abort"])
        for node, answer in self.meeting.hear(str(at), message):
            for number, one in enumerate(self.nodes):
                if node in ("", str(number)):
                    one.hear(answer)

    def ask(self, rank, raw):
        """The answer, None when there is none yet, b"" when the connection has ended."""
        self.socks[rank].sendall(raw)
        for callback in list(self.loop.watched.values()):
            callback(1)
        return self.heard(rank)

    def heard(self, rank):
        try:
            return self.socks[rank].recv(1 << 16)
        except BlockingIOError:
            return None

    def close(self):
        for sock in self.socks.values():
            sock.close()
        for callback in list(self.loop.watched.values()):
            callback(1)
        assert not self.loop.watched, "every connection ended with its task"


@pytest.fixture
def world():
    made = []

    def make(*ranks_by_node):
        made.append(World(*ranks_by_node))
        return made[-1]

    yield make
    for one in made:
        one.close()


GREETING = b"cmd=init pmi_version=1 pmi_subversion=1\n"
GREETING2 = b"cmd=init pmi_version=2 pmi_subversion=0\n"


def test_a_pmi1_program_on_two_nodes(world):
    tasks = world([0, 1], [2])
    for rank in range(3):
        assert tasks.ask(rank, GREETING) == b"cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1\n"
    for asked, want in [
        (b"cmd=get_maxes\n", b"cmd=maxes rc=0 kvsname_max=256 keylen_max=64 vallen_max=1024\n"),
        (b"cmd=get_universe_size\n", b"cmd=universe_size rc=0 size=3\n"),
        (b"cmd=get_appnum\n", b"cmd=appnum rc=0 appnum=-1\n"),
        (b"cmd=get_my_kvsname\n", b"cmd=my_kvsname rc=0 kvsname=7.0\n"),
        (b"cmd=get kvsname=7.0 key=PMI_process_mapping\n", b"cmd=get_result rc=0 value=(vector,(0,1,2),(1,1,1))\n"),
        (b"cmd=put kvsname=7.0 key=a value=b\n", b"cmd=put_result rc=0\n"),
        (b"cmd=get kvsname=7.0 key=a\n", b"cmd=get_result rc=1\n"),
    ]:
        assert tasks.ask(0, asked) == want
    assert tasks.ask(2, b"cmd=put kvsname=7.0 key=c value=d\n") == b"cmd=put_result rc=0\n"
    assert tasks.ask(0, b"cmd=barrier_in\n") is None
    assert tasks.ask(2, b"cmd=barrier_in\n") is None
    assert tasks.ask(1, b"cmd=barrier_in\n") == b"cmd=barrier_out rc=0\n"
    assert tasks.heard(0) == tasks.heard(2) == b"cmd=barrier_out rc=0\n"
    assert tasks.ask(2, b"cmd=get kvsname=7.0 key=a\n") == b"cmd=get_result rc=0 value=b\n"
    assert tasks.ask(1, b"cmd=get kvsname=7.0 key=c\n") == b"cmd=get_result rc=0 value=d\n"
    assert tasks.ask(0, b"cmd=finalize\n") == b"cmd=finalize_ack rc=0\n"
    assert tasks.heard(0) == b""


def test_a_pmi2_program_on_two_nodes(world):
    tasks = world([0], [1])
    for rank in (0, 1):
        assert tasks.ask(rank, GREETING2).startswith(b"cmd=response_to_init rc=0 pmi_version=2")
        assert tasks.ask(rank, framed(b"cmd=fullinit;pmijobid=7.0;pmirank=%d;threaded=FALSE;" % rank)) == (
            b"114   cmd=fullinit-response;rc=0;pmi-version=2;pmi-subversion=0;rank=%d;size=2;appnum=-1;debugged=FALSE;"
            b"pmiverbose=FALSE;" % rank
        )
    for asked, want in [
        (b"cmd=job-getid;", b"38    cmd=job-getid-response;rc=0;jobid=7.0;"),
        (b"cmd=info-getjobattr;key=universeSize;", b"53    cmd=info-getjobattr-response;rc=0;found=TRUE;value=2;"),
        (b"cmd=info-getnodeattr;key=x;wait=FALSE;", b"47    cmd=info-getnodeattr-response;rc=0;found=FALSE;"),
        (b"cmd=info-putnodeattr;key=x;value=v;", b"35    cmd=info-putnodeattr-response;rc=0;"),
        (b"cmd=info-getnodeattr;key=x;wait=TRUE;", b"54    cmd=info-getnodeattr-response;rc=0;found=TRUE;value=v;"),
        (b"cmd=kvs-put;key=k;value=1;", b"26    cmd=kvs-put-response;rc=0;"),
        (b"cmd=kvs-get;jobid=7.0;srcid=-1;key=k;", b"38    cmd=kvs-get-response;rc=0;found=FALSE;"),
        (b"cmd=name-publish;name=s;port=p;", b"31    cmd=name-publish-response;rc=0;"),
    ]:
        assert tasks.ask(0, framed(asked)) == want
    assert tasks.ask(1, framed(b"cmd=name-lookup;name=s;")) == b"38    cmd=name-lookup-response;rc=0;value=p;"
    assert tasks.ask(1, framed(b"cmd=name-lookup;name=t;")) == b"30    cmd=name-lookup-response;rc=1;"
    assert tasks.ask(0, framed(b"cmd=kvs-fence;")) is None
    assert tasks.ask(1, framed(b"cmd=kvs-fence;")) == b"28    cmd=kvs-fence-response;rc=0;"
    assert tasks.heard(0) == b"28    cmd=kvs-fence-response;rc=0;"
    assert tasks.ask(1, framed(b"cmd=kvs-get;jobid=7.0;srcid=0;key=k;")) == (
        b"45    cmd=kvs-get-response;rc=0;found=TRUE;value=1;"
    )
    assert tasks.ask(1, framed(b"cmd=finalize;")) == b"27    cmd=finalize-response;rc=0;"


def test_a_node_attribute_that_is_waited_for(world):
    tasks = world([0, 1])
    for rank in (0, 1):
        tasks.ask(rank, GREETING2)
    assert tasks.ask(0, framed(b"cmd=info-getnodeattr;key=x;wait=TRUE;")) is None
    tasks.ask(1, framed(b"cmd=info-putnodeattr;key=x;value=v;"))
    assert tasks.heard(0) == b"54    cmd=info-getnodeattr-response;rc=0;found=TRUE;value=v;"


@pytest.mark.parametrize(
    "greeting, answer, said",
    [
        (b"cmd=init pmi_version=3 pmi_subversion=0\n", b"rc=-1 pmi_version=3 pmi_subversion=0\n", "unsupported PMI"),
        (b"garbage\n", b"rc=1 pmi_version=2 pmi_subversion=0\n", "invalid PMI1 init command: `garbage'"),
    ],
)
def test_who_speaks_something_else_is_told_so(world, greeting, answer, said):
    tasks = world([0])
    assert tasks.ask(0, greeting) == b"cmd=response_to_init " + answer
    assert said in tasks.said[0]


def test_unknown_requests_are_complained_of_and_the_task_goes_on(world):
    tasks = world([0])
    tasks.ask(0, GREETING)
    assert tasks.ask(0, b"cmd=nonsense\n") is None
    assert tasks.said == ["mpi/pmi2: invalid pmi1 command received: 'nonsense'"]
    assert tasks.ask(0, b"cmd=get_appnum\n") == b"cmd=appnum rc=0 appnum=-1\n"


def test_spawning_is_refused_by_name(world):
    tasks = world([0])
    tasks.ask(0, GREETING)
    assert tasks.ask(0, b"mcmd=spawn\nnprocs=1\nendcmd\n") == b"cmd=spawn_result rc=1\n"
    assert "--ntasks" in tasks.said[0]


def test_an_abort_ends_the_whole_step(world):
    tasks = world([0], [1])
    tasks.ask(1, GREETING)
    tasks.ask(1, b"cmd=abort exitcode=5\n")
    assert tasks.aborted == [1]


def test_a_fence_that_one_never_comes_to_holds_the_others(world):
    tasks = world([0], [1])
    tasks.ask(0, GREETING)
    assert tasks.ask(0, b"cmd=barrier_in\n") is None
    tasks.socks[1].close()
    assert tasks.ask(0, b"cmd=get_appnum\n") == b"cmd=appnum rc=0 appnum=-1\n"


def test_many_values_go_in_frames_that_are_small_enough():
    chance = random.Random(7)
    pairs = [(f"key{number}", "\xff" * chance.randrange(1024)) for number in range(2000)]
    portions = list(stepio.portions(pairs))
    assert [pair for portion in portions for pair in portion] == pairs
    assert len(portions) > 1
    reader = stepio.Reader()
    for portion in portions:
        frame = stepio.message(stepio.PMI, {"put": portion})
        assert len(frame) < stepio.MAX_BODY
        assert [tuple(pair) for one in reader.feed(frame) for pair in one.value["put"]] == portion
    assert list(stepio.portions([])) == []
