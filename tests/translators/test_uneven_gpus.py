"""GPU counts that contradict one another, in the words of a Slurm 26.05."""

import pytest

from slurm_compat.core.errors import SlurmError
from slurm_compat.core.model import JobRequest
from translators.asked import Defaults, asked

ENSURE = "Failed to ensure --gpus >= --gres=gpu/--gpus-per-node >= --gpus-per-socket"
SPEC = "Failed to validate job spec. Based on"
TASKS = f"{SPEC} --gpus and --gpus-per-task number of requested tasks differ from -n/--ntasks."
NODES = (
    f"{SPEC} --gpu and --gres=gpu/--gpus-per-node required nodes (2) doesn't fall between "
    "min_nodes (1) and max_nodes (1) boundaries."
)


@pytest.mark.parametrize(
    "request_, note",
    [
        (JobRequest(gpus="1", gres="gpu:2"), ENSURE),
        (JobRequest(gpus="1", gpus_per_task="2"), ENSURE),
        (JobRequest(gpus_per_node="1", gpus_per_task="2", tasks=1), "Failed to ensure --gpus >= --gpus-per-task"),
        (JobRequest(gpus="3", gpus_per_task="1", tasks=2), TASKS),
        (JobRequest(gpus="2", gpus_per_node="1", minimum_nodes=1, maximum_nodes=1), NODES),
    ],
)
def test_uneven_counts_are_refused(request_, note):
    with pytest.raises(SlurmError) as refused:
        asked(request_, Defaults())
    assert refused.value.notes == [note]


def test_the_most_of_what_is_said_twice_counts():
    assert asked(JobRequest(gres="gpu:2,gpu:1"), Defaults()).gres_per_node == {"gpu": 2}
