"""TRESBillingWeights; the sums are those of 26.05."""

from __future__ import annotations

import pytest

from slurm_compat.core import tres
from slurm_compat.core.billing import billed, weights
from slurm_compat.core.errors import BadValue

COMPUTE = "CPU=1.5,Mem=0.25G,GRES/gpu=2.5"
DEBUG = "Mem=0.01,Node=3"


@pytest.mark.parametrize(
    "amounts, text, want",
    [
        ("cpu=3,mem=3000M,node=1,billing=3", COMPUTE, 5),
        ("cpu=1,mem=1500M,node=1,billing=1,gres/gpu=1", COMPUTE, 4),
        ("cpu=2,mem=1000M,node=2,billing=2", DEBUG, 16),
        ("cpu=1,mem=500M,node=1,billing=1", DEBUG, 8),
        ("cpu=1,mem=100M,node=1,billing=1", COMPUTE, 1),
        ("cpu=20,mem=20000M,node=5,billing=20,gres/gpu=2", COMPUTE, 39),
        ("cpu=8,mem=8000M,node=2,billing=8", DEBUG, 86),
        ("cpu=7,mem=100M,node=1,billing=7", "", 7),
    ],
)
def test_billing_as_recorded(amounts, text, want):
    assert billed(tres.parse(amounts), text) == want


@pytest.mark.parametrize("text", ["CPU=x", "CPU", "Mem=1Q", "=1", "CPU="])
def test_what_is_no_weight_is_named(text):
    with pytest.raises(BadValue, match="TRESBillingWeights"):
        weights(text)
