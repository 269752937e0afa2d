"""scrontab and strigger answer as Slurm does where neither is open to users."""

import io

import pytest

from slurm_compat.cli.context import Context
from slurm_compat.cli.main import run


def answer(argv):
    out, err = io.StringIO(), io.StringIO()
    ctx = Context(
        argv=argv,
        env={},
        cwd="/tmp",
        stdin=io.StringIO(),
        stdout=out,
        stderr=err,
        connect=lambda: None,
        now=lambda: 0.0,
    )
    code = run(ctx)
    return code, out.getvalue() + err.getvalue()


DISABLED = "scrontab: fatal: scrontab is disabled on this cluster\n"
ONE = "strigger: error: You must use exactly one of the following options: --set, --get or --clear\n"


@pytest.mark.parametrize(
    "line, code, text",
    [
        ("scrontab", 1, DISABLED),
        ("scrontab -l", 1, DISABLED),
        ("scrontab -r", 1, DISABLED),
        ("scrontab -u bob file", 1, DISABLED),
        ("scrontab -e", 1, "scrontab: fatal: Standard input is not a TTY\n"),
        ("strigger", 1, ONE),
        ("strigger --set --get", 1, ONE),
        ("strigger -V", 0, "slurm-wlm 26.05.5\n"),
        ("strigger --get", 0, ""),
        ("strigger --get --id=3", 0, ""),
        ("strigger --get -x", 1, "strigger: invalid option -- 'x'\nTry \"strigger --help\" for more information\n"),
        ("strigger --set", 1, "strigger: error: You must specify a trigger\n"),
        ("strigger --set --node", 1, "strigger: error: You must specify a trigger\n"),
        ("strigger --set -d -p true", 1, 'strigger: error: The --program value must start with "/"\n'),
        ("strigger --set -d -p /bin/true", 1, "slurm_set_trigger: Access/permission denied\n"),
        ("strigger --set --jobid=5 --fini -p /bin/true", 1, "slurm_set_trigger: Access/permission denied\n"),
        ("strigger --clear", 1, "strigger: error: You must specify a --id, --jobid, or --user to clear\n"),
        ("strigger --clear --id=3", 1, "slurm_clear_trigger: No such process\n"),
    ],
)
def test_answers(line, code, text):
    assert answer(line.split()) == (code, text)


@pytest.mark.parametrize("line", ["scrontab -x", "scrontab --help", "scrontab a b"])
def test_scrontab_shows_its_usage(line):
    code, text = answer(line.split())
    assert code == 1
    assert text.startswith("usage:\tscrontab [-u user] file\n")


def test_strigger_help_lists_every_event():
    code, text = answer(["strigger", "--help"])
    assert code == 0
    assert all(f"--{name}" in text for name in ("down", "fini", "primary_slurmctld_failure", "flags"))
