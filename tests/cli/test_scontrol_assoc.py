"""scontrol show assoc_mgr: the recorded text of 26.05, and how its words are read."""

import sys
from pathlib import Path

import pytest

from slurm_compat.cli.scontrol_assoc import document, show_assoc_mgr
from slurm_compat.cli.scontrol_session import Session
from slurm_compat.controller import assocmgr
from slurm_compat.controller.caller import Caller
from slurm_compat.core.bookargs import AssocMgr

sys.path.insert(0, str(Path(__file__).parents[1] / "controller"))
from test_controller_life import PlayedSession, play

sys.path.pop(0)

HERE = Path(__file__).parent
ROOT = Caller(0, 0, "root", "root", True, True)
UIDS = {"alice": 2001, "bob": 2002, "root": 0}


def shown(tmp_path, monkeypatch, caller=ROOT, then=None, private="", **asked):
    monkeypatch.setattr(assocmgr, "uid_of", UIDS.__getitem__)

    async def story(world):
        world.controller.conf.private_data = private
        if then is not None:
            await then(world)
        return assocmgr.show(world.controller, PlayedSession(caller), AssocMgr(**asked))

    return play(tmp_path, story)


def test_a_cluster_without_limits_and_jobs_as_recorded(tmp_path, monkeypatch):
    found = document(shown(tmp_path, monkeypatch), False)
    # numbers of users' associations follow the order in which they were added
    recorded = (HERE / "recorded_assoc_mgr.txt").read_text().splitlines()
    assert [line.partition(" ID=")[0] for line in found] == [line.partition(" ID=")[0] for line in recorded]


async def three_jobs(world):
    conf = world.controller.conf
    conf.scheduler_parameters = ""  # each goes at once
    next(account for account in conf.accounts if account.name == "project1").grp_tres = "cpu=2"
    next(qos for qos in conf.qos if qos.name == "normal").max_tres_per_user = "mem=4G"
    for tasks in (2, 1, 3):
        await world.submit(tasks=tasks)


def test_limits_and_what_counts_against_them(tmp_path, monkeypatch):
    found = shown(tmp_path, monkeypatch, then=three_jobs, accounts=["project1"], qos=["normal"])
    lines = document(found, False)
    assert "    GrpJobs=N(1) GrpJobsAccrue=N(2)" in lines and "    GrpSubmitJobs=N(3) GrpWall=N(0.00)" in lines
    assert any(line.startswith("    GrpTRES=cpu=2(2),mem=N(1000),energy=N(0),node=N(1),") for line in lines)
    assert any("GrpTRESRunMins=cpu=N(8589934590),mem=N(4294967295000),energy=N(0)," in line for line in lines)
    assert "      project1" in lines and "      alice(2001)" in lines
    assert any(line.startswith("        MaxTRESPU=cpu=N(2),mem=4096(1000),") for line in lines)
    one = document(found, True)
    assert one[0] == "Current Association Manager state" and one[1] == "User Records" and "" not in one


@pytest.mark.parametrize(
    "private, users, associations",
    [
        ("", 3, 8),
        ("usage", 3, 1),
        ("users", 1, 8),
        ("jobs", 3, 8),
    ],
)
def test_what_bob_sees(tmp_path, monkeypatch, private, users, associations):
    bob = Caller(2002, 2002, "bob", "bob", False, False)
    found = shown(tmp_path, monkeypatch, bob, private=private)
    assert (len(found["users"]), len(found["associations"])) == (users, associations)


class Answers:
    def __init__(self):
        self.asked = {}
        self.errors = []
        self.stdout = self
        self.controller = self

    def call(self, name, **args):
        self.asked = args
        return {"tres": [], "users": []}

    def err(self, text):
        self.errors.append(text)

    def write(self, text):
        self.text = text


@pytest.mark.parametrize(
    "words, asked, good, told",
    [
        ([], {}, True, []),
        (["users=alice,bob"], {"users": ["alice", "bob"]}, True, []),
        (["user=alice", "flags=users,qos"], {"users": ["alice"], "kinds": ["users", "qos"]}, True, []),
        (["account=a", "qos=b", "flags=Assoc"],
         {"accounts": ["a"], "qos": ["b"], "kinds": ["associations"]}, True, []),
        (["flags="], {}, True, []),
        (["foo=1"], {}, False, ["invalid entity: foo=1 for keyword:show assoc_mgr"]),
        (["bogus"], {}, False, ["invalid entity: bogus for keyword:show assoc_mgr"]),
        (["flags=foo"], {}, True, ["invalid flag 'foo', valid options are 'Assoc, QOS, and/or Users'"]),
    ],
)  # fmt: skip
def test_how_its_words_are_read(words, asked, good, told):
    ctx = Answers()
    assert show_assoc_mgr(Session(ctx), words) is good
    assert (ctx.asked, ctx.errors) == (asked, told)
    if good and not told:
        assert ctx.text == "Current Association Manager state\n\nNo users currently cached in Slurm.\n\n"
