"""Times of crontabs: fields and next starts as recorded of scrontab 26.05."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core import cron
from slurm_compat.core.errors import BadValue


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    os.environ.pop("TZ", None)
    time.tzset()


def at(text):
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


NOW = "2026-11-20T16:02:30"  # a Friday

RECORDED = """
@hourly              | 0 0-23 * * *       | 2026-11-20T17:00:00
@Hourly              | 0 0-23 * * *       | 2026-11-20T17:00:00
@daily               | 0 0 * * *          | 2026-11-21T00:00:00
@weekly              | 0 0 * * 0          | 2026-11-22T00:00:00
@monthly             | 0 0 1 * *          | 2026-12-01T00:00:00
@annually            | 0 0 1 1 *          | 2027-01-01T00:00:00
@fika                | 0 15 * * *         | 2026-11-21T15:00:00
@teatime             | 0 16 * * *         | 2026-11-21T16:00:00
@elevenses           | 0 11 * * *         | 2026-11-21T11:00:00
*/20 * * * *         | 0,20,40 * * * *    | 2026-11-20T16:20:00
1-5/2 * * * *        | 2,4 * * * *        | 2026-11-20T16:04:00
10-30/7 * * * *      | 14,21,28 * * * *   | 2026-11-20T16:14:00
0/5 * * * *          | 0 * * * *          | 2026-11-20T17:00:00
1,5-9,30-40/5 * * * *| 5,30,35,40 * * * * | 2026-11-20T16:05:00
60 * * * *           | 0 * * * *          | 2026-11-20T17:00:00
58-60 * * * *        | 0,58-59 * * * *    | 2026-11-20T16:58:00
1,2, * * * *         | 0-2 * * * *        | 2026-11-20T17:00:00
-1 * * * *           | 0-1 * * * *        | 2026-11-20T17:00:00
1-2-3 * * * *        | 2-3 * * * *        | 2026-11-20T16:03:00
* 1-12/4 * * *       | * 4,8,12 * * *     | 2026-11-21T04:00:00
59 24 * * *          | 59 0 * * *         | 2026-11-21T00:59:00
* * 1,15 * *         | * * 1,15 * *       | 2026-12-01T00:00:00
* * 1, * *           | * * 1 * *          | 2026-12-01T00:00:00
* * 4-10/3 * *       | * * 4,7,10 * *     | 2026-12-04T00:00:00
* * */30 * *         | * * 1,31 * *       | 2026-12-01T00:00:00
* * 31 2-5 *         | * * 31 2-5 *       | 2027-03-31T00:00:00
0 0 29 2 *           | 0 0 29 2 *         | 2028-02-29T00:00:00
* * * jan *          | * * * 1 *          | 2027-01-01T00:00:00
* * * */11 *         | * * * 1,12 *       | 2026-12-01T00:00:00
* * * * Sun          | * * * * 0          | 2026-11-22T00:00:00
* * * * 6-7          | * * * * 0,6        | 2026-11-21T00:00:00
* * * * */2          | * * * * 0-1,3,5    | 2026-11-20T16:03:00
* * * * 0-7/3        | * * * * 0-1,4      | 2026-11-22T00:00:00
0 0 1 * mon          | 0 0 1 * 1          | 2026-11-23T00:00:00
"""


@pytest.mark.parametrize("line", RECORDED.strip().split("\n"))
def test_fields_and_next_start(line):
    given, spec, start = (part.strip() for part in line.split("|"))
    found, command = cron.parse(f"{given} echo a b")
    assert (str(found), command) == (spec, "echo a b")
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(cron.next_start(spec, at(NOW)))) == start


REFUSED = """
@noon x            | invalid @ line
@reboot x          | invalid @ line
@ x                | invalid @ line
@hourlyx x         |
@daily             |
* * * *  true      | bad day specification
* * * xyz * x      | bad month specification
99 * * * * x       |
61 * * * * x       |
* 25 * * * x       |
* * 0 * * x        |
* * * jan,feb * x  |
* * * * mon-fri x  |
* * * * sunday x   |
* * * * tue/2 x    |
*/0 * * * * x      | bad step value
*/1 * * * * x      | bad step value
*/61 * * * * x     | bad step value
5/ * * * * x       | bad step value
*/5/2 * * * * x    |
3/5 * * * * x      |
5-1 * * * * x      |
*,5 * * * * x      |
,5 * * * * x       |
* 5- * * * x       |
* * 31 4 1 x       |
0 0 30 2 * x       |
* * * * *          |
garbage            |
"""


@pytest.mark.parametrize("line", REFUSED.strip().split("\n"))
def test_what_is_refused_and_with_which_words(line):
    given, _, words = line.partition("|")
    with pytest.raises(BadValue) as refused:
        cron.parse(given.rstrip())
    assert str(refused.value) == words.strip()


def numbers(low, high):
    return st.one_of(
        st.just("*"),
        st.lists(st.integers(low, high), min_size=1, max_size=4).map(lambda some: ",".join(map(str, some))),
    )


@given(
    st.tuples(numbers(0, 59), numbers(0, 23), numbers(1, 28), numbers(1, 12), numbers(0, 6)).map(" ".join),
    st.integers(1_600_000_000, 2_000_000_000),
)
def test_what_is_shown_reads_as_the_same_and_is_met_by_its_next_start(text, after):
    spec, _ = cron.parse(f"{text} x")
    assert cron.parse(f"{spec} x")[0] == spec
    start = cron.next_start(str(spec), after)
    moment = time.localtime(start)
    assert start > after and moment.tm_sec == 0
    assert spec.minutes is None or moment.tm_min in spec.minutes
    assert spec.hours is None or moment.tm_hour in spec.hours
    assert spec.months is None or moment.tm_mon in spec.months
