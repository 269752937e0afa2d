"""sacctmgr's changing verbs against what the real one said and did; the accounting book is the real one, in memory."""

import json
import pwd
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from slurm_compat.cli import jsondoc, sacctmgr_settings
from slurm_compat.controller.bookwork import LiveJob

sys.path.insert(0, str(Path(__file__).parent))
from bookkeeping import UIDS, BookKeeping
from fakecontroller import run

sys.path.pop(0)

SCENARIOS = yaml.load(
    (Path(__file__).parent / "recorded_sacctmgr.yaml").read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
)
KNOWN = ["root", "alice", "bob", "daemon", "bin", "sys", "games", "man", "lp", "mail", "news", "uucp", "proxy"]


@pytest.fixture(autouse=True)
def the_recorded_users(monkeypatch):
    names = {uid: name for name, uid in UIDS.items()}

    def by_name(name):
        if name not in KNOWN:
            raise KeyError(name)
        return pwd.struct_passwd((name, "x", UIDS.get(name, 5), 0, "", "/", "/bin/sh"))

    monkeypatch.setattr(jsondoc, "user_name", lambda uid: names.get(uid, str(uid)))
    monkeypatch.setattr(sacctmgr_settings.pwd, "getpwnam", by_name)


def told(controller, user, line, stdin=""):
    controller.user = user
    return run(shlex.split(line), controller, uid=UIDS[user], stdin=stdin)


@pytest.mark.parametrize("name", SCENARIOS)
def test_recorded_changes(name):
    controller = BookKeeping()
    differing = []
    for step in SCENARIOS[name]:
        if "jobs" in step:
            controller.live[:] = [LiveJob(*job) for job in step["jobs"]]
            continue
        said = told(controller, step["user"], step["argv"], step.get("stdin", ""))
        wanted = (step["out"], step.get("err", ""), step.get("rc", 0))
        if said != wanted and "differs" not in step:
            differing.append((step["argv"], said, wanted))
    assert not differing


# what the records don't have


def done(controller, line, user="root", stdin=""):
    out, err, code = told(controller, user, f"sacctmgr -i {line}", stdin)
    assert (err, code) == ("", 0), out
    return out


def shown(controller, line, user="root"):
    out, err, code = told(controller, user, f"sacctmgr -nP list {line}")
    assert (err, code) == ("", 0)
    return out.splitlines()


def test_transactions_tell_who_changed_what():
    controller = BookKeeping()
    done(controller, "add account chem fairshare=3")
    done(controller, "modify user alice set defaultaccount=project2", user="alice")
    done(controller, "delete user bob")
    rows = shown(controller, "transactions format=action,actor,where,info")
    assert rows[0] == "Add Accounts|root|chem|description='chem', organization='chem', flags='0'"
    assert "Modify Users|alice|(name='alice')|default_account='project2'" in rows
    assert rows[-1] == "Remove Users|root|name in('bob')|"
    assert shown(controller, "transactions actor=alice format=action") == ["Modify Users"]
    assert shown(controller, "transactions action='Remove Users' format=where") == ["name in('bob')"]
    _, err, code = told(controller, "root", "sacctmgr list transactions action=modifyusers")
    assert (err, code) == ("sacctmgr: error: You gave a bad action 'modifyusers'.\n", 1)


def test_problems_are_accounts_without_users_and_users_without_uid():
    controller = BookKeeping()
    done(controller, "add account empty")
    done(controller, "add user ghost account=project1")
    assert shown(controller, "problem") == ["oracle|empty||Account has no users", "||ghost|User does not have a uid"]
    _, err, code = told(controller, "alice", "sacctmgr list problem")
    assert (err.splitlines()[-1], code) == (" Error with request: Access/permission denied", 1)


def test_a_session_answers_its_own_questions():
    out, err, code = told(BookKeeping(), "root", "sacctmgr -n", "add account chem\ny\nlist account chem\nexit\n")
    assert (err, code) == ("", 0)
    assert out.splitlines()[-2:] == ["      chem                 chem                 chem ", "sacctmgr: exit"]


# files


FILE = """\
QOS - 'normal':Description='Normal QOS default':Priority=3:MaxWallDurationPerJob=60
QOS - 'fresh':Description='fresh one':Priority=7:MaxTRESPerUser=cpu=3:Flags='DenyOnLimit':PreemptExemptTime=300
Cluster - 'oracle':Fairshare=1:QOS='normal':MaxJobs=40
Parent - 'root'
Account - 'project1':Description='changed: desc':Fairshare=11:GrpTRES=cpu=9,mem=1G:QOS='normal,high'
Account - 'newacc':Organization='neworg':Fairshare=parent:QOS='fresh,normal':DefaultQOS='fresh'
Parent - 'project1'
User - 'alice':DefaultAccount='project2':Fairshare=5:MaxJobs=2:AdminLevel='Operator'
Parent - 'newacc'
Account - 'subacc'
User - 'sys':DefaultAccount='newacc':AdminLevel='Operator':Coordinator='newacc':WCKeys='a,b':DefaultWCKey='a'
Parent - 'subacc'
User - 'sys':Partition='debug':MaxWallDurationPerJob=30
"""


@pytest.fixture
def loaded(tmp_path):
    controller = BookKeeping()
    (tmp_path / "in.cfg").write_text(FILE)
    out, err, code = told(controller, "root", f"sacctmgr -i load {tmp_path}/in.cfg")
    assert code == 0
    assert err.startswith("sacctmgr: Done adding cluster in usec=")
    return controller, out


def test_a_file_adds_and_changes(loaded):
    controller, out = loaded
    assert " Changed MaxWallDurationPerJob for QOS     normal     4294967295 -> 60\n" in out
    assert " Changed fairshare             for Account project1         10 -> 11\n" in out
    assert " Changed GrpTRES               for Account project1     (null) -> 1=9,2=1024\n" in out
    assert " Added QOS                     for Account project1   high,normal\n" in out
    assert " Changed Default Account       for User    alice      project1 -> project2\n" in out
    assert shown(controller, "qos fresh format=priority,maxtrespu,flags,preemptexempttime") == [
        "7|cpu=3|DenyOnLimit|00:05:00"
    ]
    assert shown(controller, "account project1 format=descr") == ["changed: desc"]
    assert shown(controller, "assoc user=sys format=account,partition,maxwall,defaultqos,maxjobs") == [
        "newacc||||fresh|40".replace("||||", "|||"), "subacc|debug|00:30:00|fresh|40",
    ]  # fmt: skip
    assert shown(controller, "user sys withcoord format=user,defaultaccount,admin,defaultwckey,coord") == [
        "sys|newacc|Operator|a|newacc,subacc"
    ]


def test_a_dump_loads_as_nothing_new(loaded, tmp_path):
    controller, _ = loaded
    assert told(controller, "root", f"sacctmgr dump oracle file={tmp_path}/out.cfg")[2] == 0
    text = (tmp_path / "out.cfg").read_text()
    assert "Account - 'newacc':Description='newacc':Organization='neworg':DefaultQOS='fresh':Fairshare=parent" in text
    assert "User - 'sys':Partition='debug':DefaultAccount='newacc'" in text
    out, err, code = told(controller, "root", f"sacctmgr -i load {tmp_path}/out.cfg")
    assert (out, err, code) == ("For cluster oracle\n Nothing new added.\n", "", 0)


def test_a_dump_makes_the_same_elsewhere(loaded, tmp_path):
    controller, _ = loaded
    told(controller, "root", f"sacctmgr dump oracle file={tmp_path}/out.cfg")
    other = BookKeeping()
    assert told(other, "root", f"sacctmgr -i load {tmp_path}/out.cfg clean")[2] == 0
    columns = "assoc format=account,user,partition,lineage,share,maxjobs,grptres,maxwall,qos,defaultqos"
    assert shown(other, columns) == shown(controller, columns)
    assert shown(other, "user withcoord") == shown(controller, "user withcoord")


@pytest.mark.parametrize(
    "text, said",
    [
        ("Cluster - 'oracle'\nParent - 'nosuch'\nUser - 'bob'\n",
         " line(2) You need to add this parent (nosuch) as a child before you can add children to it."),
        ("Cluster - 'oracle'\nParent - 'root'\nAccount - 'x':Bogus=3\n", " Unknown option: Bogus=3"),
        ("Cluster - 'oracle'\nParent - 'root'\nAccount - 'x':QOS='nosuch'\n",
         "sacctmgr: error: You gave a bad qos 'nosuch'. Valid QOS's are normal,high,small"),
    ],
)  # fmt: skip
def test_a_file_with_a_mistake_changes_nothing(tmp_path, text, said):
    controller = BookKeeping()
    before = shown(controller, "assoc")
    (tmp_path / "bad.cfg").write_text(text)
    _, err, code = told(controller, "root", f"sacctmgr -i load {tmp_path}/bad.cfg")
    assert (err.splitlines()[0], code) == (said, 1)
    assert shown(controller, "assoc") == before


def test_files_are_an_administrators(tmp_path):
    for line, said in (("dump oracle", "dump clusters"), ("load x", "load files")):
        _, err, code = told(BookKeeping(), "bob", f"sacctmgr {line}")
        assert (err, code) == (f" Your user does not have sufficient privileges to {said}.\n", 1)


# documents


def test_documents_have_the_limits():
    controller = BookKeeping()
    done(controller, "add account full fairshare=parent grpjobs=10 grptres=cpu=4,gres/gpu=2 maxwall=2-0 maxjobs=4")
    done(
        controller, "add qos slow grace=30 maxtrespa=cpu=6 grpwall=60 preempt=small preemptmode=cancel usagefactor=0.5"
    )
    (full,) = json.loads(done(controller, "--json list assoc account=full"))["associations"]
    assert full["max"]["jobs"]["per"]["count"] == {"set": True, "infinite": False, "number": 10}
    assert full["max"]["jobs"]["per"]["wall_clock"]["number"] == 2880
    assert full["max"]["tres"]["total"] == [
        {"type": "cpu", "name": "", "id": 1, "count": 4}, {"type": "gres", "name": "gpu", "id": 1001, "count": 2},
    ]  # fmt: skip
    assert full["shares_raw"] == 0x7FFFFFFF
    (slow,) = json.loads(done(controller, "--json list qos slow"))["qos"]
    assert slow["limits"]["grace_time"] == 30
    assert slow["limits"]["max"]["wall_clock"]["per"]["qos"]["number"] == 60
    assert (slow["preempt"]["list"], slow["preempt"]["mode"]) == (["small"], ["CANCEL"])
    assert slow["usage_factor"]["number"] == 0.5


SURE = (
    "You didn't set any conditions with 'WHERE'.\n"
    "Are you sure you want to continue? (You have 30 seconds to decide)\n(N/y): \n"
)


@pytest.mark.parametrize("what", ["user", "account", "qos", "cluster", "user where"])
def test_who_names_nobody_is_asked_first(what):
    controller = BookKeeping()
    key = "priority" if what == "qos" else "fairshare"
    out, err, code = told(controller, "root", f"sacctmgr modify {what} set {key}=3", "n")
    assert (out, err, code) == (SURE + "Aborted\n", "", 0)
    assert told(controller, "root", f"sacctmgr modify {what} set {key}=3", "yn")[0].startswith(SURE + " ")
    assert SURE not in told(controller, "root", f"sacctmgr -i modify {what} set {key}=3", "")[0]


@pytest.mark.parametrize(
    "line, lines",
    [
        ("user alice account=chem foo=3 bar=4", [" Unknown option: foo=3", " Unknown option: bar=4"]),
        ("account x foo=3", [" Unknown option: foo=3", " Use keyword 'where' to modify condition"]),
        ("coordinator x foo=3", [" Unknown condition: foo=3", " Use keyword 'set' to modify value"]),
    ],
)
def test_words_an_add_has_no_meaning_for(line, lines):
    out, err, code = told(BookKeeping(), "root", f"sacctmgr -i add {line}")
    assert ((out + err).splitlines(), code) == (lines, 1)
