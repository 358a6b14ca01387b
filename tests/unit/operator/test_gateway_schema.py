"""What the REST door serves is what its OpenAPI document says: schemathesis tries to refute it.

Videos and letters that it can guess by the examples are there, so that more than 404 is seen.
"""

import json
from typing import Any

import pytest
import schemathesis
from fakes.letters import FakeLetterQueue, Message
from fakes.videos import FakeVideoStore, build_video, final
from hypothesis import HealthCheck, given, settings
from m0_operator.domain.letters import Letter
from m0_operator.domain.views import VideoView
from m0_operator.gateway import examples
from m0_operator.gateway.models import (
    LetterDetail,
    LetterList,
    Purged,
    Queued,
    Replayed,
    Stopping,
    VideoChange,
    VideoList,
)
from m0_operator.gateway.problems import Problem
from m0_wire.errors import BrokerUnavailableError
from pydantic import BaseModel
from schemathesis.checks import not_a_server_error
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from .conftest import request_body
from .doors import Door, FakeProbe

TOKEN = "0123456789abcdef"
READ_TOKEN = "fedcba9876543210"
OPERATIONS = {
    ("GET", "/api/v1/dead-letters"): {200, 401, 403, 422, 503},
    ("GET", "/api/v1/dead-letters/{letter_id}"): {200, 401, 403, 404, 422, 503},
    ("POST", "/api/v1/dead-letters/{letter_id}/replay"): {
        200, 400, 401, 403, 404, 408, 413, 422, 503,
    },
    ("GET", "/api/v1/jobs"): {200, 401, 403, 410, 422, 503},
    ("GET", "/api/v1/jobs/{process_id}"): {200, 401, 403, 404, 503},
    ("GET", "/api/v1/jobs/{process_id}/logs"): {200, 401, 403, 404, 422, 501, 503},
    ("PATCH", "/api/v1/jobs/{process_id}"): {200, 400, 401, 403, 404, 408, 409, 413, 422, 503},
    ("DELETE", "/api/v1/dead-letters"): {200, 401, 403, 422, 503},
    ("DELETE", "/api/v1/dead-letters/{letter_id}"): {200, 401, 403, 404, 422, 503},
    ("DELETE", "/api/v1/jobs/{process_id}"): {202, 401, 403, 404, 409, 503},
    ("GET", "/api/v1/jobs/{process_id}/events"): {200, 204, 401, 403, 404, 422, 503},
    ("POST", "/api/v1/process_video"): {200, 400, 401, 403, 408, 413, 422, 503},
    ("GET", "/health"): {200, 401, 403},
    ("GET", "/livez"): {200},
    ("GET", "/readyz"): {200, 503},
}  # fmt: skip


def build_door(**more: Any) -> Door:
    letters = [
        Message(request_body(number), {"x-m0-error-code": "KILLED"}, 3, str(number))
        for number in range(3)
    ]
    videos = (
        build_video(101, **final(), jobRef={"name": "job"}),
        build_video(0, **final("STOPPED")),
    )
    store = FakeVideoStore(
        *videos,
        *(build_video(n, **final("KILLED")) for n in range(1, 9)),
        build_video(102, phase="Running"),
        build_video(103, phase="Running", jobRef={"name": "job"}),
    )
    store.write("pod", "one", "two", phase="Succeeded")
    tokens = {"gateway_tokens": TOKEN, "gateway_read_tokens": READ_TOKEN}
    return Door(
        store=store,
        letters=FakeLetterQueue(letters),
        settings=tokens,
        probe=FakeProbe(),
        **more,
    )


DOCUMENT = build_door().build().openapi()


EXAMPLES = {"well": 20, "broker away": 8, "may only look": 4, "a stranger": 4}


@pytest.mark.parametrize("state", EXAMPLES)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_documented(method: str, path: str, state: str) -> None:
    door = build_door()
    if state == "broker away":
        door.queue.error = BrokerUnavailableError("away")
        door.letters.errors = dict.fromkeys(("take", "resubmit"), BrokerUnavailableError("away"))
    token = {"may only look": READ_TOKEN, "a stranger": "x"}.get(state, TOKEN)
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", door.build(), headers={"Authorization": f"Bearer {TOKEN}"}
    )

    @given(case=schema[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    @settings(max_examples=EXAMPLES[state], deadline=None, suppress_health_check=list(HealthCheck))
    def run(case: schemathesis.Case) -> None:
        # A request must satisfy more than a schema can say, and a stranger is refused whatever
        # is sent: whether data is good or bad is for other tests.
        answer = case.call_and_validate(
            headers=headers,
            excluded_checks=[positive_data_acceptance, negative_data_rejection, not_a_server_error],
        )
        assert answer.status_code < 500 or (answer.status_code == 503 and state == "broker away")

    run()


def test_every_endpoint_says_all_that_it_may_answer() -> None:
    found = {
        (method.upper(), path): {int(status) for status in operation["responses"]}
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }
    assert found == OPERATIONS


def test_every_answer_has_a_model_and_an_example_where_it_helps() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            for status, answer in operation["responses"].items():
                if status == "204":
                    continue
                ((media, content),) = answer["content"].items()
                assert content["schema"], (method, path, status)
                problem = int(status) >= 400 and path != "/readyz"
                assert (media == "application/problem+json") is problem, (method, path, status)
                if problem or path.startswith("/api"):
                    assert content["example"], (method, path, status)


def test_the_document_asks_for_a_token_where_the_door_does() -> None:
    assert DOCUMENT["security"] == [{"bearer": []}]
    free = {
        path
        for path, item in DOCUMENT["paths"].items()
        for operation in item.values()
        if operation.get("security") == []
    }
    assert free == {"/livez", "/readyz"}
    document = Door().build().openapi()
    assert "security" not in document
    assert "securitySchemes" not in document["components"]


def test_the_requests_of_the_document_are_those_of_the_contract() -> None:
    request = DOCUMENT["components"]["schemas"]["VideoRequest"]
    assert {"process_id", "cloud_stream_path", "priority"} <= request["properties"].keys()
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (Queued, examples.QUEUED),
        (VideoList, examples.VIDEOS),
        (VideoView, examples.VIDEO),
        (Stopping, examples.STOPPING),
        (LetterList, examples.LETTERS),
        (LetterDetail, examples.LETTER),
        (Replayed, examples.REPLAYED),
        (Letter, examples.PURGED_LETTER),
        (Purged, examples.PURGED),
        (VideoView, examples.SUSPENDED),
        (VideoChange, examples.CHANGE),
    ],
)
def test_the_examples_are_what_it_answers(model: type[BaseModel], example: dict[str, Any]) -> None:
    read = model.model_validate_json(json.dumps(example), strict=True)
    assert read.model_dump(mode="json") == example


def test_the_problems_of_the_document_are_problems() -> None:
    found = [
        content["example"]
        for operations in DOCUMENT["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for media, content in answer.get("content", {}).items()
        if media == "application/problem+json"
    ]
    assert len(found) > 20
    for example in found:
        assert Problem.model_validate(example).model_dump() == example
