import pytest

from slurm_compat.core.errors import INVALID_GRES, INVALID_GRES_TYPE, SlurmError
from slurm_compat.translators import gres


@pytest.mark.parametrize("text, want", [
    ("", {}), ("none", {}), ("gpu", {"gpu": 1}), ("gpu:2", {"gpu": 2}), ("gpu=2", {"gpu": 2}),
    ("gpu:a100", {"gpu:a100": 1}),
    ("gpu:a100:2", {"gpu:a100": 2}), ("gres/gpu:1", {"gpu": 1}), ("gpu:1k", {"gpu": 1024}), ("gpu:0", {"gpu": 0}),
    ("gpu:a100:1,gpu:v100:2", {"gpu:a100": 1, "gpu:v100": 2}), ("gpu:-1", {"gpu:-1": 1}), ("gpu:1:2:3", {"gpu:1:2": 3}),
])  # fmt: skip
def test_amounts(text, want):
    assert gres.amounts(text) == want


@pytest.mark.parametrize("text, want", [("2", {"gpu": 2}), ("a100:2", {"gpu:a100": 2}), ("x", {"gpu:x": 1})])
def test_gpus_go_without_their_name(text, want):
    assert gres.gpus(text) == want


@pytest.mark.parametrize("text, number", [("fpga:1", INVALID_GRES), ("gpu:1,gpu:a100:1", INVALID_GRES_TYPE)])
def test_refusals(text, number):
    with pytest.raises(SlurmError) as refusal:
        gres.amounts(text)
    assert refusal.value.number == number


def test_an_untyped_wish_is_served_by_any_type():
    there = {"gpu:a100": 1, "gpu:v100": 1}
    assert gres.fits({"gpu": 2}, there)
    assert not gres.fits({"gpu:a100": 2}, there)


def test_as_tres_names_only_what_is_listed():
    assert gres.as_tres({"gpu:a100": 2, "shard": 4}, ["gres/gpu"]) == {"gres/gpu": 2}
    assert gres.as_tres({"gpu:a100": 2}, ["gres/gpu", "gres/gpu:a100"]) == {"gres/gpu": 2, "gres/gpu:a100": 2}
