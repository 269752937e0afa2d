"""SchedulerParameters: what is acted on."""

import pytest

from slurm_compat.core.cluster import cluster_conf, scheduler_parameter
from slurm_compat.core.errors import BadValue


@pytest.mark.parametrize(
    "text, name, value",
    [
        ("", "batch_sched_delay", None),
        ("bf_interval=5, batch_sched_delay=1,sched_interval=10", "batch_sched_delay", "1"),
        ("kill_invalid_depend", "kill_invalid_depend", ""),
        ("no_kill_invalid_depend=3", "kill_invalid_depend", None),
    ],
)
def test_a_parameter(text: str, name: str, value: str | None) -> None:
    assert scheduler_parameter(cluster_conf({"SchedulerParameters": text}), name) == value


def test_a_delay_that_is_no_number() -> None:
    with pytest.raises(BadValue, match="batch_sched_delay"):
        cluster_conf({"SchedulerParameters": "batch_sched_delay=soon"})
