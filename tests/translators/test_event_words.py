import pytest

from slurm_compat.translators.events import translate


@pytest.mark.parametrize("event, name, facts", [
    ({"kind": "leased"}, "leased", {}),
    ({"kind": "running", "node_name": "n1"}, "running", {"node": "n1"}),
    ({"kind": "succeeded"}, "succeeded", {}),
    ({"kind": "cancelled", "requestor": "x"}, "cancelled", {}),
    ({"kind": "preempted", "reason": "fair share"}, "preempted", {"reason": "fair share"}),
    ({"kind": "lease_expired"}, "lost", {"reason": "lease expired"}),
    ({"kind": "lease_returned", "reason": "no image"}, "returned", {"reason": "no image"}),
    ({"kind": "failed", "cause": "Rejected", "reason": "\n does not fit \nnode type a: 3"}, "rejected",
     {"reason": "does not fit"}),
    ({"kind": "failed", "cause": "OOM", "container_statuses": [{"exit_code": 137}]}, "failed",
     {"cause": "out of memory", "exit_code": 137, "node": "", "reason": ""}),
    ({"kind": "failed", "cause": "Error", "container_statuses": [{"exit_code": 137, "cause": "OOM"}]}, "failed",
     {"cause": "out of memory", "exit_code": 137, "node": "", "reason": ""}),
    ({"kind": "failed", "cause": "DeadlineExceeded"}, "failed",
     {"cause": "timeout", "exit_code": 0, "node": "", "reason": ""}),
    ({"kind": "failed", "failure_subcategory": "pod-missing", "node_name": "n2"}, "lost", {"node": "n2", "reason": ""}),
])  # fmt: skip
def test_what_the_machine_is_told(event, name, facts):
    assert translate(event) == (name, facts)


@pytest.mark.parametrize(
    "kind", ["submitted", "queued", "utilisation", "cancelling", "reprioritized", "preempting", ""]
)
def test_events_that_change_nothing(kind):
    assert translate({"kind": kind}) is None
