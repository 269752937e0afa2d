"""A controller that only plays one: it listens on a Unix socket and drives real agent processes."""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 20  # seconds before a test gives up waiting


def frame(value):
    body = json.dumps(value).encode()
    return struct.pack(">I", len(body)) + body


class Controller:
    """One agent at a time. `wait(name)` gives the next message of that name; others stay in `messages`."""

    def __init__(self, folder):
        self.path = str(folder / "c.sock")
        self.listener = None
        self.link = None
        self.listen()
        self.acknowledge = True
        self.messages = []
        self.hellos = []
        self._data = bytearray()

    def listen(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()

    def go_away(self):
        """As a controller that is killed: nobody listens, the link is cut."""
        self.listener.close()
        os.unlink(self.path)
        self.hang_up()

    def hang_up(self):
        if self.link is not None:
            self.link.close()
            self.link = None
        self._data.clear()

    def accept(self):
        self.listener.settimeout(PATIENCE)
        self.link, _ = self.listener.accept()
        self.link.settimeout(PATIENCE)
        hello = self._next()
        assert hello["call"] == "agent"
        self.hellos.append(hello["args"])
        return hello["args"]

    def say(self, msg, **fields):
        self.link.sendall(frame({"msg": msg, **fields}))

    def refuse(self, number, text):
        self.link.sendall(frame({"error": [number, text]}))

    def _next(self):
        while True:
            if len(self._data) >= 4:
                (length,) = struct.unpack_from(">I", self._data)
                if len(self._data) >= 4 + length:
                    value = json.loads(self._data[4 : 4 + length])
                    del self._data[: 4 + length]
                    return value
            got = self.link.recv(65536)
            if not got:
                raise EOFError("the agent hung up")
            self._data += got

    def wait(self, name):
        """The next message `name`; what else comes before it is acknowledged and kept."""
        for message in self.messages:
            if message["msg"] == name:
                self.messages.remove(message)
                return message
        while True:
            message = self._next()
            if self.acknowledge and "seq" in message:
                self.link.sendall(frame({"msg": "ack", "seq": message["seq"]}))
            if message["msg"] == name:
                return message
            self.messages.append(message)

    def close(self):
        self.hang_up()
        self.listener.close()


class Pod:
    """A running agent and its controller."""

    def __init__(self, controller, folder, **environ):
        self.controller = controller
        self.folder = folder
        self.exit_file = folder / "exit"
        self.spool = folder / "spool"
        self.spool.mkdir(exist_ok=True)
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SLURM_COMPAT_CONTROLLER": f"unix:{controller.path}",
            "SLURM_COMPAT_JOB_ID": "123",
            "SLURM_COMPAT_TOKEN": "secret",
            "SLURM_COMPAT_NODE": "node01",
            "SLURM_COMPAT_SPOOL": str(self.spool),
            "SLURM_COMPAT_EXIT_FILE": str(self.exit_file),
            **environ,
        }
        self.process = subprocess.Popen([sys.executable, "-m", "slurm_compat.agent"], env=env, cwd=ROOT)

    def run(self, script, *, packet=None, job=None, **config):
        """Launch `script`; its batch_started has come when this returns."""
        self.controller.accept()
        self.controller.say("launch", **launch_packet(self.folder, script, packet, job, **config))
        return self.controller.wait("batch_started")

    def output(self, name="slurm-123.out"):
        return (self.folder / name).read_text()

    def see(self, text, name="slurm-123.out"):
        """Wait until a file holds `text`."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if (self.folder / name).exists() and text in self.output(name):
                return
            time.sleep(0.01)
        raise AssertionError(f"{text!r} never came: {self.output(name)!r}")

    def end(self):
        """bye; the exit code. Nothing may be left in the spool."""
        self.controller.say("bye")
        code = self.process.wait(PATIENCE)
        assert list(self.spool.iterdir()) == []
        assert int(self.exit_file.read_text()) == code
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def launch_packet(folder, script, packet=None, job=None, **config):
    record = {
        "job_id": 123,
        "array_job_id": 0,
        "array_task_id": None,
        "sluid": "sEY5M7WHBXK600",
        "name": "job.sh",
        "user_name": "alice",
        "account": "project1",
        "qos": "normal",
        "partition": "compute",
        "nodes": "node01",
        "tasks": 1,
        "tasks_given": False,
        "cpus_per_task": 1,
        "memory_per_cpu": 500,
        "memory_per_node": None,
        "start_time": int(time.time()),
        "time_limit": 0xFFFFFFFF,
        "restart_cnt": 0,
        "shared": "NO",
        "exclusive": "NO",
        "current_working_directory": str(folder),
        "standard_input_given": "",
        "standard_output_given": "",
        "standard_error_given": "",
        **(job or {}),
    }
    return {
        "job": record,
        "user": {"name": "alice", "uid": os.geteuid(), "gid": os.getegid(), "group": "alice", "groups": [os.getegid()],
                 "home": str(folder), "shell": "/bin/sh"},
        "role": "batch",
        "nodes": [{"name": "node01", "address": "", "cpus": 1, "memory": 500, "tasks": 1, "gpus": []}],
        "rank": 0,
        "script": base64.b64encode(script.encode()).decode(),
        "argv": [],
        "environment": base64.b64encode(f"PATH={os.environ['PATH']}\0HOME={folder}".encode()).decode(),
        "umask": 0o022,
        "rlimits": {},
        "open_mode": "",
        "end_time": 0,
        "signal": {},
        "config": {"cluster_name": "oracle", "slurm_conf": "/etc/slurm.conf", "kill_wait": 5, "tmp_fs": "/tmp",
                   "contain": False, "sample_interval": 30, **config},
        **(packet or {}),
    }  # fmt: skip


def alive(pid):
    """Whether a process runs; a zombie doesn't."""
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to be")


@pytest.fixture
def controller(tmp_path):
    one = Controller(tmp_path)
    yield one
    one.close()


@pytest.fixture
def pod(controller, tmp_path):
    one = Pod(controller, tmp_path)
    yield one
    one.close()


@pytest.fixture
def make_pod(controller, tmp_path):
    pods = []

    def make(folder=tmp_path, **environ):
        pods.append(Pod(controller, folder, **environ))
        return pods[-1]

    yield make
    for one in pods:
        one.close()


@pytest.fixture
def open_folder():
    """One that every user can reach and write, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="agent-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def helpers():
    return type("Helpers", (), {"alive": staticmethod(alive), "until": staticmethod(wait_until),
                                "packet": staticmethod(launch_packet)})  # fmt: skip
