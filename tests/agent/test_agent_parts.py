"""The agent's parts by themselves: frames, processes, samples, files, users."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.agent import launch, login, memory, processes, streams, usage
from slurm_compat.agent.link import BadFrame, FrameReader, Link, dial, frame
from slurm_compat.agent.signals import cancelled_text
from slurm_compat.core import wire

US = launch.User("us", os.geteuid(), os.getegid(), home="/", shell="/bin/sh")


# --- frames ----------------------------------------------------------------------------------------------------------


# all but the private characters that carry stray bytes (core/rawbytes.py): they come out as those bytes
TEXTS = st.text(alphabet=st.characters(codec="utf-8", max_codepoint=0x10FF7F))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=10,
)


@given(st.lists(VALUES, max_size=4), st.integers(1, 7))
def test_frames_come_out_as_they_went_in_however_cut(values, piece):
    data = b"".join(frame(value) for value in values)
    reader, out = FrameReader(), []
    for start in range(0, len(data), piece):
        out += reader.feed(data[start : start + piece])
    assert out == values


@given(VALUES)
def test_the_controllers_frames_are_ours(value):
    assert FrameReader().feed(wire.frame(value)) == [value]
    data = bytearray(frame(value))

    def take(count):
        taken = bytes(data[:count])
        del data[:count]
        return taken

    assert wire.read_frame(take) == value


@pytest.mark.parametrize("junk", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01{", b"\x00\x00\x00\x02\xff\xfe"])
def test_junk_is_no_frame(junk):
    with pytest.raises(BadFrame):
        FrameReader().feed(junk)


def test_a_link_keeps_what_was_not_acknowledged(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    link = Link(f"unix:{tmp_path}/s", {"job_id": 7})
    link.report("early", n=1)
    link.tell("lost")  # nobody listens yet
    link.dial(0.0)
    peer, _ = listener.accept()
    assert FrameReader().feed(peer.recv(65536)) == [
        {"call": "agent", "args": {"job_id": 7}},
        {"msg": "early", "seq": 1, "n": 1},
    ]
    peer.sendall(frame({"msg": "ack", "seq": 1}) + frame({"msg": "bye"}))
    assert link.read(0.0) == [{"msg": "bye"}]
    assert link.settled
    peer.close()
    assert link.read(5.0) == [] and link.sock is None
    assert link.redial_at == pytest.approx(5.1)
    listener.close()


def test_dialling_in_vain_is_tried_less_and_less_often(tmp_path):
    link, now, pauses = Link(f"unix:{tmp_path}/none", {}), 0.0, []
    for _ in range(8):
        link.dial(now)
        pauses.append(round(link.redial_at - now, 3))
        now = link.redial_at
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_socket_with_a_long_path(tmp_path):
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)
    try:
        listener.bind("s")
    finally:
        os.chdir(here)
    listener.listen()
    dial(f"unix:{folder}/s").close()
    listener.close()


def test_over_tcp():
    listener = socket.create_server(("127.0.0.1", 0))
    sock = dial(f"127.0.0.1:{listener.getsockname()[1]}")
    listener.accept()[0].close()
    sock.close()
    listener.close()


# --- processes, in a child of their own: they concern a whole process tree -------------------------------------------


TREE = """
import os, signal, subprocess, time
from slurm_compat.agent.processes import Processes, adopt_orphans, children, kill_all
adopt_orphans()
tree = Processes()
one = subprocess.Popen(["bash", "-c", "sleep 100 & wait"])
tree.add(one.pid, "batch")
step = subprocess.Popen(["bash", "-c", "(sleep 100; true) & setsid sleep 100 & wait"])
tree.add(step.pid, "0")
until = time.monotonic() + 20
while (sum(map(len, tree.by_owner().values())) < 6) and time.monotonic() < until:
    time.sleep(0.01)
before = tree.by_owner()
assert before["batch"][0] == one.pid and len(before["batch"]) == 2, before
assert before["0"][0] == step.pid and len(before["0"]) == 4, before
step.kill(); step.wait(); tree.gone(step.pid)
orphans = set(tree.by_owner()["0"])
assert orphans == set(before["0"]) - {step.pid}, orphans
def reap():
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        tree.gone(pid)
assert kill_all(lambda: tree.members("0"), reap)
assert tree.everyone() == before["batch"]
assert kill_all(tree.everyone, reap)
assert children(os.getpid()) == []
"""


def test_whose_processes_are_whose():
    subprocess.run([sys.executable, "-c", TREE], check=True, timeout=60)


def test_children_either_way():
    child = subprocess.Popen(["sleep", "100"])
    try:
        assert child.pid in processes.children(os.getpid())
        assert sorted(processes.children(os.getpid())) == sorted(processes.children_by_search(os.getpid()))
    finally:
        child.kill()
        child.wait()


# --- usage -----------------------------------------------------------------------------------------------------------


def test_a_sample_of_ourselves():
    meter = usage.Meter("node01", task=3)
    meter.sample([os.getpid(), 2**22 + 1])
    found = meter.usage()
    assert found["max_rss"] > 1 << 20 and found["max_vmsize"] >= found["max_rss"]
    assert (found["max_rss_node"], found["max_rss_task"], found["ave_rss"]) == ("node01", 3, found["max_rss"])
    assert found["max_disk_read"] > 0


def test_the_highest_is_kept():
    meter = usage.Meter("node01", sampled=True, highest=usage.Sample(user_cpu=10, rss=1 << 60))
    meter.sample([os.getpid()])
    assert meter.usage()["max_rss"] == 1 << 60
    assert meter.usage()["user_cpu"] > 10


def test_nobody_there_is_no_sample():
    meter = usage.Meter("node01")
    meter.sample([])
    meter.sample([2**22 + 1])
    assert meter.usage() == {"user_cpu": 0, "system_cpu": 0}


@pytest.mark.parametrize(
    "interval, pauses", [(30, [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]), (0.5, [0.5, 0.5]), (1, [0.8, 1, 1])]
)
def test_when_samples_are_taken(interval, pauses):
    schedule, now, found = usage.Schedule(100.0, interval), 100.0, []
    for _ in pauses:
        found.append(round(schedule.next_at - now, 3))
        now = schedule.next_at
        schedule.taken(now)
    assert found == pauses


def test_an_interval_of_nothing_is_never():
    assert usage.Schedule(100.0, 0).next_at == float("inf")


# --- files, lines, folders -------------------------------------------------------------------------------------------


JOB = {"job_id": 7, "array_job_id": 0, "array_task_id": None, "user_name": "alice", "name": "n",
       "current_working_directory": "/home/alice"}  # fmt: skip


@pytest.mark.parametrize(
    "given_names, want",
    [
        ({}, ("/dev/null", "/home/alice/slurm-7.out", "/home/alice/slurm-7.out")),
        ({"array_job_id": 5, "array_task_id": 2},
         ("/dev/null", "/home/alice/slurm-5_2.out", "/home/alice/slurm-5_2.out")),
        ({"standard_output_given": "/x/%j"}, ("/dev/null", "/x/7", "/x/7")),
        ({"standard_error_given": "e%N"}, ("/dev/null", "/home/alice/slurm-7.out", "/home/alice/enode01")),
        ({"standard_input_given": "in.%j"}, ("/home/alice/in.7", "/home/alice/slurm-7.out", "/home/alice/slurm-7.out")),
    ],
)  # fmt: skip
def test_names_of_a_scripts_files(given_names, want):
    assert streams.batch_files(JOB | given_names, "node01") == want


def test_slurmstepds_line():
    line = streams.error_line("it broke", 1795180328.0421).decode()
    assert re.fullmatch(r"\[20\d\d-\d\d-\d\dT\d\d:\d\d:08\.042\] error: it broke\n", line)


@pytest.mark.parametrize(
    "reason, text, words",
    [
        ("CANCELLED", "", "DUE to SIGNAL Terminated"),
        ("TIME LIMIT", "", "DUE TO TIME LIMIT"),
        ("JOB REQUEUE", "", "DUE TO JOB REQUEUE"),
        ("PREEMPTION", "", "DUE TO PREEMPTION"),
        ("MOON PHASE", "", "DUE TO MOON PHASE"),
        ("", "DUE to SIGNAL Killed", "DUE to SIGNAL Killed"),
    ],
)
def test_why_a_job_was_cancelled(reason, text, words):
    found = cancelled_text("JOB 7", "node01", 1795180328, reason, text)
    assert re.fullmatch(rf"\*\*\* JOB 7 ON node01 CANCELLED AT \d{{4}}-\d\d-\d\dT\d\d:\d\d:08 {words} \*\*\*", found)


def test_tmpdir_is_made_or_replaced(tmp_path):
    (tmp_path / "file").touch()
    cases = {
        None: ("/tmp", []),
        str(tmp_path / "new"): (str(tmp_path / "new"), []),
        str(tmp_path): (str(tmp_path), []),
        "/no/such/x": ("/tmp", ["Unable to create TMPDIR [/no/such/x]: No such file or directory",
                                "Setting TMPDIR to /tmp"]),
        str(tmp_path / "file"): ("/tmp", [f"TMPDIR [{tmp_path}/file] is not a directory", "Setting TMPDIR to /tmp"]),
    }  # fmt: skip
    for wanted, (left, lines) in cases.items():
        env = {} if wanted is None else {"TMPDIR": wanted}
        assert launch.make_tmpdir(env, "/tmp") == lines
        assert env["TMPDIR"] == left
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_memory_events(tmp_path):
    path = tmp_path / "memory.events"
    events = memory.OomEvents({"SLURM_COMPAT_MEMORY_EVENTS": str(path)})
    assert events.new() == 0
    path.write_text("low 0\nhigh 4\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert events.new() == 2


# --- starting processes ----------------------------------------------------------------------------------------------


def run(argv, env=None, cwd="/", **more):
    """A program's output and wait status."""
    read_end, write_end = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    program = launch.Program(argv[0], argv, env or {}, cwd, null, write_end, write_end, **more)
    pid = launch.start(program, US)
    os.close(write_end)
    os.close(null)
    with os.fdopen(read_end) as file:
        text = file.read()
    return text, os.waitpid(pid, 0)[1]


def test_a_program_gets_what_it_was_promised():
    text, status = run(
        ["/bin/sh", "-c", "umask; ulimit -Sn; pwd; echo $SLURM_TASK_PID $$; ulimit -m"],
        {"SLURM_TASK_PID": ""}, "/usr", umask=0o77, rlimits={"NOFILE": 64, "CORE": 0}, memory_mib=100,
    )  # fmt: skip
    umask, files, where, pids, resident = text.splitlines()
    assert (umask, files, where, status) == ("0077", "64", "/usr", 0)
    assert len(set(pids.split())) == 1
    assert resident in (str(100 << 10), "unlimited")


def test_ignored_signals_are_not_handed_on():
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        text, _ = run(["/bin/grep", "SigIgn", "/proc/self/status"])
    finally:
        signal.signal(signal.SIGPIPE, before)
    # 32 and 33 are the C library's own, which no program can set; whoever started us may have ignored them
    assert int(text.split()[1], 16) & ~(1 << 31 | 1 << 32) == 0


@pytest.mark.parametrize(
    "path, code, words", [("/no/such", 2, "No such file or directory"), ("/etc", 13, "Permission denied")]
)
def test_what_cannot_be_executed_says_so(path, code, words):
    text, status = run([path])
    assert text.endswith(f"] error: execve(): {path}: {words}\n")
    assert os.waitstatus_to_exitcode(status) == code


def test_a_working_directory_that_is_gone():
    text, _ = run(["/bin/pwd"], cwd="/no/such")
    assert text.endswith(
        "error: couldn't chdir to `/no/such': No such file or directory: going to /tmp instead\n/tmp\n"
    )


def test_a_limit_above_the_nodes_is_the_nodes():
    hard = subprocess.run(["sh", "-c", "ulimit -Hn"], capture_output=True, text=True).stdout
    assert run(["/bin/sh", "-c", "ulimit -Sn"], rlimits={"NOFILE": -1})[0] == hard


# --- login -----------------------------------------------------------------------------------------------------------


def test_a_login_shell_tells_its_environment(tmp_path):
    (tmp_path / ".profile").write_text("export FROM_PROFILE='two\nlines'\n")
    user = launch.User("us", os.geteuid(), os.getegid(), home=str(tmp_path), shell="/bin/sh")
    found = login.environment(user)
    assert found["FROM_PROFILE"] == "two\nlines"
    assert (found["HOME"], found["USER"], found["LOGNAME"]) == (str(tmp_path), "us", "us")


@pytest.mark.parametrize("profile", ["exit 3\n", "sleep 100\n"])
def test_a_login_shell_that_fails_or_hangs(tmp_path, profile):
    (tmp_path / ".profile").write_text(profile)
    user = launch.User("us", os.geteuid(), os.getegid(), home=str(tmp_path), shell="/bin/sh")
    assert login.environment(user, patience=0.3) is None


def test_a_login_shell_that_prints_without_end_is_not_listened_to(tmp_path, monkeypatch):
    """The agent reads it, who is root: what it keeps of a user's output is bounded."""
    monkeypatch.setattr(login, "MOST", 1 << 20)
    shell = tmp_path / "sh"
    shell.write_text("#!/bin/sh\nexec yes A=b\n")
    shell.chmod(0o755)
    user = launch.User("me", os.getuid(), os.getgid(), home=str(tmp_path), shell=str(shell))
    assert login.environment(user) is None


def test_no_shell_at_all(tmp_path):
    assert login.environment(launch.User("us", os.geteuid(), os.getegid(), home="/", shell="/no/such")) is None
