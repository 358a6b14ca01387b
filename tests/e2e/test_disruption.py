"""Ten requests and five failures while the operator's pod is deleted under them."""

import json
import random
import time
from collections.abc import Callable
from typing import Any

import expect
from devstack import DevStack, wait_for
from test_requests import CUTS, post

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]
OPERATOR = "app.kubernetes.io/component=operator"


def test_ten_at_once_and_bad_ones_between_them_survive_the_operator_being_deleted(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    good = [request_for(new_id()) for _ in range(10)]
    for request in good[:5]:
        stack.publish(request, priority=random.randrange(10))
    for request in good[5:]:
        assert post(stack, json.dumps(request).encode())[0] == 200
    garbage = f"no json {new_id()}".encode()
    absent = request_for(new_id(), cloud_stream_path="s3://spectra-videos/none.mp4")
    fieldless = request_for(new_id(), video_preprocessing=...)
    for body in (garbage, absent, fieldless):
        stack.publish(body)

    moments = [random.uniform(0.5, 6) for _ in range(3)]
    print(f"deleting the operator's pod after {moments} s")
    for moment in moments:
        time.sleep(moment)
        stack.kubectl("delete", "pod", "-l", OPERATOR, "--wait=false")

    for request in good:
        expect.complete(stack, request, CUTS)
    expect.dead_letter(stack, garbage, code="INVALID_JSON", stage="intake")
    for request, code, stage in (
        (absent, "SOURCE_NOT_FOUND", "source"),
        (fieldless, "INVALID_REQUEST", "intake"),
    ):
        body = json.dumps(request).encode()
        name = f"video-{request['process_id']}"
        expect.settled(stack, name, "Failed")
        expect.dead_letter(stack, body, code=code, stage=stage)
        expect.no_second_dead_letter(stack, body)
        statuses = [status for status, _ in stack.statuses(request["process_id"])]
        assert statuses.count("FAILED") == 1
        assert statuses[-1] == "FAILED"


def test_requests_wait_for_an_operator_and_the_urgent_one_goes_first(
    stack: DevStack, new_id: NewId, request_for: Request
) -> None:
    stack.kubectl("scale", "deployment/m0-operator", "--replicas=0")
    wait_for("the operator to go", lambda: not stack.items("pods", OPERATOR))
    requests = [request_for(new_id()) for _ in range(5)]
    for request in requests[:-1]:
        stack.publish(request, priority=1)
    stack.publish(requests[-1], priority=9)
    stack.kubectl("scale", "deployment/m0-operator", "--replicas=1")
    for request in requests:
        expect.complete(stack, request, CUTS)
    resources = [stack.resource(f"video-{request['process_id']}") for request in requests]
    made = [resource["metadata"]["creationTimestamp"] for resource in resources if resource]
    # Three slots, five requests: the last to come would be among the last to be taken.
    assert made[-1] == min(made)
    assert max(made) > min(made)


def test_pods_meet_the_restricted_standard_which_the_namespace_enforces(stack: DevStack) -> None:
    labels = json.loads(stack.kubectl("get", "namespace", stack.namespace, "-o", "json"))
    enforced = labels["metadata"]["labels"].get("pod-security.kubernetes.io/enforce")
    assert enforced == "restricted"
    assert len(stack.items("pods", OPERATOR)) >= 1


def test_the_gateway_may_look_at_videos_and_the_chunker_may_do_nothing(stack: DevStack) -> None:
    accounts = json.loads(stack.kubectl("get", "serviceaccounts", "-o", "json"))["items"]
    named = [a["metadata"]["name"] for a in accounts]
    weak = [name for name in named if "gateway" in name or "chunker" in name]
    assert len(weak) == 2, named
    looking = {
        ("list", "videochunkjobs"), ("watch", "videochunkjobs"), ("patch", "videochunkjobs"),
        # gateway.logs.enabled is on here.
        ("list", "pods"), ("get", "pods/log"),
    }  # fmt: skip
    refused = {
        ("delete", "pods"), ("get", "secrets"), ("delete", "videochunkjobs"),
        ("create", "videochunkjobs"), ("patch", "videochunkjobs/status"), ("list", "jobs"),
    }  # fmt: skip
    for name in weak:
        who = f"--as=system:serviceaccount:{stack.namespace}:{name}"
        for verb, kind in looking | refused:
            # KIND/NAME would be one object of that name.
            resource, _, part = kind.partition("/")
            below = [f"--subresource={part}"] if part else []
            answer = stack.kubectl("auth", "can-i", verb, resource, *below, who, check=False)
            allowed = "gateway" in name and (verb, kind) in looking
            assert answer.strip() == ("yes" if allowed else "no"), (name, verb, kind)
