"""The same use gives the table of shares that sshare showed: a month of jobs, jobs that truly ran, and use that fades.

The recorded cluster has an account and a user with Fairshare=parent, a user without shares, and one who used nothing.
"""

from __future__ import annotations

import calendar
import math
import sys
import time
from pathlib import Path

import pytest
import yaml

from slurm_compat.controller.associations import Association
from slurm_compat.controller.shares import PastRun, Rules, Share, Used, fair_tree, integral
from slurm_compat.core.cluster import PARENT_SHARE

sys.path.insert(0, str(Path(__file__).parents[1] / "history"))
import month

sys.path.pop(0)

RECORDED = yaml.safe_load((Path(__file__).parent / "recorded_shares.yaml").read_text())
WEEK = 7 * 86400.0
END = calendar.timegm((2026, 11, 1, 0, 0, 0))


def tree() -> list[Association]:
    rows = [line.split("|") for line in RECORDED["associations"].splitlines()]
    accounts = {account: int(number) for number, account, user, *_ in rows if not user}
    found = [
        Association(
            int(number), account, user, "" if user else parent,
            accounts[account] if user else accounts.get(parent, 0), lineage,
            PARENT_SHARE if shares == "parent" else int(shares), ("normal",), True,
        )
        for number, account, user, shares, parent, lineage in rows
    ]  # fmt: skip
    return sorted(found, key=lambda entry: entry.lineage)


TREE = tree()


def used(rules: Rules, runs) -> Used:
    found = Used({(entry.user, entry.account): entry.number for entry in TREE if entry.user}, rules)
    for run in runs:
        found.add(run)
    return found


def shares_of(usage: dict[int, dict[str, float]]) -> dict[tuple[str, str], Share]:
    parents = {entry.number: entry.parent_number for entry in TREE}
    total: dict[int, dict[str, float]] = {}
    for number, amounts in usage.items():
        above = number
        while above:
            sums = total.setdefault(above, {})
            for name, amount in amounts.items():
                sums[name] = sums.get(name, 0.0) + amount
            above = parents[above]
    found = fair_tree(TREE, total, {})
    return {(entry.account, entry.user): found[entry.number] for entry in TREE}


def table(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.strip()]


def ran(text: str) -> list[PastRun]:
    def at(word: str) -> int:
        return calendar.timegm(time.strptime(word, "%Y-%m-%dT%H:%M:%S"))

    rows = [line.split("|") for line in text.splitlines() if line]
    return [
        PastRun(
            user_name=user, account=account, state="COMPLETED", nodes="node01", start_time=at(start), end_time=at(end),
            tres_alloc_str=tres,
        )
        for _, user, account, start, end, tres in rows
    ]  # fmt: skip


def close(text: str, value: float) -> bool:
    return text == "inf" if math.isinf(value) else abs(float(text) - value) <= 1e-4 * max(1.0, value)


def test_a_month_of_jobs_gives_the_recorded_table():
    usage = used(Rules(WEEK, 60.0), month.runs(further_accounts=True)).at(END)
    found = shares_of(usage)
    rows = table(RECORDED["month"])
    # it was read out a while after it was put in, and has faded by as much
    faded = int(rows[0][4]) / found["root", ""].usage
    assert 0 < -math.log2(faded) * WEEK < 150
    for account, user, _, norm, raw, usage_norm, effective, factor, level in rows:
        share = found[account, user]
        assert abs(int(raw) - share.usage * faded) <= 1.5, (account, user)
        assert close(norm, share.norm), (account, user)
        assert close(effective, share.effective), (account, user)
        if (account, user) != ("root", ""):
            assert close(usage_norm, share.usage_norm), (account, user)
        assert (float(factor) if factor else None) == share.factor, (account, user)
        if level:
            assert close(level, share.level_fs), (account, user)


def test_jobs_that_ran_are_counted_to_the_second():
    found = shares_of(used(Rules(WEEK, 60.0), ran(RECORDED["jobs"])).at(RECORDED["jobs_at"]))
    for account, user, _, norm, raw, *_ in table(RECORDED["jobs_table"]):
        share = found[account, user]
        assert close(norm, share.norm)
        assert 0 <= share.usage - int(raw) < 2, (account, user)  # it shows whole ones, rounded down


def test_short_jobs_count_as_they_end_less_what_faded_meanwhile():
    over = [run for run in ran(RECORDED["short_jobs"]) if run.end_time <= RECORDED["short_at"]]
    usage = used(Rules(120.0, 60.0), over)
    shown = {(account, user): int(raw) for account, user, _, _, raw, *_ in table(RECORDED["short_table"])}
    assert len(over) == 2
    for run in over:
        share = shares_of(usage.at(run.end_time))[run.account, run.user_name]
        assert int(share.usage) == shown[run.account, run.user_name]


def test_use_fades_by_half_a_half_life():
    before, after = RECORDED["fading"]
    first = {(row[0], row[1]): int(row[4]) for row in table(before["table"])}
    numbers = {(entry.user, entry.account): entry.number for entry in TREE if entry.user}
    usage = Used(numbers, Rules(120.0, 60.0))
    for (user, account), number in numbers.items():
        usage.restore(number, before["at"], {"billing": float(first[account, user])})
    found = shares_of(usage.at(before["at"] + 60))  # as of the next time it was worked out
    for account, user, _, _, raw, *_ in table(after["table"]):
        if user:
            assert abs(found[account, user].usage - int(raw)) <= 1, (account, user)


@pytest.mark.parametrize("seconds", [1, 60, 600, 86400])
def test_adding_use_up_by_the_period_is_nearly_the_integral(seconds):
    """What Slurm does, period by period, beside the closed form of it that is used here."""
    half_life, period, now = WEEK, 60.0, 90000
    run = PastRun(user_name="alice", account="project1", nodes="n", start_time=1, end_time=1 + seconds,
                  tres_alloc_str="billing=1")  # fmt: skip
    ours = used(Rules(half_life, period), [run]).at(now)[5]["billing"]
    total, at = 0.0, 1.0
    while at < run.end_time:
        step = min(period, run.end_time - at)
        total = (total + 0) * 0.5 ** (step / half_life) + step * 0.5 ** (step / half_life)
        at += step
    total *= 0.5 ** ((now - run.end_time) / half_life)
    assert ours == pytest.approx(total, rel=1e-6)
    assert ours == pytest.approx(integral(1, run.end_time, now, half_life), rel=1e-4)


def test_worked_example_of_the_half_life():
    """Priority Multifactor's manual: use of one half-life ago counts half, of two a quarter."""
    usage = used(Rules(WEEK, 1.0), [])
    usage.restore(5, 0.0, {"billing": 1000.0})
    assert [round(usage.at(weeks * WEEK)[5]["billing"]) for weeks in (0, 1, 2, 3)] == [1000, 500, 250, 125]
