"""Steps from srun's loop to the tasks and back, with real processes and a controller that says yes."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import select
import socket
import threading

import msgspec
import pytest

from slurm_compat.agent import steps
from slurm_compat.agent.launch import User
from slurm_compat.cli.context import Context
from slurm_compat.cli.signalpipe import caught
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.cli.srun_step import NotCreated, Options, StepRun
from slurm_compat.cli.srun_streams import Outputs
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import StepRequest


class Stream:
    """step_create's events: the step is started at once on every node of the layout."""

    def __init__(self, layout, user, refusal=None):
        self._layout = layout
        self._user = user
        self._refusal = refusal
        self._ours, self._theirs = socket.socketpair()
        self._events = []
        self.steps = []
        self.ended = []

    def begin(self, args):
        if self._refusal:
            self._put(self._refusal)
            return
        self._put({"event": "granted", "step_id": "0", "layout": self._layout, "job": {}, "kill_wait": 1})
        request = msgspec.structs.asdict(args["request"])
        request["environment"] = base64.b64encode(request["environment"]).decode()
        nodes = [{"name": node, "cpus": cpus, "memory": 100, "tasks": len(ranks)} for node, ranks, cpus in self._layout]
        message = {
            "step_id": "0", "request": request, "layout": self._layout, "addresses": args["addresses"],
            "secret": args["secret"],
        }  # fmt: skip
        for rank in range(len(nodes)):
            packet = {
                "job": {"job_id": 7, "sluid": "s", "start_time": 1, "time_limit": 1, "user_name": "me"},
                "nodes": nodes, "rank": rank, "config": {"cluster_name": "c", "sample_interval": 0, "kill_wait": 1},
                "user": {"name": "me", "uid": os.getuid(), "gid": os.getgid(), "group": "me"},
            }  # fmt: skip
            self.steps.append(steps.start(message, packet, self._user))
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        left = list(self.steps)
        while left:
            ready, _, _ = select.select(left, [], [])
            for step in ready:
                for name, fields in step.reports():
                    if name == "step_ended":
                        self.ended.append(fields)
                if step.ended:
                    left.remove(step)
                    step.close()
                    os.waitpid(step.pid, 0)
        self._put({"event": "done", "exit_code": 0})

    def _put(self, event):
        self._events.append(event)
        self._theirs.send(b"x")

    def fileno(self):
        return self._ours.fileno()

    def __iter__(self):
        while True:
            self._ours.recv(1)
            event = self._events.pop(0)
            if isinstance(event, Exception):
                raise event
            yield event

    def close(self):
        self._ours.close()


class Fake:
    def __init__(self, stream):
        self.stream = stream

    def events(self, name, **args):
        assert name == "step_create"
        self.stream.begin(args)
        return self.stream


class Result:
    def __init__(self, code, out, err, stream):
        self.code, self.out, self.err, self.stream = code, out, err, stream


@pytest.fixture
def srun(tmp_path):
    """Run a step: srun(["true"], layout) -> Result. Output goes through files, as -o would have it."""

    def run(argv, layout=(("node01", [0], 1),), options=None, stdin=b"", refusal=None, signals=None, **request):
        layout = [list(entry) for entry in layout]
        user = User("me", os.getuid(), os.getgid())
        stream = Stream(layout, user, refusal)
        ctx = Context(
            ["srun"], dict(os.environ), str(tmp_path), io.StringIO(), io.StringIO(), io.StringIO(),
            lambda: Fake(stream), lambda: 0.0,
        )  # fmt: skip
        env = b"\0".join(f"{name}={value}".encode() for name, value in os.environ.items())
        step = StepRequest(
            argv=list(argv), environment=env, current_working_directory=str(tmp_path), **{"tasks": 1, **request}
        )
        reading, writing = os.pipe()
        saved, errors = os.dup(2), os.open(tmp_path / "own", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(errors, 2)
        outputs = Outputs("srun", "out", "err", False, str(tmp_path))
        feeder = threading.Thread(target=_feed, args=(writing, stdin), daemon=True)
        feeder.start()
        try:
            with caught(()) as pipe:
                listener = Listener({"XDG_RUNTIME_DIR": str(tmp_path)})
                own = StepRun(
                    ctx, {"job_id": 7, "nodes": "node01"}, step, options or Options(), outputs, reading, listener,
                    pipe, None,
                )  # fmt: skip
                if signals:
                    signals(own, stream)
                try:
                    code = own.run()
                except NotCreated:
                    outputs.finish()
                    code = -1
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(errors)
            os.close(reading)
            feeder.join(5)
        text = {
            name: (tmp_path / name).read_text() if (tmp_path / name).exists() else "" for name in ("out", "own", "err")
        }
        return Result(code, text["out"], text["err"] + text["own"], stream)

    return run


def _feed(fd, data):
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(fd, data) :]
    os.close(fd)


TWO_NODES = (("node01", [0, 1], 2), ("node02", [2], 1))


def test_tasks_know_their_places(srun):
    script = "echo $SLURM_PROCID $SLURM_LOCALID $SLURM_NODEID $SLURMD_NODENAME $SLURM_STEP_TASKS_PER_NODE $SLURM_GTIDS"
    result = srun(["sh", "-c", script], TWO_NODES)
    assert sorted(result.out.splitlines()) == ["0 0 0 node01 2,1 0,1", "1 1 0 node01 2,1 0,1", "2 0 1 node02 2,1 2"]
    assert (result.code, result.err) == (0, "")
    assert sorted(rank for fields in result.stream.ended for rank, _ in fields["tasks"]) == [0, 1, 2]


def test_lines_carry_their_tasks_number(srun):
    result = srun(["sh", "-c", "echo out; printf half"], TWO_NODES, Options(label=True))
    assert sorted(result.out.splitlines()) == ["0: half", "0: out", "1: half", "1: out", "2: half", "2: out"]


def test_the_worst_end_is_the_exit_code(srun):
    result = srun(["sh", "-c", "exit $SLURM_PROCID"], TWO_NODES)
    assert result.code == 2
    assert sorted(result.err.splitlines()) == [
        "srun: error: node01: task 1: Exited with exit code 1",
        "srun: error: node02: task 2: Exited with exit code 2",
    ]


def test_tasks_that_end_alike_are_told_of_together(srun):
    result = srun(["sh", "-c", "exit 9"], (("node01", [0, 1, 2], 3),))
    assert result.err == "srun: error: node01: tasks 0-2: Exited with exit code 9\n"


def test_a_signals_end(srun):
    result = srun(["sh", "-c", "kill -9 $$"])
    assert result.code == 137
    assert result.err == "srun: error: node01: task 0: Killed\nsrun: Force Terminated StepId=7.0\n"


def test_what_is_no_program(srun):
    result = srun(["/no/such"])
    assert result.code == 2
    lines = result.err.splitlines()
    assert lines[0].endswith("] error: execve(): /no/such: No such file or directory")
    assert lines[1] == "srun: error: node01: task 0: Exited with exit code 2"


@pytest.mark.parametrize(
    "mode, want", [("", ["0: in", "1: in", "2: in"]), ("2", ["2: in"]), ("none", [])], ids=["all", "one", "none"]
)
def test_who_gets_standard_input(srun, mode, want):
    result = srun(["cat"], TWO_NODES, Options(label=True), stdin=b"in\n", standard_input=mode)
    assert sorted(result.out.splitlines()) == want


def test_a_lot_goes_through_unchanged(srun):
    data = os.urandom(3 << 20)
    result = srun(["cksum"], TWO_NODES, stdin=data)
    assert len(set(result.out.splitlines())) == 1
    assert str(len(data)) in result.out
    assert len(srun(["head", "-c", "20000000", "/dev/zero"]).out) == 20000000


def test_input_nobody_reads_is_no_trouble(srun):
    assert srun(["true"], TWO_NODES, stdin=bytes(1 << 20)).code == 0


def test_a_terminal(srun):
    result = srun(["sh", "-c", "test -t 0 && stty size; exit 5"], pty=True, winsize=(33, 99))
    assert result.out.split() == ["33", "99"] or result.out.split() == ["24", "80"]
    assert result.code == 5


def test_what_is_left_behind_ends_with_the_step(srun, tmp_path):
    result = srun(["sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid"])
    pid = int((tmp_path / "pid").read_text())
    assert result.code == 0
    assert not os.path.exists(f"/proc/{pid}")


def test_files_of_the_tasks_own(srun, tmp_path):
    result = srun(["sh", "-c", "echo $SLURM_PROCID; echo e >&2"], TWO_NODES, standard_output="o-%t-%N-%n")
    assert (result.out, result.err) == ("", "")
    assert (tmp_path / "o-2-node02-1").read_text() == "2\ne\n"


def test_a_bad_end_takes_the_others_along(srun):
    script = "[ $SLURM_PROCID = 0 ] && exit 3; exec sleep 1000"
    result = srun(["sh", "-c", script], TWO_NODES, Options(kill_on_bad_exit=True))
    assert result.code == 143
    assert "srun: Terminating StepId=7.0\n" in result.err
    assert " ON node01 CANCELLED AT " in result.err and "DUE TO TASK FAILURE ***" in result.err
    assert result.err.endswith("srun: Force Terminated StepId=7.0\n")


def test_the_first_end_starts_the_clock(srun):
    script = "[ $SLURM_PROCID = 0 ] && exit 0; exec sleep 1000"
    result = srun(["sh", "-c", script], (("node01", [0, 1], 2),), Options(wait=1))
    assert result.code == 137
    assert "srun: First task exited 1s ago\n" in result.err
    assert "srun: StepId=7.0 task 1: running\nsrun: StepId=7.0 task 0: exited\n" in result.err


def test_a_cancel_from_elsewhere(srun):
    def cancel(own, stream):
        def when_started():
            while not stream.steps or not _children(stream.steps[0].pid):
                pass
            stream.steps[0].terminate("CANCELLED", 1)

        threading.Thread(target=when_started, daemon=True).start()

    result = srun(["sleep", "1000"], signals=cancel)
    tasks_error, *own = result.err.splitlines()
    assert tasks_error.endswith("DUE to SIGNAL Terminated ***")
    assert own == [
        "srun: Job step aborted: Waiting up to 3 seconds for job step to finish.",
        "srun: error: node01: task 0: Terminated",
    ]
    assert result.code == 143


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return file.read().split()
    except OSError:
        return []


def test_a_refused_step(srun):
    result = srun(["true"], refusal=SlurmError(2005))
    assert result.code == -1
    assert result.err == "srun: error: Unable to create step for job 7: More processors requested than permitted\n"


def test_task_prolog_and_epilog(srun, tmp_path):
    prolog = tmp_path / "prolog"
    prolog.write_text("#!/bin/sh\necho export FOO=bar\necho print hello\necho unset HOME\n")
    prolog.chmod(0o755)
    epilog = tmp_path / "epilog"
    epilog.write_text(f"#!/bin/sh\necho over $SLURM_PROCID > {tmp_path}/over\n")
    epilog.chmod(0o755)
    result = srun(["sh", "-c", "echo FOO=$FOO HOME=$HOME"], task_prolog=str(prolog), task_epilog=str(epilog))
    assert result.out == "hello\nFOO=bar HOME=\n"
    assert (tmp_path / "over").read_text() == "over 0\n"


def test_a_prolog_that_cannot_run(srun):
    result = srun(["true"], task_prolog="/no/such")
    assert result.code == 1
    assert "user task_prolog can not be executed (/no/such) No such file or directory" in result.err


def test_many_programs(srun):
    lines = [("0", ["echo", "first", "%t", "%o"]), ("*", ["echo", "rest", "%t"])]
    result = srun([], TWO_NODES, Options(label=True), multi_prog=lines)
    assert sorted(result.out.splitlines()) == ["0: first 0 0", "1: rest 1", "2: rest 2"], (result.code, result.err)
