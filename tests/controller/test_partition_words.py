"""scontrol's words about partitions and nodes, as recorded, and what partitions do to jobs."""

import io
import shlex
from pathlib import Path

import pytest
import yaml

from slurm_compat.cli import main as commands
from slurm_compat.cli.context import Context
from slurm_compat.controller import pending
from slurm_compat.core.errors import SlurmError
from tests.controller.reference import ALICE, NOW, job, reference_cluster

RECORDED = yaml.safe_load((Path(__file__).parent / "recorded_partitions.yaml").read_text())


class Answers:
    """The controller's answers about nodes and partitions, without a controller."""

    def __init__(self):
        self.cluster = reference_cluster()

    def call(self, _call, /, **args):
        changes = dict(args["changes"])
        if _call == "update_node":
            self.cluster.update_node(args["names"], changes, "root", NOW)
        elif changes.pop("create", False):
            self.cluster.create_partition(args["name"], changes)
        elif changes.pop("delete", False):
            self.cluster.delete_partition(args["name"])
        else:
            self.cluster.set_partition(args["name"], changes)
        return {}

    def rows(self, _call, /, fields, **args):
        return iter(self.cluster.partition_rows(fields) if _call == "partitions" else self.cluster.node_rows(fields))

    def says(self, line):
        out = io.StringIO()
        ctx = Context(
            argv=["scontrol", *shlex.split(line)], env={}, cwd="/", stdin=io.StringIO(), stdout=out, stderr=out,
            connect=lambda: self, now=lambda: float(NOW), uid=0, gid=0,
        )  # fmt: skip
        code = commands.run(ctx)
        return out.getvalue() + (f"rc={code}\n" if code else "")


@pytest.fixture
def answers():
    return Answers()


def test_updates_of_a_partition_as_recorded(answers):
    assert answers.says("create partitionname=t nodes=node0[1-2]") == ""
    before = None
    for change, said, shown in RECORDED:
        assert answers.says(f"update partitionname=t {change}") == said, change
        now = answers.says("-o show partition t").removeprefix("PartitionName=t ").rstrip("\n").split(" ")
        found = now if before is None else [token for token in now if token not in before]
        assert " ".join(found) == shown, change
        before = now


@pytest.mark.parametrize("line, said", [
    ("create partitionname=p nodes=nosuch", "Error creating the partition: Invalid node name specified\nrc=1\n"),
    ("create partitionname=p nodes=node01 bogus=1",
     "scontrol: error: Update of this parameter is not supported: bogus=1\n\nscontrol: error: Request aborted\nrc=1\n"),
    ("create partitionname=p nodes=node01 allowqos=nosuch",
     "Error creating the partition: Invalid qos specification\nrc=1\n"),
    ("create partition p nodes=node01", "scontrol: error: Invalid input: partition  Request aborted\nrc=1\n"),
    ("create partitionname=debug nodes=node01",
     "Error creating the partition: Invalid partition name specified\nrc=1\n"),
    ("update partitionname=debug", "scontrol: error: No changes specified\nrc=1\n"),
    ("update partitionname=debug lln=yes",
     "slurm_update error: LLN: Requested operation not supported on this system; Armada goes by the nodes' order and "
     "room\nrc=1\n"),
    ("update nodename=node01", "No changes specified\nrc=1\n"),
    ("update nodename=node01 word", "scontrol: error: Invalid input: word  Request aborted\nrc=1\n"),
    ("update nodename=node01 weight=abc", "scontrol: error: Invalid value weight=abc for Weight\nrc=1\n"),
    ("update nodename=node01 resumeafter=abc",
     "scontrol: error: Invalid value resumeafter=abc for ResumeAfter\nrc=1\n"),
    ("update nodename=node01 resumeafter=60",
     "You can only specify a resume time when DOWNING or DRAINING a node. Request denied\nrc=1\n"),
    ("update nodename=node02 gres=gpu:2",
     "slurm_update error: Invalid generic resource (gres) specification\nrc=1\n"),
    ("update nodename=node[02,x] comment=y", "scontrol: error: _parse_single_range: Invalid range: `x'\n"
     "slurm_update error: Invalid node name specified\nrc=1\n"),
    ("reboot", "Missing node list. Specify ALL|<NodeList>rc=1\n"),
    ("reboot asap node02",
     "scontrol: error: RebootProgram isn't defined\nscontrol_reboot_nodes error:Unspecified error\nrc=1\n"),
    ("cancel_reboot", "missing argument for keyword:cancel_reboot\nrc=1\n"),
    ("cancel_reboot node02", "slurm_update error: Invalid node state transition\nrc=1\n"),
    ("create nodename=node09",
     "scontrol: error: Only State=FUTURE, CLOUD, or EXTERNAL allowed for nodes created by scontrol\n"
     "Error creating node(s): Invalid node state specified\nrc=1\n"),
    ("create nodename=node09 state=future",
     "scontrol: error: Unable to add node, node table is full (node09)\n"
     "Error creating node(s): Unable to add node, node table is full\nrc=1\n"),
    ("delete nodename=node05",
     "scontrol: error: failed to delete nodes node05\n"
     "delete_node nodename=node05: Invalid node state specified\nrc=1\n"),
    ("delete nodename=nosuch",
     "scontrol: error: failed to delete nodes nosuch\n"
     "delete_node nodename=nosuch: Invalid node name specified\nrc=1\n"),
])  # fmt: skip
def test_refusals_as_recorded(answers, line, said):
    if "[02,x]" in line:  # the words about the range are of a library of Slurm's own
        said = said.partition("\n")[2]
    assert answers.says(line) == said


def test_a_node_of_the_future_is_not_there_until_it_is_resumed(answers):
    assert answers.says("update nodename=node03 state=future") == ""
    assert answers.says("show node node03") == "Node node03 not found\nrc=1\n"
    assert "State=FUTURE" in answers.says("-F show node node03")
    assert not answers.cluster.nodes["node03"].available
    assert answers.says("update nodename=node03 state=resume") == ""
    assert answers.cluster.nodes["node03"].available


def test_a_node_comes_back_by_itself(answers):
    answers.says("update nodename=node03 state=drain reason=x resumeafter=60")
    node = answers.cluster.nodes["node03"]
    assert (node.resume_after, node.available) == (NOW + 60, False)
    answers.says("update nodename=node03 state=resume")
    assert node.resume_after == 0


@pytest.mark.parametrize("changes, asked, number", [
    ({"require_reservation": True}, {}, 2002), ({"state": "DRAIN"}, {}, 2070), ({"root_only": True}, {}, 2002),
    ({"allow_alloc_nodes": "login1"}, {"allocating_node": "login2"}, 2002),
    ({"allow_alloc_nodes": "login1"}, {"allocating_node": "login1.site"}, 0),
    ({"state": "DRAIN", "alternate": "compute"}, {}, 0), ({"state": "DRAIN", "alternate": "nosuch"}, {}, 2070),
])  # fmt: skip
def test_whom_a_partition_lets_in(answers, changes, asked, number):
    answers.cluster.set_partition("debug", changes)
    if number:
        with pytest.raises(SlurmError) as refusal:
            job(answers.cluster, partition="debug", **asked)
        assert refusal.value.number == number
    else:
        expected = changes.get("alternate", "debug")
        assert job(answers.cluster, caller=ALICE, partition="debug", **asked).partition == expected


def test_in_an_exclusive_partition_jobs_have_their_nodes_whole(answers):
    plain = job(answers.cluster, partition="debug")
    answers.cluster.set_partition("debug", {"exclusive": "USER"})
    whole = job(answers.cluster, partition="debug")
    assert [member.cpus for member in plain.shape.members] == [1]
    assert [member.cpus for member in whole.shape.members] == [4]


@pytest.mark.parametrize("state, reason", [("DOWN", "PartitionDown"), ("INACTIVE", "PartitionInactive")])
def test_why_jobs_wait_in_a_closed_partition(answers, state, reason):
    waiting = job(answers.cluster, partition="debug")
    answers.cluster.set_partition("debug", {"state": state})
    assert pending.blocked(waiting, answers.cluster, NOW) == (reason, "")
