"""sshare, sprio and sdiag against transcripts of the real ones; no controller runs."""

import json
import pwd
import sys
from pathlib import Path

import pytest

from slurm_compat.cli import sdiag, sshare
from slurm_compat.cli.sdiag_messages import counts
from slurm_compat.core.errors import ACCESS_DENIED, SlurmError

sys.path.insert(0, str(Path(__file__).parent))
from accounting_rows import FIGURES, PRIORITIES, Accounting
from fakecontroller import run

sys.path.pop(0)

USERS = {"alice": 2001, "bob": 2002, "root": 0}


@pytest.fixture(autouse=True)
def the_recorded_users(monkeypatch):
    names = {uid: name for name, uid in USERS.items()}
    monkeypatch.setattr(sshare, "user_name", lambda uid: names.get(uid, str(uid)))

    def by_name(name):
        if name not in USERS:
            raise KeyError(name)
        return pwd.struct_passwd((name, "x", USERS[name], 0, "", "/", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwnam", by_name)


def out_of(line, uid=2001, controller=None):
    out, err, code = run(line, controller or Accounting(), uid=uid)
    assert (err, code) == ("", 0)
    return out.splitlines()


# sshare


def test_the_tree_of_shares():
    fields = "account%-10,user%5,rawshares%2,normshares%8,rawusage%4,normusage%8,effectvusage%8,fairshare%8,levelfs%9"
    shown = out_of(f"sshare -a -n -o {fields}")
    assert shown == [
        "root                0.000000  117          1.000000                    ",
        " root       root  1 0.032258    0 0.000000 0.000000 1.000000       inf ",
        " project1        10 0.322581  115 0.982906 0.982906           0.328191 ",
        "  project1 alice  1 0.500000  115 0.982906 1.000000 0.200000  0.500000 ",
        "  project1  root  1 0.500000    0 0.000000 0.000000 0.400000       inf ",
        " project2        20 0.645161    2 0.017094 0.017094          37.741935 ",
        "  project2 alice  1 0.333333    0 0.000000 0.000000 0.800000       inf ",
        "  project2   bob  2 0.666667    2 0.017094 1.000000 0.600000  0.666667 ",
    ]


@pytest.mark.parametrize(
    "options, rows",
    [
        ("", "root|;project1|; project1|alice;project2|; project2|alice"),
        ("-U", "project1|alice;project2|alice"),
        ("-u bob", "root|;project1|;project2|; project2|bob"),
        ("-u 2002", "root|;project1|;project2|; project2|bob"),
        ("-u ''", "root|;project1|; project1|alice;project2|; project2|alice"),
        ("-A project2 -u alice", "project2|; project2|alice"),
        ("-A project2,project1 -u bob", "project1|;project2|; project2|bob"),
        ("-A root -a", "root|; root|root"),
        ("-A nosuch -a", ""),
        ("-a -U", "root|root;project1|alice;project1|root;project2|alice;project2|bob"),
    ],
)
def test_whose_shares(options, rows):
    found = out_of(f"sshare {options} -nP -o account,user")
    wanted = [row for row in rows.split(";") if row]
    if found and found[0] == "root|" and len(found) > 2:
        wanted = [wanted[0], *(f" {row}" for row in wanted[1:])]
    assert found == wanted


def test_resources_by_minutes():
    assert out_of("sshare -nP -U -o tresrunmins,grptresraw") == [
        "cpu=480,mem=0,energy=0,node=120,billing=480,fs/disk=0,vmem=0,pages=0,gres/gpu=0,gres/gpumem=0,gres/gpuutil=0|"
        "cpu=1,mem=1000,energy=0,node=0,billing=1,fs/disk=0,vmem=0,pages=0,gres/gpu=0,gres/gpumem=0,gres/gpuutil=0",
        "cpu=0,mem=0,energy=0,node=0,billing=0,fs/disk=0,vmem=0,pages=0,gres/gpu=0,gres/gpumem=0,gres/gpuutil=0|"
        "cpu=0,mem=0,energy=0,node=0,billing=0,fs/disk=0,vmem=0,pages=0,gres/gpu=0,gres/gpumem=0,gres/gpuutil=0",
    ]


def test_fields_and_widths():
    assert out_of("sshare -o account%5,user%-8,id -u bob")[:4] == [
        "Accou User         ID ", "----- -------- ------ ", " root               1 ", " pro+               3 ",
    ]  # fmt: skip
    assert out_of("sshare -o '' -A root")[0] == "Account              "
    assert run("sshare -o all", Accounting()) == ("", 'sshare: error: Invalid field requested: "all"\n', 1)


def test_verbose_goes_to_standard_error():
    _, err, _ = run("sshare -v -u bob", Accounting())
    assert err == "Users requested:\n\t: bob\nAccounts requested:\n\t: all\n"


def test_shares_as_a_document():
    shares = json.loads("\n".join(out_of("sshare --json -u bob")))["shares"]["shares"]
    root, bob = shares[0], shares[-1]
    assert root["shares"] == {"set": False, "infinite": False, "number": 0}
    assert (bob["name"], bob["parent"], bob["type"]) == ("bob", "project2", ["USER"])
    assert bob["fairshare"]["factor"]["number"] == 0.6
    assert bob["tres"]["usage"][0] == {"name": "cpu", "value": 2.0}


# sprio


def test_priorities():
    assert out_of("sprio") == [
        "          JOBID PARTITION   PRIORITY       SITE        AGE  FAIRSHARE    JOBSIZE  PARTITION        QOS",
        "          20004 compute         3500          0          0       2000        500       1000          0",
        "          20008 debug          11250          0          0      10000        250       1000          0",
        "          20008 compute        11250          0          0      10000        250       1000          0",
        "          20009 gpu            11125          0          0      10000        125       1000          0",
        "          20011 compute        13125          0          0      10000        125       1000       2000",
    ]


def test_priorities_in_long_and_normalized():
    assert out_of("sprio -l -j 20009") == [
        "          JOBID PARTITION     USER  ACCOUNT   PRIORITY       SITE        AGE      ASSOC  FAIRSHARE    JOBSIZE"
        "  PARTITION    QOSNAME        QOS        NICE                 TRES",
        "          20009 gpu          alice project2      11125          0          0          0      10000        125"
        "       1000     normal          0           0                     ",
    ]
    assert out_of("sprio -n -j 20004") == [
        "          JOBID PARTITION PRIORITY   AGE        FAIRSHARE  JOBSIZE    PARTITION  QOS       ",
        "          20004 compute   0.00000081 0.0000132  0.2000000  0.5000000  1.0000000  0.0000000 ",
    ]


@pytest.mark.parametrize(
    "options, row",
    [
        (
            "-w",
            "        Weights                               1       1000      10000       1000       1000       2000",
        ),
        ("-w -n", "        Weights                      1000       10000      1000       1000       2000      "),
        (
            "-w -l",
            "        Weights                                                 1       1000          0      10000"
            "       1000       1000                  2000                           (null)",
        ),
        ("-w -u alice", "        Weights                                        1       1000      10000       1000"
         "       1000       2000"),
    ],
)  # fmt: skip
def test_weights(options, row):
    assert out_of(f"sprio {options}")[1:] == [row]


@pytest.mark.parametrize(
    "options, jobs",
    [
        ("-u root", "20008 20008"), ("-u alice,0", "20004 20008 20008 20009 20011"), ("-p gpu,debug", "20008 20009"),
        ("-j 20010", "20011"), ("-j 20010_3", "20011"), ("-j20004,20009", "20004 20009"), ("-j 1", ""),
        ("-S -y", "20011 20008 20008 20009 20004"), ("-S -u,i", "20008 20008 20004 20009 20011"),
        ("-S u", "20004 20009 20011 20008 20008"),
    ],
)  # fmt: skip
def test_which_jobs_in_which_order(options, jobs):
    assert " ".join(out_of(f"sprio -h -o %i {options}")) == jobs


def test_letters_that_name_nothing_leave_nothing():
    out, err, code = run("sprio -o '%i|%C|%5u.%%Y' -j 20004", Accounting())
    assert (out, code) == ("JOBID|USER .PRIORITY\n20004|alice.3500\n", 0)
    assert err == "sprio: error: Invalid job format specification: C\n"
    assert out_of("sprio -o abc -j 20004") == ["abc", "abc"]


def test_nobody_waits():
    assert out_of("sprio -j 1", controller=Accounting([])) == ["Unable to find jobs matching user/id(s) specified"]
    assert len(out_of("sprio -u alice", controller=Accounting([]))) == 1


@pytest.mark.parametrize(
    "line, told",
    [
        ("sprio -j abc", "sprio: error: Invalid job id: abc"),
        ("sprio -j 5_[1-2]", "sprio: error: Invalid job id: 5_[1-2]"),
        ("sprio foo", "sprio: error: Unrecognized option: foo"),
        ("sprio -y", "sprio: invalid option -- 'y'"),
        ("sprio -M other", "sprio: error: No cluster 'other' known by database."),
    ],
)
def test_refused_by_sprio(line, told):
    _, err, code = run(line, Accounting())
    assert (err.splitlines()[0], code) == (told, 1)


def test_an_unknown_user_is_told_and_matches_nothing():
    out, err, code = run("sprio -u nosuch", Accounting())
    assert err == "sprio: error: Invalid user: nosuch\n\n"
    assert (len(out.splitlines()), code) == (1, 0)


def test_letters_of_the_format():
    assert out_of("sprio --helpformat") == [
        "%a    %A    %b    %B    %c    %f    %F    %i    ",
        "%j    %J    %n    %N    %o    %p    %P    %r    ",
        "%S    %q    %Q    %s    %u    %y    %Y    %t    ",
        "%T    ",
    ]
    assert {row["job_id"] for row in PRIORITIES} == {20004, 20008, 20009, 20011}


# sdiag


def test_messages_are_counted_by_slurms_names():
    found = {entry.name: (entry.number, entry.calls, entry.total) for entry in counts(FIGURES["calls"])}
    assert found == {
        "REQUEST_PING": (1008, 1, 37), "REQUEST_JOB_INFO_SINGLE": (2021, 5, 204), "REQUEST_UPDATE_JOB": (3001, 3, 90),
        "NOVEL": (9999, 1, 9),
    }  # fmt: skip
    assert {entry.name for entry in counts(FIGURES["calls"], database=True)} == {"DBD_GET_JOBS_COND", "DBD_GET_USERS"}


def test_sections_of_sdiag():
    shown = out_of("sdiag")
    assert shown[1].startswith("sdiag output at ")
    assert shown[11:16] == [
        "Jobs submitted: 9", "Jobs started:   8", "Jobs completed: 7", "Jobs canceled:  1", "Jobs failed:    0",
    ]  # fmt: skip
    assert "\tMean cycle:   32" in shown
    assert "\tEnd of job queue: 2" in shown
    assert not [line for line in shown if line.startswith("\tMean cycle: ") and not line.startswith("\tMean cycle:  ")]
    assert "\tREQUEST_JOB_INFO_SINGLE                 ( 2021) count:5      ave_time:40     total_time:204" in shown
    assert "\talice           (    2001) count:8      ave_time:25     total_time:200" in shown
    assert shown[-2:] == ["Pending RPC statistics", "\tNo pending RPCs"]


@pytest.mark.parametrize(
    "option, first", [("", "REQUEST_JOB_INFO_SINGLE"), ("-i", "REQUEST_PING"), ("-t", "REQUEST_JOB_INFO_SINGLE"),
                      ("-T", "REQUEST_JOB_INFO_SINGLE")],
)  # fmt: skip
def test_orders_of_messages(option, first):
    shown = out_of(f"sdiag {option}")
    assert shown[shown.index("Remote Procedure Call statistics by message type") + 1].split()[0] == first


def test_a_reset_is_an_operators():
    assert out_of("sdiag -r") == ["Reset scheduling statistics"]

    class Refusing(Accounting):
        def call(self, name, **args):
            raise SlurmError(ACCESS_DENIED)

    assert run("sdiag -r", Refusing()) == ("", "slurm_reset_statistics: Access/permission denied\n", sdiag.REFUSED)


def test_statistics_as_a_document():
    statistics = json.loads("\n".join(out_of("sdiag --json")))["statistics"]
    assert statistics["jobs_submitted"] == 9
    assert statistics["schedule_cycle_mean"] == 32
    assert statistics["rpcs_by_message_type"][0]["message_type"] == "REQUEST_PING"
    assert statistics["rpcs_by_user"][1] == {
        "user_id": 2001, "user": "alice", "count": 8, "total_time": 200,
        "average_time": {"set": True, "infinite": False, "number": 25},
    }  # fmt: skip


@pytest.mark.parametrize("command", ["sshare", "sprio", "sdiag", "sacctmgr", "sreport"])
def test_versions_helps_and_usages(command):
    assert out_of(f"{command} -V") == out_of(f"{command} --version") == ["slurm-wlm 26.05.5"]
    assert out_of(f"{command} --help")
    assert out_of(f"{command} --usage")
    out, err, code = run(f"{command} --bogus", Accounting())
    wanted = f"{command}: unrecognized option '--bogus'\nTry \"{command} --help\" for more information\n"
    assert (out, err, code) == ("", wanted, 1)


@pytest.mark.parametrize(
    "line, told",
    [
        ("bogus", "invalid keyword: bogus"),
        ("user bogus", "Not valid report bogus"),
    ],
)
def test_reports_are_refused_by_name(line, told):
    _, err, code = run(f"sreport {line}", Accounting())
    assert (err.splitlines()[0], code) == (told, 1)
