"""--constraint as alternatives a node selector can say."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core.errors import BadValue
from slurm_compat.translators import constraints

KNOWN = {"skylake", "rome", "ib", "gpu"}


@pytest.mark.parametrize("text, want", [
    ("", [""]),
    ("skylake", ["skylake"]),
    ("skylake,ib", ["ib&skylake"]),
    ("skylake|rome", ["skylake|rome"]),
    ("(skylake|rome)&ib", ["ib&skylake|ib&rome"]),
    ("[skylake|rome]", ["skylake", "rome"]),
    ("ib&[skylake|rome]", ["ib&skylake", "ib&rome"]),
    ("skylake&", ["skylake"]),
])  # fmt: skip
def test_choices(text, want):
    assert [constraints.show(choice.every) for choice in constraints.choices(text, KNOWN)] == want


def test_a_count_of_several_features_at_once():
    (choice,) = constraints.choices("[(skylake&ib)*1&rome*2]", KNOWN)
    assert [(constraints.show(sets), number) for sets, number in choice.counted] == [("ib&skylake", 1), ("rome", 2)]


def test_counts():
    (choice,) = constraints.choices("[skylake*1&rome*2]")
    assert [(constraints.show(sets), number) for sets, number in choice.counted] == [("skylake", 1), ("rome", 2)]


@pytest.mark.parametrize("text", [
    "nosuch", "skylake|nosuch", "|skylake", "(skylake", "skylake)", "[skylake", "sky lake", "!skylake", "skylake*",
    "skylake*0", "((skylake))", "ib*2&gpu*1", "skylake*2&ib", "skylake*2|rome", "(skylake|rome)*2", "[skylake&ib]",
    "()",
])  # fmt: skip
def test_what_slurm_refuses(text):
    with pytest.raises(BadValue):
        constraints.choices(text, KNOWN)


@given(st.lists(st.frozensets(st.sampled_from(sorted(KNOWN)), min_size=1), min_size=1, max_size=4))
def test_sets_are_read_back_as_they_are_shown(sets):
    assert constraints.read(constraints.show(tuple(sets))) == tuple(sets)


@given(st.text(alphabet="ab&|()[]*1,", max_size=12))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(BadValue):
        assert constraints.choices(text)
