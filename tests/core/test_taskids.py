"""--array values as sbatch reads them and squeue shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core import taskids
from slurm_compat.core.errors import BadValue

SIZE = 20001  # MaxArraySize of the recorded cluster


@pytest.mark.parametrize(
    "text, shown",
    [
        ("1-4", "1-4"), ("7", "7"), ("0", "0"), ("5-5", "5"), ("1,3,5-7", "1,3,5-7"), ("1-10%2", "1-10%2"),
        ("0-6:2", "0,2,4,6"), ("1-6:2%2", "1,3,5%2"), ("1-3:1", "1-3"), ("1,2,3", "1-3"), ("1-2", "1-2"),
        ("3,1,2", "1-3"), ("1-3,2-5", "1-5"), ("1,1,2", "1-2"), ("1-9:4,3", "1,3,5,9"),
        ("1-11:2", "1,3,5,7,9,11"), ("1-13:2", "1-13:2"), ("0-100:3%4", "0-99:3%4"), ("1-1000:7", "1-995:7"),
        ("1,,2", "1-2"), (",1", "1"), ("1,", "1"), ("[1-3]", "1-3"), ("1-2]", "1-2"), ("[1,2]%2", "1-2%2"),
        (" 1", "1"), ("+1", "1"), ("1-10:20", "1"), ("%2", "0%2"), ("1-3%", "1-3"), ("1-3%x", "1-3"), ("1-3%-1", "1-3"),
        ("1%2,3", "1,3%2"), ("1-3%1:2", "1-3%1"), ("1-3%99999999999", "1-3%1215752191"), ("20000", "20000"),
    ],
)  # fmt: skip
def test_values_and_what_is_shown(text, shown):
    ranges, throttle = taskids.parse(text, SIZE)
    assert taskids.show_ranges(ranges, throttle) == shown
    assert taskids.show(list(taskids.each(ranges)), throttle) == shown
    assert taskids.count(ranges) == len(set(taskids.each(ranges)))


@pytest.mark.parametrize(
    "text",
    ["4-1", "x", "-1", "1-", "1 2", "1-3:0", "1-5:2-3", "1:2", "0x10", "a[1-2]", "20001", "1-20001", "", ",", "²"],
)
def test_what_is_no_array(text):
    with pytest.raises(BadValue):
        taskids.parse(text, SIZE)


def test_a_million_tasks_stay_one_range():
    ranges, throttle = taskids.parse("0-999999%50", 1_000_001)
    assert ranges == [(0, 999999, 1)]
    assert taskids.show_ranges(ranges, throttle) == "0-999999%50"
    assert taskids.contains(ranges, 999999) and not taskids.contains(ranges, 1_000_000)


@given(st.sets(st.integers(0, 300), min_size=1), st.integers(0, 9))
def test_what_is_shown_reads_back(ids, throttle):
    ranges, read = taskids.parse(taskids.show(sorted(ids), throttle), 301)
    assert set(taskids.each(ranges)) == ids and read == throttle
    assert all(taskids.contains(ranges, task) == (task in ids) for task in range(301))


LONG = "1,5-9,20,30,41,57,100-200,300,302,304,306,401,403,405,407,500-600"


@pytest.mark.parametrize(
    "size, want",
    [
        (0, LONG),
        (10, "1,5-9,..."),
        (20, "1,5-9,20,30,41,5..."),
        (64, LONG[:60] + "..."),
        (len(LONG) + 2, LONG[:-2] + "..."),
        (len(LONG) + 3, LONG),
    ],
)
def test_long_lists_are_cut(size, want):
    assert taskids.shortened(LONG, size) == want
