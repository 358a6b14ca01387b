"""What the settings make of requests to S3, caught before they are sent."""

import io

import pytest
from botocore.awsrequest import AWSResponse
from m0_chunker.chunk import ChunkBody
from m0_chunker.settings import Settings
from m0_chunker.storage.base import ObjectInfo
from m0_chunker.storage.s3 import S3Store
from m0_contract.keys import ObjectUrl

URL = ObjectUrl("s3", "", "films", "a ü.mp4")
SHA = "00" * 32
INFO = ObjectInfo(SHA, {"m0-sha256": SHA}, 1.5)


class Raw(io.BytesIO):
    def stream(self, **_):
        yield self.read()


@pytest.fixture
def requests_of(monkeypatch):
    """`requests_of(do, **settings)` → the requests that `do(store)` makes."""
    for name in ("M0_S3_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "topsecret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")

    def run(do, **settings):
        store, sent = S3Store(Settings(**settings)), []

        def answer(request, **_):
            sent.append(request)
            headers = {"ETag": '"e"', "Content-Length": "0", "Content-Range": "bytes 0-0/0"}
            return AWSResponse(request.url, 200, headers, Raw(b""))

        store.client.meta.events.register("before-send.s3", answer)
        do(store)
        return sent

    return run


def put(store):
    store.put(URL, ChunkBody(b"abc", io.BytesIO(), 0, 0), INFO)


def text(headers, name):
    value = headers.get(name)
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://films.s3.eu-central-1.amazonaws.com/a%20%C3%BC.mp4"),
        (
            {"s3_addressing_style": "path"},
            "https://s3.eu-central-1.amazonaws.com/films/a%20%C3%BC.mp4",
        ),
        ({"s3_endpoint_url": "http://s3:9000"}, "http://s3:9000/films/a%20%C3%BC.mp4"),
        (
            {"s3_endpoint_url": "http://s3:9000", "s3_addressing_style": "virtual"},
            "http://films.s3:9000/a%20%C3%BC.mp4",
        ),
    ],
    ids=["aws", "aws by path", "own endpoint", "own endpoint with host names"],
)
def test_addressing(requests_of, settings, url):
    (request,) = requests_of(put, **settings)
    assert request.url == url


@pytest.mark.parametrize("endpoint", ["http://s3:9000", "https://s3:9000", None])
def test_the_digest_that_is_known_is_checksum_and_payload_hash(requests_of, endpoint):
    (request,) = requests_of(put, s3_endpoint_url=endpoint)
    assert text(request.headers, "x-amz-checksum-sha256") == "A" * 43 + "="
    assert text(request.headers, "X-Amz-Content-SHA256") == SHA, "not computed from the body"
    assert "x-amz-checksum-sha256" in text(request.headers, "Authorization"), "and it is signed"


def test_encryption_payer_and_tag(requests_of):
    settings = {
        "s3_sse": "aws:kms",
        "s3_sse_kms_key_id": "key",
        "s3_requester_pays": True,
    }
    (request,) = requests_of(put, **settings)
    wanted = {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "key",
        "x-amz-request-payer": "requester",
        "x-amz-tagging": "m0-ttl-hours=1.5",
        "x-amz-meta-m0-sha256": SHA,
    }
    assert {name: text(request.headers, name) for name in wanted} == wanted
    assert request.headers.get("x-amz-acl") is None


def test_without_the_settings_there_are_no_such_headers(requests_of):
    (request,) = requests_of(put, cache_tagging=False)
    for name in ("server-side-encryption", "request-payer", "tagging"):
        assert request.headers.get(f"x-amz-{name}") is None


def test_a_version_of_a_source_is_asked_for_with_a_range(requests_of):
    (request,) = requests_of(
        lambda store: store.open_source(URL, "v 1").close(), s3_requester_pays=True
    )
    assert request.url.endswith("?versionId=v%201")
    assert text(request.headers, "Range") == "bytes=0-262143"
    assert text(request.headers, "x-amz-request-payer") == "requester"
