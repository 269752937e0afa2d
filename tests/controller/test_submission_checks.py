"""What is refused, in which words, and what is made of the rest."""

from pathlib import Path

import pytest
import yaml

from slurm_compat.controller import openlimits, pending
from slurm_compat.controller.submission import check
from slurm_compat.core import errors
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import UNLIMITED, Depend, JobRequest
from tests.controller.reference import ALICE, BOB, NOW, ROOT_USER, job, reference_cluster

HERE = Path(__file__).parent
REFUSALS = yaml.safe_load((HERE / "recorded_refusals.yaml").read_text())
REASONS = yaml.safe_load((HERE / "recorded_reasons.yaml").read_text())
CLUSTER = reference_cluster()
# those that sbatch itself refuses, without its words about the submission
BARE = (errors.INVALID_GRES, errors.INVALID_GRES_TYPE)


def said(refusal: SlurmError) -> list[str]:
    lead = "" if refusal.number in BARE else "Batch job submission failed: "
    return [*refusal.notes, lead + refusal.text]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case["asked"])
def test_refused_as_slurm_refuses(case):
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(**case["request"]), ALICE, CLUSTER, NOW)
    assert said(refusal.value) == case["says"]


@pytest.mark.parametrize("case", REASONS, ids=lambda case: case["asked"])
def test_accepted_and_waiting_as_slurm_has_it(case):
    found = pending.blocked(job(CLUSTER, **case["request"]), CLUSTER, NOW)
    assert found is not None
    # slurmctld says so at submission, and PartitionNodeLimit from its first round of scheduling on
    assert (found[1] or found[0]).replace("PartitionNodeLimit", "PartitionConfig") == case["reason"]


@pytest.mark.parametrize("asked, number, text", [
    ({"partition": "nosuch"}, 2000, "invalid partition specified: nosuch|Invalid partition name specified"),
    ({"partition": "compute,nosuch"}, 2000, "invalid partition specified: nosuch|Invalid partition name specified"),
    ({"account": "nosuch"}, 2045, "Invalid account or account/partition combination specified"),
    ({"qos": "nosuch"}, 2066, "Invalid qos specification"),
    ({"account": "project2", "qos": "high"}, 2066, "Invalid qos specification"),
    ({"qos": "small", "tasks": 3}, 2050,
     "QOSMaxCpuPerUserLimit|Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"),
    ({"constraints": "nosuch"}, 2029, "Invalid feature specification"),
    ({"constraints": "skylake&rome"}, 2014, "Requested node configuration is not available"),
    ({"required_nodes": "node09"}, 2018, "Invalid node name specified"),
    ({"excluded_nodes": "node01,node09"}, 2018, "Invalid node name specified"),
    ({"gres": "gpu:9"}, 2014, "Requested node configuration is not available"),
    ({"gres": "fpga:1"}, 2072, "Invalid generic resource (gres) specification"),
    ({"licenses": "nosuch:1"}, 2048, "Invalid license specification"),
    ({"licenses": "matlab:99"}, 2048, "Invalid license specification"),
    ({"reservation": "nosuch"}, 2053, "Requested reservation is invalid"),
    ({"nice": -100}, 2123, "Invalid --nice value"),
    ({"array": "4-1"}, 2081, "Invalid job array specification"),
    ({"array": "1-99999"}, 2081, "Invalid job array specification"),
    ({"time_limit": 10, "time_minimum": 20}, 2124,
     "Invalid time-min specification (exceeds job's time or other limits)"),
    ({"dependency": "foo:1"}, 2038, "Job dependency problem"),
    ({"minimum_nodes": 0, "maximum_nodes": 0}, 2006, "Node count specification invalid"),
    ({"memory_per_node": 100 * 1024}, 2014,
     "Memory specification can not be satisfied|Requested node configuration is not available"),
    ({"deadline": NOW + 60, "time_limit": 5}, 2051, "Requested time limit is invalid (missing or exceeds some limit)"),
    ({"reboot": True}, 2002, "rebooting of nodes is only allowed for admins|Access/permission denied"),
    ({"deadline": NOW + 30, "time_minimum": 1}, 2124,
     "Invalid time-min specification (exceeds job's time or other limits)"),
    ({"deadline": NOW + 30, "partition": "debug"}, 2051,
     "Requested time limit is invalid (missing or exceeds some limit)"),
    ({"deadline": NOW - 9}, 2051, "Requested time limit is invalid (missing or exceeds some limit)"),
    ({"container": "/x"}, 2036, "--container is not supported here; start the container in the job's script"),
])  # fmt: skip
def test_refusals(asked, number, text):
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(**asked), ALICE, CLUSTER, NOW)
    assert (refusal.value.number, "|".join([*refusal.value.notes, refusal.value.text])) == (number, text)


def test_defaults_of_a_plain_job():
    accepted = check(JobRequest(), ALICE, CLUSTER, NOW)
    assert (accepted.partition, accepted.account, accepted.qos) == ("compute", "project1", "normal")
    assert (accepted.time_limit, accepted.time_minimum, accepted.nice) == (UNLIMITED, None, 0)
    assert accepted.tres_req_str == "cpu=1,mem=500M,node=1,billing=1"
    assert check(JobRequest(), BOB, CLUSTER, NOW).account == "project2"


@pytest.mark.parametrize("asked, limit", [
    ({"partition": "debug"}, 30), ({"partition": "gpu"}, 7 * 1440), ({"partition": "debug", "time_limit": 180}, 180),
])  # fmt: skip
def test_time_limits_come_from_the_partition(asked, limit):
    assert check(JobRequest(**asked), ALICE, CLUSTER, NOW).time_limit == limit


# observed on 26.05, without --time: held ones show the first partition's, others that of the one named last
@pytest.mark.parametrize("partitions, held, limit", [
    ("compute,debug", True, UNLIMITED), ("compute,debug", False, 120), ("compute,gpu,debug", False, 120),
    ("gpu,compute", False, UNLIMITED), ("gpu,debug,compute", True, 7 * 1440), ("debug,compute", False, 30),
])  # fmt: skip
def test_a_limit_nobody_asked_for_is_open_among_several_partitions(partitions, held, limit):
    assert check(JobRequest(partition=partitions, hold=held), ALICE, CLUSTER, NOW).time_limit == limit


@pytest.mark.parametrize("partitions, started_in, limit", [
    ("gpu,debug", "debug", 120), ("gpu,compute", "compute", UNLIMITED), ("debug,gpu", "gpu", 30),
    ("debug,compute", "compute", 30),
])  # fmt: skip
def test_an_open_limit_is_that_of_the_partition_the_job_starts_in(partitions, started_in, limit):
    waiting = job(CLUSTER, partition=partitions)
    waiting.partition = started_in
    assert openlimits.at_start(waiting, partitions, CLUSTER) == limit


# observed on 26.05: too long for a partition waits, but not where no node could do, and one partition's nodes count
@pytest.mark.parametrize("asked", [
    {"partition": "compute,debug,gpu", "tasks": 12, "minimum_nodes": 1, "maximum_nodes": 1},
    {"partition": "debug,compute", "tasks": 12, "minimum_nodes": 1, "maximum_nodes": 1, "time_limit": 180},
    {"partition": "gpu,debug", "required_nodes": "node03"},
    {"partition": "gpu,debug", "required_nodes": "node01,node04"},
    {"partition": "debug", "constraints": "gpu", "time_limit": 180},
])  # fmt: skip
def test_no_partitions_nodes_could_take_it(asked):
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(**asked), ALICE, CLUSTER, NOW)
    assert refusal.value.number == errors.REQUESTED_NODE_CONFIG_UNAVAILABLE


@pytest.mark.parametrize("asked, reason", [
    ({"partition": "debug", "tasks": 12, "minimum_nodes": 1, "maximum_nodes": 1, "time_limit": 180}, "PartitionConfig"),
    ({"partition": "debug,gpu", "time_limit": 8 * 1440}, "PartitionTimeLimit"),
    ({"partition": "gpu,debug", "minimum_nodes": 3}, "PartitionNodeLimit"),
])  # fmt: skip
def test_what_is_too_much_for_all_partitions_waits(asked, reason):
    assert pending.blocked(job(CLUSTER, **asked), CLUSTER, NOW) == (reason, "")


def test_a_held_job_is_not_judged_by_the_nodes():
    assert check(JobRequest(hold=True, memory_per_node=1 << 20), ALICE, CLUSTER, NOW).shape.members == []
    assert check(JobRequest(priority=0), ALICE, CLUSTER, NOW).hold


def test_names_of_accounts_and_qos_come_in_any_case():
    accepted = check(JobRequest(account="PROJECT1", qos="High"), ALICE, CLUSTER, NOW)
    assert (accepted.account, accepted.qos) == ("project1", "high")


def test_operators_may_ask_for_negative_nice():
    assert check(JobRequest(nice=-5), ROOT_USER, CLUSTER, NOW).nice == -5


def test_arrays_stay_ranges():
    accepted = check(JobRequest(array="1-20000%7"), ALICE, CLUSTER, NOW)
    assert (accepted.array_ids, accepted.throttle) == ([(1, 20000, 1)], 7)


class Usage:
    def __init__(self, known=()):
        self._known = known

    def known(self, job_id, task_id=None):
        return job_id in self._known


def test_dependencies_are_checked_against_the_jobs_there_are():
    accepted = check(JobRequest(dependency="afterok:7"), ALICE, CLUSTER, NOW, Usage({7}))
    assert accepted.dependency == [Depend("afterok", 7)]
    with pytest.raises(SlurmError):
        check(JobRequest(dependency="afterok:999999"), ALICE, CLUSTER, NOW, Usage())


def test_one_job_too_many():
    cluster = reference_cluster()
    next(qos for qos in cluster.conf.qos if qos.name == "normal").max_submit_jobs_per_user = 5
    check(JobRequest(array="1-5"), ALICE, cluster, NOW, Usage())
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(array="1-6"), ALICE, cluster, NOW, Usage())
    assert refusal.value.notes == ["QOSMaxSubmitJobPerUserLimit"]


@pytest.mark.parametrize("asked", [
    {"minimum_nodes": 9, "maximum_nodes": 9}, {"required_nodes": "node05"}, {"tasks": 100},
])  # fmt: skip
def test_when_would_it_start_refuses_what_could_only_wait(asked):
    check(JobRequest(**asked), ALICE, CLUSTER, NOW)
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(**asked), ALICE, CLUSTER, NOW, will_run=True)
    assert refusal.value.text == "Requested node configuration is not available"


@pytest.mark.parametrize("change, number", [
    ({"state": "DRAIN"}, 2070), ({"state": "INACTIVE"}, 2070), ({"root_only": True}, 2002), ({"state": "DOWN"}, 0),
    ({"allow_accounts": "project2"}, 0),
])  # fmt: skip
def test_states_of_a_partition(change, number):
    cluster = reference_cluster()
    cluster.update_partition("debug", change)
    if not number:
        check(JobRequest(partition="debug"), ALICE, cluster, NOW)
        return
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(partition="debug"), ALICE, cluster, NOW)
    assert refusal.value.number == number
