from types import SimpleNamespace

import pytest

from slurm_compat.core.cluster import AccountConf, ClusterConf
from slurm_compat.core.errors import BadValue
from slurm_compat.translators.queues import priority_factor, queue_name, queue_of_account


def booked(**values):
    return SimpleNamespace(**({"account": "p1", "user_name": "alice", "partition": "a,b", "qos": ""} | values))


@pytest.mark.parametrize("template, values, want", [
    ("{account}", {}, "p1"),
    ("{account}", {"account": ""}, "alice"),
    ("slurm-{user}.{partition}", {}, "slurm-alice.a"),
    ("{qos}", {}, "normal"),
    ("{account}", {"account": "my group/x"}, "my-group-x"),
])  # fmt: skip
def test_names(template, values, want):
    assert queue_name(template, booked(**values)) == want


def test_a_word_nobody_knows_is_named():
    with pytest.raises(BadValue, match=r"Armada\.Queue: \{team\}"):
        queue_name("{team}", booked())


def test_twice_the_shares_are_half_the_factor():
    conf = ClusterConf(accounts=[AccountConf(name="a", fairshare=20), AccountConf(name="b", fairshare=10)])
    assert (priority_factor(conf, "a"), priority_factor(conf, "b")) == (1.0, 2.0)
    assert priority_factor(conf, "nobody's") == 20.0
    assert priority_factor(ClusterConf(), "any") == 1.0


@pytest.mark.parametrize("template, want", [("{account}", "my-group"), ("s-{account}", "s-my-group"), ("{user}", "")])
def test_an_accounts_own_queue(template, want):
    assert queue_of_account(template, "my group") == want
