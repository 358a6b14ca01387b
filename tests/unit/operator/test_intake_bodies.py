"""Any body becomes a dead letter that says why, or a resource that the API takes."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from m0_contract.errors import ErrorCode, Stage
from m0_contract.resource import REQUEST_ANNOTATION
from pamqp.encode import field_table

from .conftest import World, request_body

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
TEXTS = (
    st.text(st.characters(codec=None), max_size=300)
    | st.text(st.sampled_from("\0\x7f\u202e\u200f\ud800\udfff🎬/.-_%AZaz09İß \n"), max_size=300)
    | st.sampled_from([".", "..", "", "-", "A" * 63, "a" * 64, "x" * 10_000, "Ü" * 256, "a\n"])
)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(2**64), 2**64),
    st.sampled_from([0, -1, 2**63 - 1, 2**63, 10**100, 10**4299, -(10**4000)]),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
FIELDS = (
    "process_id", "inference_modality", "cloud_stream_path", "destination_prefix",
    "cache_container_name", "video_preprocessing", "inference_config",
    "cloud_stream_version_id", "anything",
)  # fmt: skip
RAW = (
    "NaN", "-Infinity", "1e999", "9" * 5000, "-" + "9" * 5000, "0." + "1" * 5000, "1e-999",
    "[" * 100_000, '{"a":' * 40_000, "[" * 63 + "]" * 63, "[" * 900 + "]" * 900,
    '{"a": 1, "a": 2}', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', "\ufeff1", "01", "'a'",
    '"\x01"', "", "{", "nul",
)  # fmt: skip


async def settle(body: bytes) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """(the resource, the dead letter) that came of it; whatever comes is fit for its taker."""
    world = World()
    delivery = await world.send(body, headers={"trace": "t1"}, priority=3)
    assert delivery.acked
    for name in list(world.cluster.resources):
        check_resource(world.cluster.resources[name])
        await world.reconcile(name)
        for job in world.cluster.jobs.values():
            check_job(job)
    for letter in world.dead_letters.letters:
        check_letter(letter, body)
    assert len(world.dead_letters.letters) + len(world.cluster.jobs) == 1
    resources, letters = list(world.cluster.resources.values()), world.dead_letters.letters
    return (resources[0] if resources else None), (letters[0] if letters else None)


def check_resource(manifest: dict[str, Any]) -> None:
    assert DNS_LABEL.fullmatch(manifest["metadata"]["name"])
    for value in manifest["metadata"]["labels"].values():
        assert LABEL_VALUE.fullmatch(value)
    json.dumps(manifest, allow_nan=False, ensure_ascii=False).encode()


def check_job(manifest: dict[str, Any]) -> None:
    check_resource(manifest)
    pod = manifest["spec"]["template"]["metadata"]
    for value in pod["labels"].values():
        assert LABEL_VALUE.fullmatch(value)
    assert len(pod["annotations"][REQUEST_ANNOTATION].encode()) < 256 * 1024
    assert json.loads(pod["annotations"][REQUEST_ANNOTATION])["process_id"] is not None


def check_letter(letter: dict[str, Any], body: bytes) -> None:
    assert letter["body"] == body
    headers = letter["headers"]
    assert headers["x-m0-error-code"] in set(ErrorCode)
    assert headers["x-m0-stage"] == Stage.INTAKE
    assert 0 < len(headers["x-m0-error-message"]) <= 1024
    assert not re.search(r"sys\.|unicode string|recursion|pydantic", headers["x-m0-error-message"])
    assert headers["trace"] == "t1"
    field_table(headers)


@given(st.binary(max_size=300))
async def test_any_bytes(body: bytes) -> None:
    resource, letter = await settle(body)
    assert resource is None
    assert letter is not None


@given(st.integers(0, 600), st.binary(min_size=1, max_size=3))
async def test_a_request_with_a_few_bytes_of_it_changed(at: int, noise: bytes) -> None:
    body = request_body()
    at = min(at, len(body) - 1)
    await settle(body[:at] + noise + body[at + len(noise) :])


@given(VALUES)
async def test_any_json(value: Any) -> None:
    await settle(json.dumps(value).encode())


@given(st.sampled_from(FIELDS), VALUES)
async def test_a_request_with_anything_in_a_field(name: str, value: Any) -> None:
    await settle(request_body(**{name: value}))


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("raw", RAW, ids=lambda raw: ascii(raw)[:16])
async def test_a_request_with_what_json_may_not_have_in_a_field(name: str, raw: str) -> None:
    await settle(request_body(**{name: "@"}).replace(b'"@"', raw.encode()))


@given(TEXTS)
@example("\0")
@example("\ud83c\udfac")
@example("\u202e\u2066evil")
@example("🎬" * 256)
async def test_a_process_id_of_any_characters(process_id: str) -> None:
    resource, letter = await settle(request_body(process_id))
    # Two halves beside each other are one character on the other side.
    process_id = json.loads(json.dumps(process_id))
    sound = 1 <= len(process_id) <= 256 and not re.search("[\ud800-\udfff]", process_id)
    assert (letter is None) is sound
    if resource is not None:
        assert resource["spec"]["processId"] == process_id


@given(NUMBERS)
async def test_a_process_id_of_any_number(process_id: float) -> None:
    resource, letter = await settle(request_body(process_id))  # type: ignore[arg-type]
    sound = isinstance(process_id, int) and 0 <= process_id < 2**63
    assert (letter is None) is sound
    assert (resource is not None) is sound


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b'{"process_id": ' + b"9" * 5000 + b"}", "INVALID_JSON", "a number of 5000 digits"),
        (b"[" * 100_000, "INVALID_JSON", "nested too deep"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "INVALID_REQUEST", "nested more than 64 deep"),
        (b'{"a": "' + b"x" * 10_000_000 + b'"}', "REQUEST_TOO_LARGE", "10000009 bytes"),
        ('{"process_id": 1}'.encode("utf-16"), "INVALID_JSON", "not encoded in UTF-8"),
        (b'{"process_id": "\xe9"}', "INVALID_JSON", "not encoded in UTF-8"),
        (b'\xef\xbb\xbf{"process_id": 1}', "INVALID_JSON", "byte order mark"),
        (b'{"process_id": "\\ud800"}', "INVALID_JSON", "half of a character"),
        (b'{"a": {"b": 1, "b": 2}}', "INVALID_JSON", "a key occurs twice"),
        (b'{"a": [NaN]}', "INVALID_JSON", "NaN is not JSON"),
        (b"null", "INVALID_JSON", "not an object"),
    ],
    ids=["digits", "endless", "deep", "large", "UTF-16", "Latin-1", "BOM", "surrogate", "twice",
         "NaN", "null"],
)  # fmt: skip
async def test_what_is_wrong_is_said_in_words_for_its_sender(
    body: bytes, code: str, said: str
) -> None:
    _, letter = await settle(body)
    assert letter is not None
    assert letter["headers"]["x-m0-error-code"] == code
    assert said in letter["headers"]["x-m0-error-message"]
