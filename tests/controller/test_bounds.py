"""Limits of associations, accounts and QOS: who waits for which, and what is refused."""

import sys
from pathlib import Path

import pytest

from slurm_compat.controller import bounds
from slurm_compat.controller.bounds import Owner, Scope
from slurm_compat.core.cluster import cluster_conf
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import UNLIMITED

sys.path.insert(0, str(Path(__file__).parent))
import jobsmade as made

sys.path.pop(0)


def conf(account=None, above=None, user=None, qos=None, enforce="limits"):
    return cluster_conf(
        {
            "AccountingStorageEnforce": enforce,
            "Accounts": [
                {"Name": "division", **(above or {})},
                {"Name": "team", "Parent": "division", **(account or {})},
                {"Name": "other", "Parent": "division"},
            ],
            "Users": [{"Name": "alice", "Account": "team", **(user or {})}, {"Name": "bob", "Account": "team"}],
            "QOS": [{"Name": "normal", **(qos or {})}],
        }
    )


def job(job_id, user_id=1000, account="team", **changes):
    values = {"tres_req_str": "cpu=2,mem=100M,node=1", "time_limit": 10, "qos": "normal"}
    return made.job(job_id, user_id=user_id, account=account, **values | changes)


MINE, BOBS, OTHERS = job(1), job(2, user_id=1001), job(3, user_id=1001, account="other")


@pytest.mark.parametrize(
    "limits, live, want",
    [
        ({"user": {"MaxJobs": 1}}, [MINE], "AssocMaxJobsLimit"),
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
        ({"user": {"MaxTRES": "cpu=1"}}, [], "AssocMaxCpuPerJobLimit"),
        ({"user": {"MaxWall": "5"}}, [], "AssocMaxWallDurationPerJobLimit"),
        ({"user": {"MaxWall": "10"}}, [], ""),
        ({"qos": {"GrpJobs": 1}}, [OTHERS], "QOSGrpJobsLimit"),
        ({"qos": {"MaxJobsPerAccount": 1}}, [BOBS], "MaxJobsPerAccount"),
        ({"qos": {"MaxJobsPerAccount": 1}}, [OTHERS], ""),
        ({"qos": {"GrpTRES": "cpu=3"}}, [OTHERS], "QOSGrpCpuLimit"),
        ({"qos": {"MaxTRESPerJob": "cpu=1"}}, [], "QOSMaxCpuPerJobLimit"),
        ({"qos": {"MaxWall": "5"}}, [], "QOSMaxWallDurationPerJobLimit"),
        ({"qos": {"MaxWall": "5"}, "enforce": ""}, [], ""),
    ],
)
def test_what_a_job_waits_for(limits, live, want):
    assert bounds.waits_for(conf(**limits), job(9), live) == want


@pytest.mark.parametrize(
    "limits, jobs, want",
    [
        ({"user": {"MaxSubmitJobs": 3}}, 2, ""),
        ({"user": {"MaxSubmitJobs": 3}}, 3, "AssocMaxSubmitJobLimit"),
        ({"account": {"GrpSubmitJobs": 3}}, 1, "AssocGrpSubmitJobsLimit"),
        ({"above": {"GrpSubmitJobs": 5}}, 1, "AssocGrpSubmitJobsLimit"),
        ({"qos": {"MaxSubmitJobsPerAccount": 3}}, 1, "MaxSubmitJobsPerAccount"),
        ({"qos": {"GrpSubmitJobs": 5}}, 1, "QOSGrpSubmitJobsLimit"),
        ({"qos": {"GrpSubmitJobs": 6}}, 1, ""),
    ],
)
def test_how_many_may_be_submitted(limits, jobs, want):
    booked = [
        (Owner(1000, "team", "normal"), 1),
        (Owner(1001, "team", "normal"), 2),
        (Owner(1001, "other", "normal"), 2),
    ]
    file = conf(**limits)
    scope = Scope(file, "alice", Owner(1000, "team", "normal"))
    found = ""
    try:
        bounds.deny(file, scope, booked, jobs)
    except SlurmError as refusal:
        found = refusal.notes[0]
    assert found == want


@pytest.mark.parametrize("limits, want", [({}, UNLIMITED), ({"user": {"MaxWall": "1:00:00"}}, 60)])
def test_who_asks_for_no_time_gets_what_is_allowed(limits, want):
    assert bounds.longest(Scope(conf(**limits), "alice", Owner(1000, "team", "normal"))) == want


def test_accounts_in_a_circle_end():
    file = conf()
    file.accounts[0].parent = "team"
    assert bounds.waits_for(file, job(9), []) == ""
