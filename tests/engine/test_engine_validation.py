"""What SubmitJobs refuses, in Armada's order."""

from __future__ import annotations

import pytest
from armada_client.armada import submit_pb2

from slurm_compat.engine.submission import external_uri_of, fill_in, priority_of, spec_of, with_job_id
from slurm_compat.engine.validation import Invalid, check_reason, check_request


def request_of(*items, queue="q", job_set="s"):
    return submit_pb2.JobSubmitRequest(queue=queue, job_set_id=job_set, job_request_items=items)


def change(make_item, action):
    made = make_item("/bin/true")
    action(made, made.pod_specs[0], made.pod_specs[0].containers[0])
    return made


def gang(**more):
    return {f"armadaproject.io/{key}": value for key, value in more.items()}


def test_a_plain_request_passes(make_item):
    check_request(request_of(make_item("/bin/true")))
    check_request(request_of())


def set_resource(container, which, name, amount):
    getattr(container.resources, which)[name].string = amount


ITEMS = [
    (lambda i, p, c: setattr(i, "namespace", ""), "namespace is a required field"),
    (lambda i, p, c: i.pod_spec.SetInParent(), "PodSpec and PodSpecs cannot be set together"),
    (lambda i, p, c: i.pod_specs.add(), "multiple pods are not supported"),
    (lambda i, p, c: i.ClearField("pod_specs"), "no podspecs provided"),
    (lambda i, p, c: c.env.add(name="X", value="x" * 65536), "greater than the maximum allowed size of 65535"),
    (
        lambda i, p, c: p.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution.add(weight=1),
        "preferredDuringScheduling",
    ),
    (
        lambda i, p, c: (
            p.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms.add().matchExpressions.add(
                key="k", operator="In"
            )
        ),
        "invalid RequiredDuringScheduling",
    ),
    (lambda i, p, c: c.ClearField("resources"), "has no resources specified"),
    (lambda i, p, c: set_resource(c, "limits", "x/y", "1"), "different resources for requests and limits"),
    (lambda i, p, c: set_resource(c, "limits", "cpu", "2"), "they must be equal"),
    (lambda i, p, c: set_resource(c, "requests", "cpu", "one"), "quantities must match"),
    (
        lambda i, p, c: [set_resource(c, which, "memory", "1Ki") for which in ("requests", "limits")],
        "below server minimum",
    ),
    (lambda i, p, c: [set_resource(c, which, "cpu", "-1") for which in ("requests", "limits")], "negative resources"),
    (lambda i, p, c: p.initContainers.add().CopyFrom(c), "must request fractional cpu"),
    (lambda i, p, c: setattr(p, "priorityClassName", "mine"), "priority class mine is not supported"),
    (lambda i, p, c: setattr(p, "terminationGracePeriodSeconds", 301), "must be between 1s and 300s"),
    (lambda i, p, c: i.ingress.add(), "zero ports"),
    (lambda i, p, c: [i.ingress.add(ports=[80]) for _ in "ab"], "two ingress configurations"),
    (lambda i, p, c: [c.ports.add(containerPort=80) for _ in "ab"], "exposed more than once"),
    (lambda i, p, c: setattr(i, "client_id", "x" * 101), "client id of length 101"),
    (lambda i, p, c: i.annotations.update(gang(priceBand="Z")), "price band"),
    (lambda i, p, c: i.annotations.update(gang(gangId="")), "empty gang id"),
    (lambda i, p, c: i.annotations.update(gang(gangId="g")), "must be set"),
]


@pytest.mark.parametrize("action, words", ITEMS, ids=[words for _, words in ITEMS])
def test_a_bad_item_refuses_the_request(make_item, action, words):
    with pytest.raises(Invalid, match=words):
        check_request(request_of(make_item("/bin/true"), change(make_item, action)))


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"queue": ""}, "queue name is missing"),
        ({"job_set": ""}, "job set id is missing"),
        ({"job_set": "x" * 1024}, "job set id is too long"),
    ],
)
def test_a_bad_request(make_item, fields, words):
    with pytest.raises(Invalid, match=words):
        check_request(request_of(make_item("/bin/true"), **fields))


@pytest.mark.parametrize(
    "one, other, words",
    [
        (gang(gangCardinality="2"), gang(gangCardinality="3"), "inconsistent gang cardinality"),
        (
            gang(gangCardinality="2", gangNodeUniformityLabel="a"),
            gang(gangCardinality="2", gangNodeUniformityLabel="b"),
            "inconsistent nodeUniformityLabel",
        ),
    ],
)
def test_members_of_a_gang_agree(make_item, one, other, words):
    items = [make_item("/bin/true", annotations={"armadaproject.io/gangId": "g", **more}) for more in (one, other)]
    with pytest.raises(Invalid, match=words):
        check_request(request_of(*items))


def test_members_of_a_gang_are_of_one_priority_class(make_item):
    items = [
        make_item("/bin/true", annotations=gang(gangId="g", gangCardinality="2"), priority_class=name)
        for name in ("armada-default", "armada-preemptible")
    ]
    with pytest.raises(Invalid, match="inconsistent PriorityClassName"):
        check_request(request_of(*items))


def test_a_reason_is_measured_in_bytes():
    check_reason("r" * 50)
    with pytest.raises(Invalid):
        check_reason("ü" * 26)


@pytest.mark.parametrize(
    "number, want",
    [(0, 0), (-5, 0), (1.4, 1), (1.5, 2), (1e300, 0xFFFFFFFF), (float("nan"), 0), (4294967295, 4294967295)],
)
def test_priorities_are_whole_numbers_from_zero(number, want):
    assert priority_of(number) == want


@pytest.mark.parametrize(
    "text, want", [("x", "x"), ("a-{JobId}", "a-ID"), ("{{JobId}}", "{JobId}"), ("{JobId}{{JobId}}", "ID{JobId}")]
)
def test_the_job_id_in_labels_and_annotations(text, want):
    assert with_job_id(text, "ID") == want


def test_defaults_are_filled_in(make_item):
    made = make_item("/bin/true", grace=0, annotations=gang(gangId="g", gangCardinality="2"))
    spec = spec_of(made, "id", "q", "s", "owner", 12.5)
    assert spec.pod_spec.priorityClassName == "armada-default"
    assert spec.pod_spec.terminationGracePeriodSeconds == 1
    assert spec.annotations["armadaproject.io/failFast"] == "true"
    assert (spec.created.seconds, spec.created.nanos, spec.owner) == (12, 500_000_000, "owner")
    del spec.pod_spec.containers[0].resources.requests["memory"]
    fill_in(spec)
    assert spec.pod_spec.containers[0].resources.requests["memory"].string == "1Gi"


def test_the_external_uri_may_stand_in_an_annotation(make_item):
    assert external_uri_of(make_item("/bin/true", annotations=gang(externalJobUri="u"))) == "u"
    assert external_uri_of(make_item("/bin/true", external_job_uri="x" * 2000)) == "x" * 1024
