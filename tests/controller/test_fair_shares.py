"""Use that fades, Fair Tree's ranks, and who the associations are."""

import json
import math
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from slurm_compat.controller import associationrows, associations, shares
from slurm_compat.controller.jobs import Job
from slurm_compat.controller.shares import Rules, Shares, Used, fair_tree, integral, last_reset, past_use
from slurm_compat.controller.table import job_row
from slurm_compat.core.cluster import ClusterConf, cluster_conf
from slurm_compat.core.errors import BadValue
from slurm_compat.core.fields import ASSOCIATION_FIELDS
from slurm_compat.core.model import UNLIMITED
from slurm_compat.store.changes import Change

sys.path.insert(0, str(Path(__file__).parent))
from jobsmade import job

sys.path.pop(0)

CONF = cluster_conf(yaml.safe_load((Path(__file__).parents[2] / "fixtures/clusters/oracle.yaml").read_text()))
DAY = 86400
WEEK = 7 * DAY


def run(user, account, start, end, cpus=1, **more):
    values = {
        "job_id": 1, "user_name": user, "account": account, "start_time": start, "end_time": end, "nodes": "node01",
        "tres_alloc_str": f"cpu={cpus},mem=500M,node=1,billing={cpus}", "state": "COMPLETED",
    }  # fmt: skip
    return job(**values | more)


# the tree


def test_numbers_are_those_slurm_gives():
    """As `sacctmgr show assoc format=id,account,user` had them after the accounts were made in the file's order."""
    assert [(entry.number, entry.account, entry.user) for entry in associations.tree(CONF)] == [
        (1, "root", ""), (2, "root", "root"), (3, "project1", ""), (5, "project1", "alice"), (8, "project1", "root"),
        (4, "project2", ""), (6, "project2", "alice"), (7, "project2", "bob"),
    ]  # fmt: skip


def test_a_cluster_without_accounts_has_root_alone():
    tree = associations.tree(ClusterConf())
    assert [(entry.number, entry.account, entry.user) for entry in tree] == [(1, "root", ""), (2, "root", "root")]
    assert associationrows.user_rows(ClusterConf())[0]["default_account"] == "root"


def test_accounts_below_accounts_and_circles():
    conf = cluster_conf(
        {
            "Accounts": [
                {"Name": "physics"}, {"Name": "optics", "Parent": "physics"}, {"Name": "a", "Parent": "b"},
                {"Name": "b", "Parent": "a"},
            ],
            "Users": [{"Name": "eve", "Account": "optics"}],
        }
    )  # fmt: skip
    lineages = {entry.number: entry.lineage for entry in associations.tree(conf)}
    assert lineages[4] == "/physics/optics/"
    assert lineages[7] == "/physics/optics/0-eve/"
    assert lineages[5] == "/a/"


def test_rows_have_the_fields_the_model_says():
    (row, *_) = associationrows.association_rows(CONF)
    shown = row | shares.values(Shares(CONF, list, lambda: 0).now()[1])
    assert set(shown) == set(ASSOCIATION_FIELDS)
    assert set(ASSOCIATION_FIELDS) - set(row) == shares.FIELDS


def test_gpus_bring_their_memory_and_use():
    names = associations.tres_names(CONF)
    assert names[-3:] == ["gres/gpu", "gres/gpumem", "gres/gpuutil"]
    assert associations.tres_rows(CONF)[-1]["id"] == 1003


# use


def test_what_was_used_counts_half_after_a_half_life():
    late = integral(0, 10, 10 + WEEK, WEEK)
    assert late == pytest.approx(integral(0, 10, 10, WEEK) / 2)
    assert integral(0, 10, 10, 0) == 10
    assert integral(10, 10, 20, WEEK) == 0


@given(some.integers(1, DAY), some.integers(1, DAY), some.integers(0, WEEK))
def test_a_run_in_two_parts_is_the_run(first, second, after):
    whole = integral(0, first + second, first + second + after, WEEK)
    now = first + second + after
    assert integral(0, first, now, WEEK) + integral(first, first + second, now, WEEK) == pytest.approx(whole)


def test_order_of_records_does_not_matter():
    numbers = {("alice", "project1"): 5}
    runs = [run("alice", "project1", start, start + 100) for start in (10, DAY, 3 * WEEK)]
    sums = []
    for order in (runs, runs[::-1]):
        used = Used(numbers, Rules(WEEK))
        for each in order:
            used.add(each)
        sums.append(used.at(4 * WEEK)[5]["billing"])
    assert sums[0] == pytest.approx(sums[1])
    assert sums[0] == pytest.approx(sum(integral(each.start_time, each.end_time, 4 * WEEK, WEEK) for each in runs))


def test_jobs_that_never_ran_or_are_nobodys_used_nothing():
    used = Used({("alice", "project1"): 5}, Rules(WEEK))
    used.add(run("alice", "project1", 0, 100))
    used.add(run("alice", "project1", 100, 200, nodes=""))
    used.add(run("mallory", "project1", 100, 200))
    assert used.at(1000) == {}


def test_time_suspended_is_not_used():
    used = Used({("alice", "project1"): 5}, Rules(0))
    used.add(run("alice", "project1", 100, 200, suspended_for=60))
    assert used.at(200)[5]["cpu"] == pytest.approx(40)


def test_stored_jobs_are_counted_once():
    stored = [run("alice", "project1", 100, 200, db_index=number) for number in (1, 2, 3)]
    records = [job_row(each, live=False)["data"] for each in stored]
    shared = Shares(CONF, list, lambda: 200)
    used = past_use(shared.beside(), records, frozenset({2}), last=2)
    assert used.at(200)[5]["cpu"] == pytest.approx(100, rel=1e-3)
    shared.used.take_over(used)
    assert shared.now()[3].usage == pytest.approx(100, rel=1e-3)


def test_running_jobs_count_as_they_run_and_say_what_they_may_still_use():
    going = run("bob", "project2", 100, 0, cpus=4, state="RUNNING", time_limit=10)
    endless = run("alice", "project2", 100, 0, state="RUNNING", time_limit=UNLIMITED)
    now = Shares(CONF, lambda: [going, endless], lambda: 160).now()
    assert now[7].usage == pytest.approx(240, rel=1e-3)
    assert now[7].tres_run["cpu"] == 4 * 540
    assert now[6].tres_run["cpu"] == 365 * DAY - 60  # no limit counts as a year
    assert now[4].tres_run["cpu"] == 4 * 540 + 365 * DAY - 60
    assert now[1].usage == pytest.approx(300, rel=1e-3)


def test_use_survives_a_changed_cluster_file():
    shared = Shares(CONF, list, lambda: 200)
    shared.ended(run("alice", "project1", 100, 200))
    more = cluster_conf({"Accounts": [{"Name": "new"}, {"Name": "project1"}], "Users": [
        {"Name": "eve", "Account": "new"}, {"Name": "alice", "Account": "project1"},
    ]})  # fmt: skip
    shared.configure(more)
    found = {(entry.account, entry.user): entry.number for entry in associations.tree(more)}
    assert shared.now()[found["project1", "alice"]].usage == pytest.approx(100, rel=1e-3)


# Fair Tree: `sshare -l -a` of 26.05, a minute after these were used


def used(**cpu_seconds):
    numbers = {"alice1": 5, "root1": 8, "alice2": 6, "bob": 7, "root": 2}
    sums = {}
    for name, seconds in cpu_seconds.items():
        number = numbers[name]
        for above in (number, {5: 3, 8: 3, 6: 4, 7: 4}.get(number, 0), 1):
            if above:
                sums.setdefault(above, {"billing": 0})["billing"] += seconds
    return sums


def test_shares_as_sshare_shows_them():
    found = fair_tree(associations.tree(CONF), used(alice1=115, bob=2), {})
    table = {number: (share.norm, share.effective, share.level_fs, share.factor) for number, share in found.items()}
    assert table[3] == (
        pytest.approx(0.322581, 1e-5),
        pytest.approx(0.982906, 1e-5),
        pytest.approx(0.328191, 1e-5),
        None,
    )
    assert table[5] == (0.5, 1.0, 0.5, 0.2)
    assert table[8] == (0.5, 0.0, math.inf, 0.4)
    assert table[7] == (pytest.approx(2 / 3), 1.0, pytest.approx(2 / 3), 0.6)
    assert table[6][3] == 0.8
    assert table[2][3] == 1.0
    assert found[1].effective == 1.0


def test_nobody_used_anything():
    found = fair_tree(associations.tree(CONF), {}, {})
    assert {share.factor for share in found.values()} == {None, 1.0}


def test_accounts_that_are_tied_compete_as_one():
    """Twice the shares and twice the use: the accounts are level, so only what their users did counts."""
    found = fair_tree(associations.tree(CONF), used(alice1=10, alice2=20), {})
    assert found[3].level_fs == pytest.approx(found[4].level_fs)
    assert found[8].factor == found[7].factor  # neither used anything
    assert found[5].factor > found[6].factor


@given(some.dictionaries(some.sampled_from(["alice1", "root1", "alice2", "bob", "root"]), some.integers(0, 10**9)))
def test_factors_are_ranks(amounts):
    found = fair_tree(associations.tree(CONF), used(**amounts), {})
    factors = [share.factor for share in found.values() if share.factor is not None]
    assert len(factors) == 5
    assert max(factors) == 1.0
    assert all(math.isclose(factor * 5, round(factor * 5)) and factor > 0 for factor in factors)


def test_a_jobs_factor():
    shared = Shares(CONF, list, lambda: 1000)
    shared.ended(run("alice", "project1", 100, 200))
    mine: Job = run("alice", "project1", 0, 0)
    assert shared.factor(mine) == 0.2
    assert shared.factor(run("mallory", "nothing", 0, 0)) == 0.0
    assert Shares(ClusterConf(), list, lambda: 0).factor(run("me", "", 0, 0)) == 1.0


# what the store keeps of it


def things_of(change):
    return [(kind, name, json.loads(row["data"])) for (_, (kind, name)), row in change.rows.items()]


def test_use_comes_back_from_the_store_as_it_was():
    before = Shares(CONF, list, lambda: 5000)
    change = Change()
    for start in (100, 900):
        before.ended(run("alice", "project1", start, start + 100, cpus=3), change)
    before.ended(run("bob", "project2", 100, 4000), change)
    before.ended(run("nobody", "project9", 100, 4000), change)
    after = Shares(CONF, list, lambda: 5000)
    assert not shares.restored(after.used, things_of(change))  # an older store's: there may be more in the records
    assert after.now() == before.now()
    whole = [(shares.KIND, row["name"], json.loads(row["data"])) for row in shares.rows(before.used)]
    third = Shares(CONF, list, lambda: 5000)
    assert shares.restored(third.used, [("node", "node01", {}), *whole])
    assert third.now() == before.now()


def test_a_qos_factor_counts_in_the_shares():
    document = yaml.safe_load((Path(__file__).parents[2] / "fixtures/clusters/oracle.yaml").read_text())
    document["QOS"][1]["UsageFactor"] = 0.5
    shared = Shares(cluster_conf(document), list, lambda: 200)
    shared.ended(run("alice", "project1", 100, 200, qos="high"))
    shared.ended(run("alice", "project2", 100, 200, qos="normal"))
    now = shared.now()
    assert now[5].usage == pytest.approx(now[6].usage / 2)


@pytest.mark.parametrize(
    "period, begun",
    [
        ("DAILY", (2026, 11, 18)), ("WEEKLY", (2026, 11, 15)), ("MONTHLY", (2026, 11, 1)), ("QUARTERLY", (2026, 10, 1)),
        ("YEARLY", (2026, 1, 1)),
    ],
)  # fmt: skip
def test_use_is_forgotten_when_its_period_ends(period, begun):
    now = time.mktime((2026, 11, 18, 12, 0, 0, 0, 0, -1))  # a Wednesday
    begin = int(time.mktime((*begun, 0, 0, 0, 0, 0, -1)))
    assert last_reset(period, now) == begin
    used = Used({("alice", "project1"): 5}, Rules(0.0, 0.0, period))
    used.add(run("alice", "project1", begin - 100, begin - 50))
    used.add(run("alice", "project1", begin - 100, begin + 60))
    assert used.at(now)[5]["billing"] == 60
    assert used.at(begin - 1) == used.at(now)  # what was before is gone for good
    assert last_reset("NONE", now) == 0


def test_the_file_may_not_ask_for_a_reset_now():
    with pytest.raises(BadValue, match="PriorityUsageResetPeriod"):
        cluster_conf({"PriorityUsageResetPeriod": "NOW"})
