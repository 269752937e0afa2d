"""A command called by its path: where Slurm shows that path, and where only the name. Observed on 26.05."""

from __future__ import annotations

import io

import pytest

from slurm_compat.cli import main
from slurm_compat.cli.context import Context

TRY = 'Try "{0}" for more information\n'


class Controller:
    """Takes every submission, and keeps it."""

    def __init__(self) -> None:
        self.submitted = []

    def call(self, name, /, **args):
        if name == "submit":
            self.submitted.append(args["request"])
            return {"job_id": 7, "messages": [], "status": 0}
        return {}


def ran(tmp_path, *argv, called=""):
    """(stderr, exit code, the submitted request or None)."""
    controller, out, err = Controller(), io.StringIO(), io.StringIO()
    ctx = Context(
        argv=list(argv), called=called, env={"HOME": "/home/alice", "PATH": "/bin"}, cwd=str(tmp_path),
        stdin=io.StringIO(), stdout=out, stderr=err, connect=lambda: controller, now=lambda: 1795180462.0, uid=2001,
        gid=2001,
    )  # fmt: skip
    code = main.run(ctx)
    return err.getvalue(), code, controller.submitted[0] if controller.submitted else None


@pytest.mark.parametrize(
    "called, line", [("", "sbatch"), ("/usr/bin/sbatch", "/usr/bin/sbatch"), ("./sbatch", "./sbatch")]
)
def test_the_submit_line_is_as_it_was_typed(tmp_path, called, line):
    _, code, request = ran(tmp_path, "sbatch", "--wrap", "true", called=called)
    assert (code, request.submit_line) == (0, f"{line} --wrap true")


@pytest.mark.parametrize("argv, words", [
    (["sbatch", "--nope"], "unrecognized option '--nope'"), (["srun", "-Y"], "invalid option -- 'Y'"),
    (["salloc", "--nope"], "unrecognized option '--nope'"), (["squeue", "-Q"], "invalid option -- 'Q'"),
    (["sinfo", "-p"], "option requires an argument -- 'p'"), (["scontrol", "--nope"], "unrecognized option '--nope'"),
    (["sacctmgr", "--nope"], "unrecognized option '--nope'"),
])  # fmt: skip
def test_a_bad_option_is_told_with_the_path(tmp_path, argv, words):
    want = f": {words}\n" + TRY.format(f"{argv[0]} --help")
    assert ran(tmp_path, *argv, called=f"/usr/bin/{argv[0]}")[0] == f"/usr/bin/{argv[0]}{want}"
    assert ran(tmp_path, *argv)[0] == argv[0] + want


def test_a_bad_value_is_told_with_the_name(tmp_path):
    err, code, _ = ran(tmp_path, "sbatch", "-t", "x", "--wrap", "true", called="/usr/bin/sbatch")
    assert (err, code) == ("sbatch: error: Invalid --time specification\n", 255)


def test_a_bad_directive_is_told_with_the_name(tmp_path):
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n#SBATCH --get-user-env=L\n")
    err, code, _ = ran(tmp_path, "sbatch", str(script), called="/usr/bin/sbatch")
    assert err == "sbatch: option '--get-user-env' doesn't allow an argument\n" + TRY.format("sbatch --help")
    assert code == 255
