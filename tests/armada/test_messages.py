"""Plain values to Armada's messages, events to plain values."""

import pytest
from armada_client.armada import event_pb2

from slurm_compat.armada import messages

ITEM = {
    "priority": 5.0,
    "namespace": "default",
    "client_id": "c-1-1-0",
    "labels": {"a": "b"},
    "pod_specs": [
        {
            "containers": [
                {
                    "name": "agent",
                    "command": ["python3"],
                    "env": [
                        {"name": "A", "value": "1"},
                        {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    ],
                    "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1", "memory": "5Mi"}},
                }
            ],
            "terminationGracePeriodSeconds": 5,
        }
    ],
}


def test_an_item_has_what_the_values_say():
    item = messages.submit_item(ITEM)
    container = item.pod_specs[0].containers[0]
    assert item.priority == 5.0
    assert dict(item.labels) == {"a": "b"}
    assert container.env[1].valueFrom.fieldRef.fieldPath == "spec.nodeName"
    assert container.resources.requests["memory"].string == "5Mi"
    assert item.pod_specs[0].terminationGracePeriodSeconds == 5


def test_a_field_nobody_knows_is_named():
    with pytest.raises(ValueError, match="no field pod_spec_s"):
        messages.submit_item({"pod_spec_s": []})


def test_a_failure_carries_its_cause_and_containers():
    message = event_pb2.EventStreamMessage(id="7")
    failed = message.message.failed
    failed.job_id, failed.queue, failed.reason = "01abc", "q", "killed"
    failed.created.seconds = 100
    failed.cause = event_pb2.OOM
    failed.container_statuses.add(name="agent", exitCode=137, cause=event_pb2.OOM)
    message_id, event = messages.event_values(message)
    assert message_id == "7"
    assert (event["kind"], event["job_id"], event["created"], event["cause"]) == ("failed", "01abc", 100.0, "OOM")
    assert event["container_statuses"][0]["exit_code"] == 137


def test_a_message_without_an_event_is_nothing_to_know():
    assert messages.event_values(event_pb2.EventStreamMessage(id="1")) == ("1", {"kind": ""})
