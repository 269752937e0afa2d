"""Armada's messages from plain values, and events as plain values.

Values come as the translators make them, in the shape of the .proto: field names as they are there, resource amounts
as text ("500m", "2Gi"), enums by name. Generated code is Any to the type checker, so what goes wrong here is said here.
"""

from __future__ import annotations

from typing import Any

from armada_client.armada import event_pb2, submit_pb2
from google.protobuf.descriptor import FieldDescriptor

MAX_REQUEST = 3_500_000  # bytes; Armada's server takes 4 MiB, and the frame around the items counts too

_MESSAGE = FieldDescriptor.TYPE_MESSAGE
_ENUM = FieldDescriptor.TYPE_ENUM


def fill(message: Any, values: dict[str, Any]) -> None:
    """Set the message's fields from a dict. Raises ValueError naming a field the message doesn't have."""
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in values.items():
        field = fields.get(name)
        if field is None:
            raise ValueError(f"{message.DESCRIPTOR.full_name} has no field {name}")
        if field.type == _MESSAGE:
            _fill_message(message, field, name, value)
        elif isinstance(value, (list, tuple)):
            getattr(message, name).extend(value)
        elif field.type == _ENUM and isinstance(value, str):
            setattr(message, name, field.enum_type.values_by_name[value].number)
        else:
            setattr(message, name, value)


def _fill_message(message: Any, field: Any, name: str, value: Any) -> None:
    kind = field.message_type
    if kind.GetOptions().map_entry:
        target = getattr(message, name)
        if kind.fields_by_name["value"].type == _MESSAGE:
            for key, entry in value.items():
                _fill_one(target[key], entry)
        else:
            target.update(value)
    elif isinstance(value, (list, tuple)):
        target = getattr(message, name)
        for entry in value:
            _fill_one(target.add(), entry)
    else:
        _fill_one(getattr(message, name), value)


def _fill_one(target: Any, value: Any) -> None:
    if target.DESCRIPTOR.full_name.endswith("resource.Quantity") and not isinstance(value, dict):
        target.string = str(value)
        return
    if value:
        fill(target, value)
    else:
        target.SetInParent()


def submit_item(values: dict[str, Any]) -> Any:
    item = submit_pb2.JobSubmitRequestItem()
    fill(item, values)
    return item


def submit_request(queue: str, job_set: str, groups: list[tuple[Any, list[Any]]]) -> Any:
    """A JobSubmitRequest of the items of all groups, in order."""
    request = submit_pb2.JobSubmitRequest(queue=queue, job_set_id=job_set)
    for _, items in groups:
        request.job_request_items.extend(items)
    return request


def event_values(stream_message: Any) -> tuple[str, dict[str, Any]]:
    """(message id, event) of an EventStreamMessage.

    The event: {"kind": "running" …, "job_id", "queue", "job_set_id", "created": epoch seconds} and what of node_name,
    pod_name, reason, cause, cluster_id, retryable, failure_category, preempting_job_id, requestor and
    container_statuses [{name, exit_code, reason, message, cause}] is there.
    """
    kind = stream_message.message.WhichOneof("events") or ""
    values: dict[str, Any] = {"kind": kind}
    if not kind:
        return stream_message.id, values
    event = getattr(stream_message.message, kind)
    values["job_id"] = event.job_id
    values["queue"] = event.queue
    values["job_set_id"] = event.job_set_id
    values["created"] = event.created.seconds + event.created.nanos / 1e9
    reader = _READERS.get(kind)
    if reader is not None:
        for name in reader:
            value = getattr(event, name)
            if value:
                values[name] = value
    if kind == "failed":
        values["cause"] = event_pb2.Cause.Name(event.cause)
        values["container_statuses"] = [
            {
                "name": status.name,
                "exit_code": status.exitCode,
                "reason": status.reason,
                "message": status.message,
                "cause": event_pb2.Cause.Name(status.cause),
            }
            for status in event.container_statuses
        ]
    return stream_message.id, values


# The plain fields that are carried over, by event. `submitted` has the whole job in it, which nobody here needs.
_READERS: dict[str, tuple[str, ...]] = {
    "leased": ("cluster_id",),
    "pending": ("cluster_id", "pod_name"),
    "running": ("cluster_id", "node_name", "pod_name"),
    "lease_returned": ("cluster_id", "reason", "run_attempted"),
    "failed": ("cluster_id", "node_name", "pod_name", "reason", "failure_category", "failure_subcategory", "retryable"),
    "preempting": ("requestor", "reason"),
    "preempted": ("reason", "preempting_job_id", "requestor"),
    "cancelling": ("requestor",),
    "cancelled": ("requestor",),
}


def job_state_name(number: int) -> str:
    return str(submit_pb2.JobState.Name(number))  # type: ignore[arg-type]
