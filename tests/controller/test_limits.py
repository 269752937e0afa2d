"""Limits of associations, accounts and QOS: who waits for which, and what is refused. Texts as recorded of 26.05."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_compat.controller.fits import limit_reason
from slurm_compat.controller.limitchecks import Wanted
from slurm_compat.controller.limiter import Limiter
from slurm_compat.controller.limitrules import Owner
from slurm_compat.controller.submission import check
from slurm_compat.controller.tally import Tally
from slurm_compat.core import tres
from slurm_compat.core.cluster import cluster_conf
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import UNLIMITED, JobRequest
from slurm_compat.store.changes import Change
from slurm_compat.translators.shapes import Member, Shape

sys.path.insert(0, str(Path(__file__).parent))
import jobsmade as made
from reference import ALICE, reference_cluster

sys.path.pop(0)

NOW = 1_000_000


def conf(account=None, above=None, user=None, qos=None, enforce="limits", part=None):
    return cluster_conf(
        {
            "AccountingStorageEnforce": enforce,
            "Accounts": [
                {"Name": "division", **(above or {})},
                {"Name": "team", "Parent": "division", **(account or {})},
                {"Name": "other", "Parent": "division"},
            ],
            "Users": [
                {"Name": "alice", "Account": "team", **(user or {})},
                {"Name": "bob", "Account": "team"},
                {"Name": "bob", "Account": "other"},
            ],
            "QOS": [{"Name": "normal", **(qos or {})}, {"Name": "parts", **(part or {})}],
        }
    )


def limiter(live=(), part=None, **limits):
    file = conf(part=part, **limits)
    found = Limiter(lambda: file, lambda name: "parts" if part is not None else "")
    found.now = lambda: NOW
    for job in live:
        found.tally.place(job)
    return found


def job(job_id, user=(1000, "alice"), account="team", **changes):
    values = {"tres_req_str": "cpu=2,mem=100M,node=1,billing=2", "time_limit": 10, "qos": "normal"}
    values |= {"user_id": user[0], "user_name": user[1], "account": account, "eligible_time": 1, "accrue_time": 1}
    return made.job(job_id, **values | changes)


def running(job_id, **changes):
    values = {"state": "RUNNING", "start_time": NOW, "nodes": f"node{job_id:02d}"}
    return job(job_id, tres_alloc_str="cpu=2,mem=100M,node=1,billing=2", **values | changes)


BOB = (1001, "bob")
MINE, BOBS, OTHERS = running(1), running(2, user=BOB), running(3, user=BOB, account="other")


@pytest.mark.parametrize(
    "limits, live, want",
    [
        ({"user": {"MaxJobs": 1}}, [MINE], "AssocMaxJobsLimit"),
        ({"user": {"MaxJobs": 1}}, [job(1, staged=True)], "AssocMaxJobsLimit"),
        ({"user": {"MaxJobs": 1}}, [BOBS], ""),
        ({"user": {"MaxJobs": 2}}, [MINE], ""),
        ({"user": {"MaxJobs": 0}}, [], "AssocMaxJobsLimit"),
        ({"account": {"MaxJobs": 1}}, [MINE], "AssocMaxJobsLimit"),
        ({"account": {"MaxJobs": 1}}, [BOBS], ""),
        ({"above": {"MaxJobs": 1}, "user": {"MaxJobs": 5}}, [MINE], ""),
        ({"account": {"GrpJobs": 1}}, [BOBS], "AssocGrpJobsLimit"),
        ({"account": {"GrpJobs": 1}}, [OTHERS], ""),
        ({"above": {"GrpJobs": 1}}, [OTHERS], "AssocGrpJobsLimit"),
        ({"above": {"GrpTRES": "cpu=3"}}, [OTHERS], "AssocGrpCpuLimit"),
        ({"above": {"GrpTRES": "cpu=4"}}, [OTHERS], ""),
        ({"above": {"GrpTRES": "mem=150"}}, [OTHERS], "AssocGrpMemLimit"),
        ({"above": {"GrpTRES": "billing=3"}}, [OTHERS], "AssocGrpBilling"),
        ({"account": {"GrpTRES": "node=1"}}, [MINE], "AssocGrpNodeLimit"),
        ({"account": {"GrpTRES": "node=2"}}, [MINE, running(5, nodes="node01")], ""),
        ({"account": {"GrpWall": "0"}}, [], "AssocGrpWallLimit"),
        ({"account": {"GrpTRESMins": "cpu=0"}}, [], "AssocGrpCPUMinutesLimit"),
        ({"account": {"GrpTRESMins": "cpu=10"}}, [], ""),
        ({"account": {"GrpTRESMins": "cpu=10"}, "enforce": "limits,safe"}, [], "AssocGrpCPUMinutesLimit"),
        ({"account": {"GrpTRESMins": "cpu=20"}, "enforce": "limits,safe"}, [], ""),
        ({"account": {"GrpTRESMins": "cpu=20"}, "enforce": "limits,safe"}, [MINE], "AssocGrpCPUMinutesLimit"),
        ({"account": {"GrpTRESRunMins": "cpu=39"}}, [MINE], "AssocGrpCPURunMinutesLimit"),
        ({"account": {"GrpTRESRunMins": "cpu=40"}}, [MINE], ""),
        ({"account": {"GrpTRESRunMins": "cpu=30"}}, [running(1, start_time=NOW - 300)], ""),
        ({"user": {"MaxTRES": "cpu=1"}}, [], "AssocMaxCpuPerJobLimit"),
        ({"user": {"MaxTRES": "mem=50"}}, [], "AssocMaxMemPerJob"),
        ({"user": {"MaxTRES": "node=0"}}, [], "AssocMaxNodePerJobLimit"),
        ({"user": {"MaxTRESPerNode": "cpu=1"}}, [], "AssocMaxCpuPerNode"),
        ({"user": {"MaxTRESMins": "cpu=19"}}, [], "AssocMaxCpuMinutesPerJobLimit"),
        ({"user": {"MaxWall": "5"}}, [], "AssocMaxWallDurationPerJobLimit"),
        ({"user": {"MaxWall": "10"}}, [], ""),
        ({"qos": {"GrpJobs": 1}}, [OTHERS], "QOSGrpJobsLimit"),
        ({"qos": {"MaxJobsPerUser": 1}}, [MINE], "QOSMaxJobsPerUserLimit"),
        ({"qos": {"MaxJobsPerAccount": 1}}, [BOBS], "MaxJobsPerAccount"),
        ({"qos": {"MaxJobsPerAccount": 1}}, [OTHERS], ""),
        ({"qos": {"GrpTRES": "cpu=3"}}, [OTHERS], "QOSGrpCpuLimit"),
        ({"qos": {"MaxTRESPerUser": "cpu=3"}}, [MINE], "QOSMaxCpuPerUserLimit"),
        ({"qos": {"MaxTRESPerUser": "mem=150"}}, [MINE], "QOSMaxMemoryPerUser"),
        ({"qos": {"MaxTRESPerUser": "node=1"}}, [MINE], "QOSMaxNodePerUserLimit"),
        ({"qos": {"MaxTRESPerAccount": "cpu=3"}}, [BOBS], "MaxCpuPerAccount"),
        ({"qos": {"MaxTRESPerAccount": "mem=150"}}, [BOBS], "MaxMemoryPerAccount"),
        ({"qos": {"MaxTRESPerJob": "cpu=1"}}, [], "QOSMaxCpuPerJobLimit"),
        ({"qos": {"MaxTRESPerJob": "mem=50"}}, [], "QOSMaxMemoryPerJob"),
        ({"qos": {"MaxTRESPerNode": "mem=50"}}, [], "QOSMaxMemoryPerNode"),
        ({"qos": {"MinTRESPerJob": "cpu=3"}}, [], "QOSMinCpuNotSatisfied"),
        ({"qos": {"MaxWall": "5"}}, [], "QOSMaxWallDurationPerJobLimit"),
        ({"qos": {"MaxTRESMinsPerJob": "cpu=19"}}, [], "QOSMaxCpuMinutesPerJobLimit"),
        ({"qos": {"GrpTRESRunMins": "cpu=39"}}, [OTHERS], "QOSGrpCPURunMinutesLimit"),
        ({"qos": {"GrpTRESRunMins": "cpu=60", "UsageFactor": 2.0}}, [OTHERS], ""),
        ({"qos": {"GrpTRESRunMins": "cpu=59", "UsageFactor": 2.0}}, [OTHERS], "QOSGrpCPURunMinutesLimit"),
        ({"qos": {"GrpTRESRunMins": "cpu=79", "UsageFactor": 2.0, "Flags": "UsageFactorSafe"}}, [OTHERS],
         "QOSGrpCPURunMinutesLimit"),
        ({"qos": {"MaxTRESMinsPerJob": "cpu=20", "UsageFactor": 2.0}}, [], ""),
        ({"qos": {"MaxTRESRunMinsPerUser": "cpu=39"}}, [MINE], "MaxCpuRunMinsPerUser"),
        ({"qos": {"MaxTRESRunMinsPerAccount": "cpu=39"}}, [BOBS], "MaxCpuRunMinsPerAccount"),
        ({"qos": {"GrpWall": "0"}}, [], "QOSGrpWallLimit"),
        ({"qos": {"GrpTRESMins": "cpu=0"}}, [], "QOSGrpCPUMinutesLimit"),
        ({"qos": {"MaxWall": "5"}, "enforce": ""}, [], ""),
        # a QOS's limit stands in place of the associations'
        ({"qos": {"GrpJobs": 0}, "account": {"GrpJobs": 0}}, [], "QOSGrpJobsLimit"),
        ({"qos": {"GrpJobs": 5}, "account": {"GrpJobs": 0}}, [], ""),
        ({"qos": {"MaxWall": "20"}, "user": {"MaxWall": "5"}}, [], ""),
        ({"qos": {"MaxJobsPerUser": 9}, "user": {"MaxJobs": 0}}, [], ""),
        ({"qos": {"GrpTRES": "cpu=9"}, "account": {"GrpTRES": "cpu=0,mem=0"}}, [], "AssocGrpMemLimit"),
        # a QOS's LimitFactor raises what groups of associations may have of TRES, not their jobs
        ({"qos": {"LimitFactor": 2.0}, "account": {"GrpTRES": "cpu=2"}}, [MINE], ""),
        ({"qos": {"LimitFactor": 2.0}, "account": {"GrpJobs": 1}}, [MINE], "AssocGrpJobsLimit"),
        # the partition's QOS comes before the job's, unless that is to come first
        ({"qos": {"GrpJobs": 5}, "part": {"GrpJobs": 0}}, [], "QOSGrpJobsLimit"),
        ({"qos": {"GrpJobs": 5, "Flags": "OverPartQOS"}, "part": {"GrpJobs": 0}}, [], ""),
        ({"qos": {"Flags": "OverPartQOS"}, "part": {"GrpJobs": 0}}, [], "QOSGrpJobsLimit"),
        ({"qos": {"GrpJobs": 0}, "part": {"MaxWall": "1:00:00"}}, [], "QOSGrpJobsLimit"),
    ],
)  # fmt: skip
def test_what_a_job_waits_for(limits, live, want):
    shape = Shape(members=[Member(cpus=2, memory_mib=100)])
    assert limiter(live, **limits).waits_for(job(9, shape=shape)) == want


def test_gres_are_all_worded_alike():
    found = limiter(qos={"MaxTRESPerUser": "gres/gpu=1"}, account={"GrpTRES": "gres/gpu=0"})
    assert found.waits_for(job(9, tres_req_str="cpu=1,gres/gpu=2")) == "QOSMaxGRESPerUser"
    assert found.waits_for(job(9, tres_req_str="cpu=1,gres/gpu=1")) == "AssocGrpGRES"


def refused(found, jobs=1, text="cpu=2,mem=100M,node=1", minutes=10, qos="normal"):
    try:
        found.deny(Owner(1000, "alice", "team", qos), Wanted(tres.parse(text), {"cpu": 2}, minutes), jobs)
    except SlurmError as refusal:
        return refusal.notes[0]
    return ""


@pytest.mark.parametrize(
    "limits, jobs, want",
    [
        ({"user": {"MaxSubmitJobs": 3}}, 2, ""),
        ({"user": {"MaxSubmitJobs": 3}}, 3, "AssocMaxSubmitJobLimit"),
        ({"account": {"GrpSubmitJobs": 3}}, 1, "AssocGrpSubmitJobsLimit"),
        ({"above": {"GrpSubmitJobs": 5}}, 1, "AssocGrpSubmitJobsLimit"),
        ({"qos": {"MaxSubmitJobsPerUser": 1}}, 1, "QOSMaxSubmitJobPerUserLimit"),
        ({"qos": {"MaxSubmitJobsPerAccount": 3}}, 1, "MaxSubmitJobsPerAccount"),
        ({"qos": {"GrpSubmitJobs": 5}}, 1, "QOSGrpSubmitJobsLimit"),
        ({"qos": {"GrpSubmitJobs": 6}}, 1, ""),
        ({"qos": {"MaxSubmitJobsPerUser": 9}, "user": {"MaxSubmitJobs": 1}}, 1, ""),
        ({"qos": {"GrpSubmitJobs": 5}}, 0, ""),  # a change of a job there is
        ({"qos": {"GrpSubmitJobs": 5}, "enforce": "associations"}, 1, ""),
    ],
)
def test_how_many_may_be_submitted(limits, jobs, want):
    live = [
        job(1),
        job(2, user=BOB, array_job_id=2, array_ranges=[(0, 1, 1)]),
        OTHERS,
        running(4, user=BOB, account="other"),
    ]
    assert refused(limiter(live, **limits), jobs) == want


DENY = {"Flags": "DenyOnLimit"}


@pytest.mark.parametrize(
    "limits, asked, want",
    [
        ({"qos": {"MaxTRESPerJob": "cpu=1"} | DENY}, {}, "QOSMaxCpuPerJobLimit"),
        ({"qos": {"MaxTRESPerJob": "cpu=1"}}, {}, ""),
        ({"qos": {"MaxWall": "5"} | DENY}, {}, "QOSMaxWallDurationPerJobLimit"),
        ({"qos": {"GrpTRES": "cpu=1", "GrpJobs": 0} | DENY}, {}, "QOSGrpCpuLimit"),
        ({"qos": {"GrpJobs": 0} | DENY}, {}, ""),
        ({"qos": {"MinTRESPerJob": "cpu=3"} | DENY}, {}, "QOSMinCpuNotSatisfied"),
        ({"qos": {"MaxTRESMinsPerJob": "cpu=19"} | DENY}, {}, "QOSMaxCpuMinutesPerJobLimit"),
        ({"qos": {"GrpTRESMins": "cpu=19"} | DENY}, {}, "QOSGrpCPUMinutesLimit"),
        ({"qos": {"MaxTRESPerNode": "cpu=1"} | DENY}, {}, "QOSMaxCpuPerNode"),
        ({"qos": {"MaxTRESPerAccount": "cpu=1"} | DENY}, {}, "MaxCpuPerAccount"),
        ({"qos": DENY, "user": {"GrpTRES": "cpu=1", "MaxTRES": "cpu=1"}}, {}, "AssocGrpCpuLimit"),
        ({"qos": DENY, "user": {"MaxWall": "5"}}, {}, "AssocMaxWallDurationPerJobLimit"),
        ({"qos": DENY, "user": {"MaxWall": "5", "MaxTRESMins": "cpu=10"}}, {}, "AssocMaxCpuMinutesPerJobLimit"),
    ],
)
def test_what_could_never_start_is_refused_with_deny_on_limit(limits, asked, want):
    assert refused(limiter(**limits), **asked) == want


@pytest.mark.parametrize(
    "limits, want",
    [
        ({}, UNLIMITED),
        ({"user": {"MaxWall": "1:00:00"}}, 60),
        ({"qos": {"MaxWall": "2:00:00"}, "user": {"MaxWall": "1:00:00"}}, 120),
        ({"user": {"MaxTRESMins": "cpu=20"}}, UNLIMITED),
        ({"user": {"MaxTRESMins": "cpu=21"}, "qos": DENY}, 10),
    ],
)
def test_who_asks_for_no_time_gets_what_is_allowed(limits, want):
    assert limiter(**limits).longest(Owner(1000, "alice", "team", "normal"), {"cpu": 2}) == want


def test_accounts_in_a_circle_end():
    found = limiter(account={"GrpJobs": 1}, above={"Parent": "team"})
    assert found.waits_for(job(9)) == ""


def test_few_jobs_gain_age_where_few_may():
    found = limiter(user={"MaxJobsAccrue": 1})
    assert found.accrues(job(1, accrue_time=0))
    found.tally.place(job(1))
    assert not found.accrues(job(2, accrue_time=0)) and found.accrues(job(3, user=BOB, accrue_time=0))


def test_a_job_that_was_let_through_no_longer_waits_for_itself():
    mine = job(1, staged=True)
    assert limiter([mine], user={"MaxJobs": 1}).waits_for(mine) == ""


def test_new_limits_count_at_once():
    files = [conf(), conf(user={"MaxJobs": 1}, account={"Parent": "other"})]
    found = Limiter(lambda: files[0], lambda name: "")
    found.tally.place(MINE)
    assert found.waits_for(job(9)) == "" and not found.tally.of(("account", "other")).jobs
    del files[0]
    assert found.waits_for(job(9)) == "AssocMaxJobsLimit" and found.tally.of(("account", "other")).jobs == 1


STATES = st.sampled_from(["PENDING", "staged", "RUNNING", "SUSPENDED", "COMPLETED", "CANCELLED"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), STATES, st.sampled_from(["team", "other"]), st.integers(1, 3)), max_size=40)
)
def test_counters_are_what_a_recount_finds(events):
    """After any changes of any jobs, and whatever became of them in between."""
    kept = limiter()
    last = {}
    for job_id, state, account, number in events:
        staged, state = state == "staged", "PENDING" if state == "staged" else state
        last[job_id] = job(
            job_id, account=account, state=state, staged=staged, start_time=NOW - number,
            nodes="node[1-2]" if number == 2 else "node1", tres_alloc_str=f"cpu={number},node=1",
            array_ranges=[(0, number, 1)] if state == "PENDING" and not staged else [],
        )  # fmt: skip
        kept.tally.place(last[job_id])
    fresh = limiter()
    for each in last.values():
        fresh.tally.place(each)
    assert as_values(kept.tally) == as_values(fresh.tally)
    kept.tally.again()
    assert as_values(kept.tally) == as_values(fresh.tally)
    for job_id in last:
        kept.tally.forget(job_id)
    assert as_values(kept.tally) == {}


def as_values(tally: Tally):
    return {
        bucket: {name: getattr(counts, name) for name in counts.__slots__} for bucket, counts in tally._counts.items()
    }


def test_use_is_kept_over_a_restart_and_fades():
    found = limiter(account={"GrpTRESMins": "cpu=10"}, enforce="limits")
    change = Change()
    over = running(1, state="COMPLETED", start_time=NOW - 360, end_time=NOW)
    found.consumption.ended(over, change)
    assert found.waits_for(job(9)) == "AssocGrpCPUMinutesLimit"  # 2 CPUs for 6 minutes
    rows = {row["name"]: json.loads(row["data"]) for row in change.rows.values()}
    again = limiter(account={"GrpTRESMins": "cpu=10"}, enforce="limits")
    again.consumption.restore(rows)
    assert again.waits_for(job(9)) == "AssocGrpCPUMinutesLimit"
    again.now = lambda: NOW + 7 * 86400  # a half-life later
    assert again.waits_for(job(9)) == ""


def test_a_job_that_comes_as_the_configuration_changes_is_counted_once():
    files = [conf(), conf(user={"MaxJobs": 2})]
    found = Limiter(lambda: files[0], lambda name: "")
    found.tally.place(job(1))
    del files[0]
    found.tally.place(job(1, staged=True))
    assert found.tally.of(("qos", "normal")).submitted == 1 and found.tally.of(("account", "root")).jobs == 1


def of_high(**values):
    """The reference cluster with a QOS `high` like this."""
    cluster = reference_cluster()
    high = next(qos for qos in cluster.conf.qos if qos.name == "high")
    for name, value in values.items():
        setattr(high, name, value)
    return cluster


def test_a_qos_for_reservations_alone():
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(qos="high"), ALICE, of_high(flags="RequiresReservation"), NOW)
    assert refusal.value.text == "Invalid qos specification" and not refusal.value.notes


@pytest.mark.parametrize(
    "flags, asked, want",
    [
        ("", {"time_limit": 180}, "PartitionTimeLimit"),
        ("PartitionTimeLimit", {"time_limit": 180}, ""),
        ("PartitionTimeLimit,PartitionMaxNodes", {"minimum_nodes": 3, "maximum_nodes": 3}, "PartitionNodeLimit"),
        ("PartitionMaxNodes", {"minimum_nodes": 2, "maximum_nodes": 2}, ""),
        ("", {"minimum_nodes": 2, "maximum_nodes": 2}, "PartitionNodeLimit"),
    ],
)
def test_a_qos_beyond_what_the_partition_allows(flags, asked, want):
    cluster = of_high(flags=flags)
    debug = cluster.partitions["debug"]
    debug.max_nodes = 1
    shape = cluster.lay_out(JobRequest(**asked), "debug")
    limit = asked.get("time_limit", 10)
    assert limit_reason(limit, shape, debug, cluster, cluster.limiter.flags("high", "debug")) == want


def test_the_qos_of_a_partition_denies_too():
    cluster = of_high(flags="DenyOnLimit", max_wall="60")
    cluster.set_partition("debug", {"qos": "high"})
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(partition="debug", time_limit=90), ALICE, cluster, NOW)
    assert refusal.value.notes == ["QOSMaxWallDurationPerJobLimit"]
    check(JobRequest(time_limit=90), ALICE, cluster, NOW)
