"""sattach and sbcast: what they are asked for, what they refuse, and a file that is sent and taken."""

import io
import os
import threading
from pathlib import Path

import pytest

from slurm_compat.agent import receive
from slurm_compat.cli import sattach, sbcast, sbcast_options, srun_het
from slurm_compat.cli.context import Context
from slurm_compat.cli.sbcast_send import Sending
from slurm_compat.cli.selected import selected
from slurm_compat.cli.srun_listener import Listener
from slurm_compat.core.errors import CannotCarry, CommandError, SlurmError


class PlayedController:
    """One running job, 7, of nodes node01 and node02 with a step 0; 8 is another component of it."""

    def call(self, name, /, **args):
        if args["step_id"] not in ("", "0"):
            raise SlurmError(2017)
        return {"layout": [["node01", [0, 2], 2], ["node02", [1], 1]], "nodes": "node[01-02]"}

    def rows(self, name, fields, /, *, job_ids):
        if job_ids != [7]:
            raise SlurmError(2017)
        return iter([[7, None, 7, 0], [8, None, 7, 1]])


def ran(command, *argv, env=None):
    """(exit code, standard output, lines of standard error)."""
    out, err = io.StringIO(), io.StringIO()
    ctx = Context(
        argv=[command.__name__.rpartition(".")[2], *argv], env=env or {}, cwd="/tmp", stdin=io.StringIO(), stdout=out,
        stderr=err, connect=PlayedController, now=lambda: 0.0,
    )  # fmt: skip
    try:
        code = command.main(ctx)
    except CommandError as problem:
        return problem.code, out.getvalue(), [*err.getvalue().splitlines(), *problem.lines]
    return code, out.getvalue(), err.getvalue().splitlines()


NO_SUCH = "Could not get job step info: Invalid job id specified"
USAGE = "Usage: sattach [options] <jobid.stepid>"


@pytest.mark.parametrize(
    "argv, lines",
    [
        ([], ["sattach: error: too many parameters"]),
        (["7.0", "x"], ["sattach: error: too many parameters"]),
        (["7"], ["sattach: error: Failed to parse stepid from command line options"]),
        (["7.batch"], ["sattach: error: Cannot be used with extern or batch steps"]),
        (["7.x"], ["sattach: fatal: Bad job/step specified: 7.x: StepID includes unexpected non-numeric characters"]),
        (["abc.0"], ["sattach: fatal: Bad job/step specified: abc.0: JobID can not be zero"]),
        (["7.5"], [f"sattach: error: {NO_SUCH}"]),
        (["99.0"], [f"sattach: error: {NO_SUCH}"]),
        (["--input-filter=x", "7.0"], ['sattach: error: Invalid numeric value "x" for input-filter.']),
        (["--output-filter=-1", "7.0"], ['sattach: error: Invalid numeric value "-1" for output-filter.']),
        (["--zz", "7.0"], ["sattach: unrecognized option '--zz'", 'Try "sattach --help" for more information']),
    ],
)
def test_what_sattach_refuses(argv, lines):
    usage = f"{USAGE}\n" if len(argv) != 1 or argv == ["7"] else ""
    usage = "" if any(word.startswith("--") for word in argv) else usage
    assert ran(sattach, *argv) == (1, usage, lines)


def test_the_layout_of_a_step():
    assert ran(sattach, "--layout", "7.0") == (
        0,
        "Job step layout:\n\t3 tasks, 2 nodes (node[01-02])\n\n"
        "\tNode 0 (node01), 2 task(s): 0 2 \n\tNode 1 (node02), 1 task(s): 1 \n",
        [],
    )


NO_JOB = "sbcast: error: Need a job id to run this command.  Run from within a Slurm job or use the --jobid option."
TRY = 'Try "sbcast --help" for more information'


@pytest.mark.parametrize(
    "argv, code, lines",
    [
        ([], 1, ["Need two file names, have 0 names", TRY]),
        (["-C", "lz4", "a", "/tmp/b"], 1, ["Need two file names, have 3 names", TRY]),
        (["a", "/tmp/b"], 1, [NO_JOB]),
        (["-j", "7", "a", "/tmp/"], 1, ["sbcast: error: Target filename cannot be a directory."]),
        (["-j", "99", "a", "b"], 1, ["sbcast: error: Failed to load JobId=99: 'Invalid job id specified'"]),
        (["-j", "7", "no/such", "b"], 255, ["sbcast: error: Can't open `no/such`: No such file or directory"]),
        (["-j", "7", "/etc", "b"], 255, ["sbcast: error: Can't mmap file `/etc`, No such device."]),
        (
            ["-j", "7.3", "/etc/passwd", "b"],
            255,
            ["sbcast: error: Slurm job 7.3 lookup error: Invalid job id specified"],
        ),
    ],
)
def test_what_sbcast_refuses(argv, code, lines):
    assert ran(sbcast, *argv) == (code, "", lines)


def test_options_of_sbcast_and_what_is_told_of_them():
    env = {"SLURM_JOB_ID": "7", "SBCAST_SIZE": "3k", "SBCAST_FORCE": "", "SBCAST_TIMEOUT": "5"}
    asked, lines = sbcast_options.asked_for(["-p", "-v", "--compress=zip", "a", "b"], env, "/there")
    assert (asked.size, asked.force, asked.timeout, asked.preserve, asked.path) == (3072, True, 5, True, "/there/b")
    assert lines == ["sbcast: error: Compression type 'zip' unknown, disabling compression support."]
    asked, lines = sbcast_options.asked_for(["-s", "4x", "-j", "7+1.0", "a", "/b"], {}, "/")
    assert (asked.size, asked.job.offset, asked.job.step, lines) == (
        0,
        1,
        "0",
        ["size specification is invalid, ignored"],
    )
    with pytest.raises(CannotCarry):
        sbcast_options.asked_for(["--send-libs", "a", "b"], {}, "/")


@pytest.mark.parametrize("text", ["0", "abc", "0.1", "x.batch", "7.x", "7_", "", "+", "7.0.0"])
def test_no_job_or_step(text):
    with pytest.raises(CommandError) as refused:
        selected("sbcast", text)
    assert refused.value.lines[0].startswith(f"sbcast: fatal: Bad job/step specified: {text}: ")


def sent(source: Path, target: Path, nodes, **more):
    """What Sending says of a file that is sent to these nodes, each of which writes to `target` and its name."""
    listener = Listener({})
    threads = []
    for rank, node in enumerate(nodes):
        message = {
            "addresses": listener.addresses, "secret": listener.secret, "ranks": {node: rank},
            "path": f"{target}.{node}", "force": False, "mode": 0o640, "times": None, **more,
        }  # fmt: skip
        threads.append(threading.Thread(target=receive.take, args=(message, node), daemon=True))
    fd = os.open(source, os.O_RDONLY)
    for thread in threads:
        thread.start()
    try:
        return Sending(listener, fd, nodes, 20).run([])
    finally:
        os.close(fd)
        listener.stop()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_a_file_arrives_whole_everywhere(tmp_path, size):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    assert sent(source, tmp_path / "out", ["node01", "node02"], times=(1000.0, 2000.0)) == []
    for node in ("node01", "node02"):
        target = tmp_path / f"out.{node}"
        assert target.read_bytes() == source.read_bytes()
        found = target.stat()
        assert (found.st_mode & 0o7777, found.st_mtime) == (0o640, 2000.0)


def test_files_that_are_there_and_folders_that_are_not(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    (tmp_path / "out.node01").write_bytes(b"old")
    assert sent(source, tmp_path / "out", ["node01", "node02"]) == [("node01", 17)]
    assert (tmp_path / "out.node01").read_bytes() == b"old"
    assert sent(source, tmp_path / "out", ["node01"], force=True) == []
    assert (tmp_path / "out.node01").stat().st_size == 3_000_000
    assert sent(source, tmp_path / "no" / "out", ["node01"]) == [("node01", 2)]


def test_a_component_takes_the_first_ones_place():
    env = {
        "SLURM_JOB_ID": "7", "SLURM_JOBID": "7", "SLURM_NTASKS": "1", "SLURM_NNODES": "1", "HOME": "/",
        "SLURM_HET_SIZE": "2", "SLURM_JOB_ID_HET_GROUP_0": "7", "SLURM_NTASKS_HET_GROUP_0": "1",
        "SLURM_JOB_ID_HET_GROUP_1": "8", "SLURM_JOB_NUM_NODES_HET_GROUP_1": "2", "SLURM_JOB_ID_PACK_GROUP_1": "8",
    }  # fmt: skip
    found = srun_het.component_environment(env, 1)
    assert (found["SLURM_JOB_ID"], found["SLURM_JOBID"], found["SLURM_NNODES"], found["HOME"]) == ("8", "8", "2", "/")
    assert "SLURM_NTASKS" not in found
    with pytest.raises(CommandError):
        srun_het.component_environment(env, 2)
