"""Commands started by either launcher, with and without the warm host, behave as if they ran themselves."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from slurm_compat.launcher import host
from slurm_compat.launcher.install import install

KINDS = ["Python"] + (["C"] if shutil.which("cc") or shutil.which("gcc") else [])


@pytest.fixture(scope="module", params=KINDS)
def commands(request, tmp_path_factory):
    """A folder of commands whose warm host answers, and is gone afterwards."""
    build = f"test{uuid.uuid4().hex[:8]}"
    folder = tmp_path_factory.mktemp("commands")
    assert install(folder, compiler="" if request.param == "Python" else None, build=build) == request.param
    address = Path(host.address(build))
    server = subprocess.Popen([sys.executable, "-m", "slurm_compat.launcher.host", build], cwd="/")
    wait_for(address.exists)
    yield folder
    server.terminate()
    server.wait()
    address.unlink(missing_ok=True)
    Path(f"{address}.lock").unlink(missing_ok=True)


@pytest.fixture(params=["warm", "cold"])
def env(request):
    return os.environ | ({"SLURM_COMPAT_COLD": "1"} if request.param == "cold" else {})


def wait_for(condition, limit=20):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def scontrol(commands, *words, **options):
    return subprocess.run([commands / "scontrol", *words], capture_output=True, text=True, timeout=60, **options)


def test_output_and_exit_code_come_through(commands, env):
    done = scontrol(commands, "show", "hostnames", "n[1-2]", env=env)
    assert (done.stdout, done.stderr, done.returncode) == ("n1\nn2\n", "", 0)
    done = scontrol(commands, "nonsense", env=env)
    assert (done.stdout, done.stderr, done.returncode) == ("", "invalid keyword: nonsense\n", 1)


def test_a_bad_option_is_told_with_the_path_the_command_was_called_by(commands, env):
    words = "unrecognized option '--bad'\nTry \"scontrol --help\" for more information\n"
    by_name = subprocess.run(
        ["scontrol", "--bad"], executable=commands / "scontrol", capture_output=True, text=True, env=env, timeout=60
    )
    assert by_name.stderr == f"scontrol: {words}"
    by_path = scontrol(commands, "--bad", env=env).stderr
    # of a script the kernel tells its path alone, so the launcher in Python always says the name
    assert by_path in (f"{commands}/scontrol: {words}", f"scontrol: {words}")
    assert by_path != by_name.stderr or (commands / "scontrol").read_bytes().startswith(b"#!")


def test_standard_input_and_environment_are_the_callers(commands, env):
    done = scontrol(commands, "show", "hostnames", env=env | {"SLURM_NODELIST": "q[7-8]"})
    assert done.stdout == "q7\nq8\n"
    done = scontrol(commands, input="show hostnames z[1-2]\n", env=env)
    assert "z1\nz2\n" in done.stdout


def test_words_that_are_not_utf8_come_through(commands, env):
    done = subprocess.run([commands / "scontrol", "show", "hostnames", b"a\xff[1-2]"], capture_output=True, env=env)
    assert done.stdout == b"a\xff1\na\xff2\n"


def test_relative_paths_are_the_callers(commands, env, tmp_path):
    (tmp_path / "names").write_text("b1\nb2\n")
    done = scontrol(commands, "show", "hostlist", "./names", env=env, cwd=tmp_path)
    assert done.returncode == 0 or "names" in done.stderr + done.stdout


def test_descriptors_that_words_name_are_the_callers(commands, env):
    script = f"exec {commands}/sbatch --test-only <(printf '#SBATCH --no-such-option')"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, timeout=60)
    assert "This does not look like a batch script" in done.stderr, done.stderr


def test_a_working_directory_that_vanished_does_not_matter(commands, env, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && exec {commands}/scontrol version"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=env)
    assert (done.stdout, done.returncode) == ("slurm-wlm 26.05.5\n", 0)


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_a_closed_stream_is_closed_for_the_command_too(commands, env, closed):
    script = f"exec {commands}/scontrol version {closed}>&-"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=env)
    assert done.returncode == 0
    assert done.stdout == ("" if closed == "1" else "slurm-wlm 26.05.5\n")


def test_a_reader_that_leaves_ends_the_command_by_sigpipe(commands, env):
    process = subprocess.Popen(
        [commands / "scontrol", "show", "hostnames", "n[1-60000]"], stdout=subprocess.PIPE, env=env
    )
    process.stdout.read(1)
    process.stdout.close()
    assert process.wait(60) == -signal.SIGPIPE


def test_a_full_disk_is_an_error(commands, env):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [commands / "scontrol", "version"], stdout=full, stderr=subprocess.PIPE, text=True, env=env
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_command_and_nothing_of_it_stays(commands, env, number):
    read, write = os.pipe()  # whoever has the write end is alive: launcher and command hold it as stdin's other end
    process = subprocess.Popen([commands / "scontrol"], stdin=subprocess.PIPE, stdout=write, env=env)
    os.close(write)
    assert os.read(read, 10) == b"scontrol: "
    process.send_signal(number)
    assert process.wait(60) == -number
    assert os.read(read, 10) == b""  # no process has our stdout open any more
    os.close(read)
    process.stdin.close()


def test_umask_and_limits_are_the_callers(commands, env, tmp_path):
    script = f"umask 027; ulimit -S -n 99; exec {commands}/scontrol version"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=env)
    assert done.returncode == 0


def test_garbage_on_the_hosts_socket_harms_nobody(commands):
    import socket

    build = next(p for p in Path(f"/tmp/slurm-compat-{os.geteuid()}").iterdir() if _build_of(commands) in p.name)
    address = str(build).removesuffix(".lock")
    for junk in (b"", b"\0" * 10, os.urandom(400)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(address)
            sock.sendall(junk)
    assert scontrol(commands, "version").stdout == "slurm-wlm 26.05.5\n"


def _build_of(commands):
    content = (commands / "scontrol").read_bytes()
    start = content.index(b"test")
    while not content[start + 4 : start + 12].isalnum():
        start = content.index(b"test", start + 1)
    return content[start : start + 12].decode()
