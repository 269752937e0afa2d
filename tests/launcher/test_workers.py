"""The warm host's workers: one is many commands, as long as each leaves it as it was."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slurm_compat.launcher import host, workers
from slurm_compat.launcher.install import install

pytestmark = pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler")


def wait_for(condition, limit=20):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class Commands:
    def __init__(self, folder):
        build = f"work{uuid.uuid4().hex[:8]}"
        install(folder, build=build)
        self.folder = folder
        self.address = Path(host.address(build))
        self.server = subprocess.Popen([sys.executable, "-m", "slurm_compat.launcher.host", build], cwd="/")
        wait_for(lambda: self.workers())

    def workers(self):
        """pids of the host's children"""
        pid = self.server.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def scontrol(self, *words, **options):
        return subprocess.run(
            [self.folder / "scontrol", *words], capture_output=True, text=True, timeout=60, **options
        )  # fmt: skip

    def hostnames(self, text, **options):
        return self.scontrol("show", "hostnames", text, **options).stdout.split()


def _runs(pid):
    """Not gone, and no corpse that waits for whoever adopted it."""
    try:
        return ") Z " not in Path("/proc", pid, "stat").read_text()
    except OSError:
        return False


@pytest.fixture
def commands(tmp_path):
    found = Commands(tmp_path / "bin")
    yield found
    before = found.workers()
    found.server.terminate()
    found.server.wait()
    wait_for(lambda: not any(_runs(pid) for pid in before))
    Path(f"{found.address}.lock").unlink(missing_ok=True)


def test_the_same_workers_are_all_commands(commands):
    commands.hostnames("n[1-2]")
    wait_for(lambda: len(commands.workers()) == 2)  # one is always free
    before = commands.workers()
    for number in range(20):
        assert commands.hostnames(f"n[1-{number + 1}]") == [f"n{one + 1}" for one in range(number + 1)]
    assert set(before) <= set(commands.workers())


def test_nothing_of_a_command_is_left_for_the_next(commands, tmp_path):
    env = os.environ | {"SLURM_NODELIST": "a[1-2]", "MARK": "1"}
    for _ in range(4):
        assert commands.scontrol("show", "hostnames", env=env, cwd=tmp_path).stdout.split() == ["a1", "a2"]
    for _ in range(4):
        assert "a1" not in commands.scontrol("show", "hostnames", env={"PATH": "/bin"}).stdout
    for pid in commands.workers():
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} <= {"/dev/null", *_own_streams(commands)}


def _own_streams(commands):
    return {os.readlink(f"/proc/{commands.server.pid}/fd/{fd}") for fd in range(3)}


def test_a_failed_command_ends_its_worker_and_others_go_on(commands):
    for _ in range(5):
        assert commands.scontrol("nonsense").returncode == 1
        assert commands.hostnames("n[1-2]") == ["n1", "n2"]


def test_a_callers_limits_are_not_the_next_ones(commands):
    script = f"ulimit -S -n 99; exec {commands.folder}/scontrol show hostnames n1"
    for _ in range(3):
        assert subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout == "n1\n"
    script = f"ulimit -n 88; exec {commands.folder}/scontrol show hostnames n1"
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout == "n1\n"
    wait_for(lambda: not any(_open_files(pid) & {"88", "99"} for pid in commands.workers()))


def _open_files(pid):
    try:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    except OSError:
        return set()
    return set(next(line for line in lines if line.startswith("Max open files")).split()[3:5])


def test_many_at_once_are_all_served(commands):
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: commands.hostnames(f"q{number}"), range(60)))
    assert answers == [[f"q{number}"] for number in range(60)]


def test_a_busy_worker_outlives_its_host(commands):
    process = subprocess.Popen(
        [commands.folder / "scontrol"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    wait_for(lambda: len(commands.workers()) == 2)
    commands.server.send_signal(signal.SIGTERM)
    commands.server.wait()
    out, _ = process.communicate("show hostnames n[1-2]\n")
    assert "n1\nn2\n" in out
    commands.server = subprocess.Popen(["sleep", "100"])  # for the fixture to end


def test_the_board_finds_who_is_where():
    board = workers.Board()
    assert board.slot(workers.IDLE) == -1
    board.set(5, workers.IDLE)
    board.set(7, workers.BUSY)
    assert (board.slot(workers.FREE), board.slot(workers.IDLE), board.slot(workers.BUSY)) == (0, 5, 7)
    assert abs(board.last_command() - time.monotonic()) < 5
