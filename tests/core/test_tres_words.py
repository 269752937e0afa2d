import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core import tres
from slurm_compat.core.errors import BadValue


@pytest.mark.parametrize("text, want", [
    ("", {}),
    ("cpu=4,mem=2G,node=1,billing=4,gres/gpu=2", {"cpu": 4, "mem": 2048, "node": 1, "billing": 4, "gres/gpu": 2}),
    ("mem=500M", {"mem": 500}),
])  # fmt: skip
def test_parse_and_show(text, want):
    assert tres.parse(text) == want
    assert tres.show(want) == text


def test_amounts_of_nothing_are_left_out_and_the_order_is_slurms():
    assert tres.show({"gres/gpu": 0, "billing": 2, "mem": 1000, "cpu": 2}) == "cpu=2,mem=1000M,billing=2"


@pytest.mark.parametrize("text", ["cpu", "cpu=x", "=4", "mem=abc"])
def test_what_is_no_tres(text):
    with pytest.raises(BadValue):
        tres.parse(text)


@given(st.dictionaries(st.sampled_from(["cpu", "node", "billing", "gres/gpu", "gres/gpu:a100"]), st.integers(1, 10**9)))
def test_round_trip(amounts):
    assert tres.parse(tres.show(amounts)) == amounts
