"""Requests: what is taken, what is refused, and how clearly."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from m0_contract.errors import ErrorCode
from m0_contract.request import MAX_BODY_BYTES, RequestError, parse_request
from m0_contract.resource import Origin, VideoChunkJobSpec, build_spec

WORKED_EXAMPLE = {
    "process_id": 101,
    "inference_modality": "batch",
    "cloud_stream_path": "s3://spectra-videos/uploads/security_cam_feed.mp4",
    "destination_prefix": "processed/101/",
    "cache_container_name": "spectra-cache",
    "video_preprocessing": {"chunk_duration": 60, "fps": 30, "width": 1280, "height": 720},
    "inference_config": {"any": "object, passed through untouched"},
}


def encode(**changes: object) -> bytes:
    document = {**WORKED_EXAMPLE, **changes}
    return json.dumps({k: v for k, v in document.items() if v is not ...}).encode()


def cutting(**changes: object) -> dict[str, object]:
    return {"video_preprocessing": {"chunk_duration": 5, **changes}}


def refusal(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse_request(body)
    return caught.value


def test_the_worked_example_is_taken() -> None:
    request = parse_request(encode())
    assert request.process_id == 101
    assert request.video_preprocessing.chunk_duration == 60


def test_unknown_fields_are_kept() -> None:
    request = parse_request(encode(tenant="a", video_preprocessing={"chunk_duration": 5, "x": 1}))
    document = json.loads(request.to_json())
    assert document["tenant"] == "a"
    assert document["video_preprocessing"]["x"] == 1


def test_an_overlap_as_long_as_a_chunk_says_which_bound_it_breaks() -> None:
    text = str(refusal(encode(**cutting(overlap=5))))
    assert text == "video_preprocessing.overlap: must be less than chunk_duration (5)"


def test_of_a_bad_chunk_duration_only_that_is_said() -> None:
    error = refusal(encode(video_preprocessing={"chunk_duration": 0, "overlap": 3}))
    assert error.field == "video_preprocessing.chunk_duration"


def test_what_is_not_asked_for_is_a_cut_at_key_frames_without_overlap() -> None:
    wanted = parse_request(encode()).video_preprocessing
    assert (wanted.precision, wanted.overlap) == ("keyframe", 0.0)
    assert parse_request(encode(cloud_stream_version_id=None)).cloud_stream_version_id is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[1]", b"null", b'"x"', b'{"a": NaN}', b'{"a": 1e999}',
     b'{"a": 1, "a": 2}', b'{"a": "\\ud800"}', b"[" * 100_000, b'{"a":' * 5000],
    ids=["empty", "cut off", "not utf-8", "array", "null", "string", "NaN", "infinite",
         "duplicate key", "lone surrogate", "deep array", "deep object"],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_invalid_json(body: bytes) -> None:
    error = refusal(body)
    assert error.code is ErrorCode.INVALID_JSON
    assert error.process_id is None


def test_nesting_beyond_the_limit_is_refused() -> None:
    deep: object = 1
    for _ in range(100):
        deep = {"a": deep}
    assert refusal(encode(inference_config=deep)).code is ErrorCode.INVALID_REQUEST


def test_a_giant_body_is_refused() -> None:
    error = refusal(encode(inference_config={"a": "x" * MAX_BODY_BYTES}))
    assert error.code is ErrorCode.REQUEST_TOO_LARGE


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"process_id": ...}, "process_id"),
        ({"process_id": True}, "process_id"),
        ({"process_id": 1.5}, "process_id"),
        ({"process_id": -1}, "process_id"),
        ({"process_id": 10**30}, "process_id"),
        ({"process_id": ""}, "process_id"),
        ({"inference_modality": "both"}, "inference_modality"),
        ({"cloud_stream_path": "ftp://x/y"}, "cloud_stream_path"),
        ({"cloud_stream_path": "file:///etc/passwd"}, "cloud_stream_path"),
        ({"cloud_stream_path": "s3://bucket"}, "cloud_stream_path"),
        ({"cloud_stream_path": "rtsp://cam/1"}, "cloud_stream_path"),
        ({"cloud_stream_path": 5}, "cloud_stream_path"),
        ({"destination_prefix": ""}, "destination_prefix"),
        ({"destination_prefix": "file:///tmp/x"}, "destination_prefix"),
        ({"destination_prefix": "ftp://x/y"}, "destination_prefix"),
        ({"cache_container_name": ...}, "cache_container_name"),
        ({"video_preprocessing": {"chunk_duration": 0}}, "video_preprocessing.chunk_duration"),
        ({"video_preprocessing": {"chunk_duration": "60"}}, "video_preprocessing.chunk_duration"),
        ({"video_preprocessing": {"chunk_duration": 5, "fps": -1}}, "video_preprocessing.fps"),
        (cutting(precision="frame"), "video_preprocessing.precision"),
        (cutting(precision=1), "video_preprocessing.precision"),
        (cutting(precision=None), "video_preprocessing.precision"),
        (cutting(overlap=5), "video_preprocessing.overlap"),
        (cutting(overlap=5.5), "video_preprocessing.overlap"),
        (cutting(overlap=-0.1), "video_preprocessing.overlap"),
        (cutting(overlap="1"), "video_preprocessing.overlap"),
        (cutting(overlap=True), "video_preprocessing.overlap"),
        ({"cloud_stream_version_id": ""}, "cloud_stream_version_id"),
        ({"cloud_stream_version_id": 7}, "cloud_stream_version_id"),
        ({"cloud_stream_version_id": "v" * 1025}, "cloud_stream_version_id"),
        ({"inference_config": [1]}, "inference_config"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_field_is_named(changes: dict[str, object], field: str) -> None:
    error = refusal(encode(**changes))
    assert error.code is ErrorCode.INVALID_REQUEST
    assert error.field == field
    assert error.process_id == (None if field == "process_id" else 101)


@pytest.mark.parametrize("name", ["cloud_stream_path", "video_preprocessing", "inference_config"])
def test_a_wrong_type_is_said_without_words_of_python(name: str) -> None:
    text = str(refusal(encode(**{name: 5})))
    assert re.fullmatch(rf"{name}: must be an? (object|string)", text)


def test_every_bad_field_is_named() -> None:
    error = refusal(encode(cache_container_name=..., inference_modality="x"))
    assert error.field == "inference_modality, cache_container_name"


def test_a_live_source_needs_a_full_destination() -> None:
    live = {"inference_modality": "live", "cloud_stream_path": "rtsp://camera/1"}
    assert refusal(encode(**live)).field == "destination_prefix"
    parse_request(encode(**live, destination_prefix="s3://bucket/live/"))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_request_error(body: bytes) -> None:
    with pytest.raises(RequestError):
        parse_request(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_any_value_in_any_field_is_a_request_or_a_request_error(value: object) -> None:
    for name in WORKED_EXAMPLE:
        try:
            parse_request(encode(**{name: value}))
        except RequestError as error:
            assert str(error)  # noqa: PT017 - both ends are fine, a third is not


def test_a_resource_gives_its_request_back() -> None:
    extras = cutting(precision="exact", overlap=1.5, x=1)
    body = encode(tenant="a", cloud_stream_version_id="v/1+π", **extras)
    request = parse_request(body)
    spec = VideoChunkJobSpec.model_validate(build_spec(request, None))
    assert spec.to_request() == request
    assert request.cloud_stream_version_id == "v/1+π"


def test_a_resource_says_only_what_the_request_said() -> None:
    spec = build_spec(parse_request(encode(**cutting())), None)
    assert spec["videoPreprocessing"] == {"chunkDuration": 5.0}
    assert "cloudStreamVersionId" not in spec


def test_the_original_bytes_win_over_the_resource_fields() -> None:
    body = encode(inference_config={"big": 2**70})
    origin = Origin(body=__import__("base64").b64encode(body).decode())
    spec = build_spec(parse_request(body), origin)
    spec["inferenceConfig"] = {"big": 1.1805916207174113e21}
    assert VideoChunkJobSpec.model_validate(spec).to_request().inference_config == {"big": 2**70}
