"""scrontab where it is disabled, and strigger for users and SlurmUser: answers as recorded of 26.05."""

import io

import pytest

from slurm_compat.cli.context import Context
from slurm_compat.cli.main import run
from slurm_compat.core.errors import SlurmError

TRIGGERS = [
    (1, "node", "*", ["down"], 0, False, "/tmp/trig.sh a b"),
    (3, "node", "node[01-03]", ["drained"], 0, False, "/tmp/trig.sh drained"),
    (9, "node", "*", ["reconfig"], 0, True, "/tmp/trig.sh reconfig"),
    (11, "slurmctld", "*", ["primary_slurmctld_failure"], 0, False, "/tmp/trig.sh pcf"),
    (22, "other", "(null)", ["burst_buffer"], 0, False, "/tmp/trig.sh bb"),
    (23, "node", "*", ["down", "up"], 0, False, "/tmp/trig.sh two"),
    (26, "job", "20164", ["time"], -45, False, "/tmp/trig.sh time-45"),
]
NAMES = ("trigger_id", "kind", "target", "events", "offset", "permanent", "program")


class Played:
    """A controller with some triggers, or none, that refuses changes with a number."""

    def __init__(self, rows=(), refusal=0):
        self.rows, self.refusal, self.asked = rows, refusal, {}

    def call(self, name, **args):
        self.asked = args
        if name == "config":
            return {"pairs": [["ScronParameters", "(null)"]]}
        if name == "triggers":
            whose = {"user_id": 0, "user_name": "slurm"}
            return {"triggers": [dict(zip(NAMES, row, strict=True)) | whose for row in self.rows]}
        if self.refusal:
            raise SlurmError(self.refusal, "No such process" if self.refusal == 3 else None)
        return {}


def answer(argv, controller=None):
    controller = controller or Played(refusal=3 if "--clear" in argv else 2002)
    out, err = io.StringIO(), io.StringIO()
    ctx = Context(
        argv=argv,
        env={},
        cwd="/tmp",
        stdin=io.StringIO(),
        stdout=out,
        stderr=err,
        connect=lambda: controller,
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
        ("strigger --clear --id=3 -Q", 0, ""),
        ("strigger --clear --id=x", 1, "strigger: error: You must specify a --id, --jobid, or --user to clear\n"),
        ("strigger --set --fini -p /bin/true", 1, "strigger: error: You must specify a --jobid value\n"),
        ("strigger --set -j x --fini -p /bin/true", 1, "strigger: error: Invalid jobid x\n"),
        ("strigger --set --down -p /nonexistent", 1, "strigger: error: Invalid --program value, file not found\n"),
        ("strigger --set --reconfig --flags=bad -p /bin/true", 1, "strigger: error: Invalid flags bad\n"),
        (
            "strigger --set --reconfig --offset=1000000 -p /bin/true",
            1,
            "strigger: error: The --offset parameter must be between +/-32000\n",
        ),
        ("strigger --get --user=nosuch", 1, "strigger: error: Invalid user nosuch\n"),
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


HEAD = "TRIG_ID RES_TYPE   RES_ID TYPE                                OFFSET USER     FLAGS PROGRAM\n"
ROWS = """\
      1 node            * down                                     0 slurm          /tmp/trig.sh a b
      3 node      node[01-03] drained                                  0 slurm          /tmp/trig.sh drained
      9 node            * reconfig                                 0 slurm    PERM  /tmp/trig.sh reconfig
     11 slurmctld       * primary_slurmctld_failure                0 slurm          /tmp/trig.sh pcf
     22 other      (null) burst_buffer                             0 slurm          /tmp/trig.sh bb
     23 node            * unknown                                  0 slurm          /tmp/trig.sh two
     26 job         20164 time                                   -45 slurm          /tmp/trig.sh time-45
""".splitlines(True)


@pytest.mark.parametrize(
    "line, rows",
    [
        ("strigger --get", range(7)),
        ("strigger --get --node", (0, 1, 2, 5)),
        ("strigger --get --down", (0,)),
        ("strigger --get --jobid=20164", (6,)),
        ("strigger --get --id=9", (2,)),
        ("strigger --get --user=root", range(7)),
        ("strigger --get --id=99", ()),
    ],
)
def test_what_is_listed(line, rows):
    code, text = answer(line.split(), Played(TRIGGERS))
    assert code == 0
    assert text == (HEAD if rows else "") + "".join(ROWS[number] for number in rows)


def test_no_head_line():
    assert answer(["strigger", "--get", "--noheader", "--id=9"], Played(TRIGGERS)) == (0, ROWS[2])


@pytest.mark.parametrize(
    "line, kind, target, events, offset",
    [
        ("--node=node02,node01 --down", "node", "node02,node01", ["down"], 0),
        ("--down --up --offset=60", "node", "*", ["down", "up"], 60),
        ("-j 7 --time --offset=-45", "job", "7", ["time"], -45),
        ("--primary_database_failure", "database", "*", ["primary_database_failure"], 0),
        ("--burst_buffer", "other", "(null)", ["burst_buffer"], 0),
        ("--reconfig --offset=x", "node", "*", ["reconfig"], 0),
    ],
)
def test_what_is_set(line, kind, target, events, offset):
    controller = Played()
    assert answer(["strigger", "--set", "-v", *line.split(), "-p", "/bin/true x"], controller) == (
        0,
        "strigger: trigger set\n",
    )
    assert controller.asked == {
        "kind": kind,
        "target": target,
        "events": events,
        "offset": offset,
        "permanent": False,
        "program": "/bin/true x",
    }
