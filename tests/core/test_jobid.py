"""Job and step ids as users write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core.errors import BadValue
from slurm_compat.core.jobid import JobExpression, job_name, parse, show


@pytest.mark.parametrize(
    "text, want",
    [
        ("123", JobExpression(123)),
        ("123_4", JobExpression(123, ((4, 4, 1),))),
        ("123_[1-3,7]", JobExpression(123, ((1, 3, 1), (7, 7, 1)))),
        ("123+1", JobExpression(123, offset=1)),
        ("123.0", JobExpression(123, step="0")),
        ("123.batch", JobExpression(123, step="batch")),
        ("123_4.extern", JobExpression(123, ((4, 4, 1),), step="extern")),
        ("s6KNM7WE9P5Y00", JobExpression(0, sluid="s6KNM7WE9P5Y00")),
    ],
)
def test_ids_read_and_shown(text, want):
    assert parse(text) == want
    assert show(want) == text


@pytest.mark.parametrize("text, same", [(" 123", "123"), ("+123", "123"), ("123.007", "123.7"), ("123_*", "123")])
def test_other_spellings(text, same):
    assert show(parse(text)) == same


@pytest.mark.parametrize(
    "text",
    [
        "", "abc", "0", "-1", "12x", "123_", "123_x", "123_[1-", "123_[5-3]", "123_[1-3%2]", "123_1-3", "123+", "123.",
        "123.x", "123 ", "123 124", "123,124", "4294967295", "99999999999", "sXX", "S6KNM7WE9P5Y00", "1e3", "٣",
    ],
)  # fmt: skip
def test_what_is_no_id(text):
    with pytest.raises(BadValue):
        parse(text)


@pytest.mark.parametrize("text, task", [("123", None), ("123_4", 4), ("123_[4-5]", None)])
def test_the_one_task(text, task):
    assert parse(text).task == task


def test_tasks_an_id_names():
    assert parse("1_[2-3]").has_task(3) and not parse("1_[2-3]").has_task(4) and parse("1").has_task(9)


@given(
    st.integers(1, 1 << 31), st.none() | st.integers(0, 1 << 20), st.sampled_from(["", "0", "17", "batch", "extern"])
)
def test_shown_ids_read_back(job, task, step):
    expression = JobExpression(job, () if task is None else ((task, task, 1),), step=step)
    assert parse(show(expression)) == expression


@pytest.mark.parametrize(
    "args, want", [((5, 0, None), "5"), ((7, 5, 2), "5_2"), ((5, 5, None), "5"), ((6, 0, None, 5, 1), "5+1")]
)
def test_the_name_of_one_job(args, want):
    assert job_name(*args) == want
