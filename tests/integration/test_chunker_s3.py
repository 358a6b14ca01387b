"""The chunker against a real S3 server.

Reads M0_S3_ENDPOINT_URL and AWS_* from the environment, else from `.m0/dev.env`, which
`make up` writes. Without a server these tests fail: skipped, they would say nothing.
"""

import hashlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from integration.servers import ROOT, S3, read_access


@pytest.fixture(scope="module")
def access() -> dict[str, str]:
    """The server's address and keys."""
    return read_access(S3)


@pytest.fixture(scope="module")
def s3(access):
    return boto3.client(
        "s3",
        endpoint_url=access["M0_S3_ENDPOINT_URL"],
        aws_access_key_id=access["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=access["AWS_SECRET_ACCESS_KEY"],
        region_name=access["AWS_REGION"],
        config=Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=20),
    )


@pytest.fixture(scope="module")
def buckets(s3):
    """(films, cache): two buckets of this test's own, removed afterwards."""
    names = [f"m0-test-{kind}-{uuid.uuid4().hex[:8]}" for kind in ("films", "cache")]
    for name in names:
        s3.create_bucket(Bucket=name)
    yield names
    for name in names:
        for entry in s3.list_objects_v2(Bucket=name).get("Contents", []):
            s3.delete_object(Bucket=name, Key=entry["Key"])
        s3.delete_bucket(Bucket=name)


@pytest.fixture(scope="module")
def film(s3, buckets, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    maker = [sys.executable, ROOT / "tests/films.py", "--width", "160", "--height", "120"]
    subprocess.run([*maker, "--seconds", "10", "--out", path], check=True)
    s3.upload_file(str(path), buckets[0], "uploads/ein Film?#%20ü.mp4")
    return path


@pytest.fixture
def cut(access, buckets, tmp_path):
    """`cut(source=…, cache=…, …)` → (exit code, messages, outcome, stderr)."""

    def run(source: str | None = None, cache: str | None = None, env=None, **changes):
        request = {
            "process_id": 101,
            "inference_modality": "batch",
            "cloud_stream_path": source or f"s3://{buckets[0]}/uploads/ein Film?#%20ü.mp4",
            "destination_prefix": "processed/101/",
            "cache_container_name": cache or buckets[1],
            "video_preprocessing": {"chunk_duration": 2},
        } | changes
        path, log = tmp_path / "request.json", tmp_path / "log"
        path.write_text(json.dumps(request))
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("M0_", "AWS_", "AZURE_"))}
        import_path = os.pathsep.join(str(ROOT / n) for n in ("contract", "wire", "chunker-job"))
        done = subprocess.run(
            [sys.executable, "-m", "m0_chunker.cli", "--request", path],
            env=keep
            | access
            | {"PYTHONPATH": import_path, "M0_TERMINATION_LOG": str(log)}
            | (env or {}),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, messages, json.loads(log.read_text()), done.stderr

    return run


def test_both_objects_hold_the_chunk_and_say_so(s3, buckets, film, cut):
    code, messages, outcome, stderr = cut()
    assert code == 0, stderr
    assert len(messages) == 5
    assert outcome["receipt"]["bytes_read"] == film.stat().st_size
    assert outcome["receipt"]["uploads"] == 2 * outcome["chunks"]
    assert outcome["receipt"]["upload_s"] > 0
    for message in messages:
        number = message["chunk_id"]
        keys = (f"processed/101/chunk_{number:03d}.mp4", f"temp/101/chunk_{number:03d}.mp4")
        for bucket, key in zip(buckets, keys, strict=True):
            answer = s3.get_object(Bucket=bucket, Key=key)
            assert hashlib.sha256(answer["Body"].read()).hexdigest() == message["chunk_hash"]
            assert answer["ContentType"] == "video/mp4"
            said = answer["Metadata"]
            assert said["m0-sha256"] == message["chunk_hash"]
            assert float(said["m0-start"]) == message["start_time"]
            assert float(said["m0-end"]) == message["end_time"]
            assert ("m0-expires-at" in said) == (bucket == buckets[1])
        tags = s3.get_object_tagging(Bucket=buckets[1], Key=keys[1])["TagSet"]
        assert tags == [{"Key": "m0-ttl-hours", "Value": "24"}]


@pytest.mark.usefixtures("film")
def test_again_gives_the_same(cut):
    assert cut()[1] == cut()[1]


def check(result, code, exit_code, *words):
    got, messages, outcome, stderr = result
    failure = outcome["failure"]
    assert (failure["code"], got) == (code, exit_code), stderr
    assert all(word in failure["message"] for word in words), failure
    assert messages == []
    assert "Traceback" not in stderr


def test_missing_object(buckets, cut):
    check(cut(source=f"s3://{buckets[0]}/none.mp4"), "SOURCE_NOT_FOUND", 65, "none.mp4", buckets[0])


def test_missing_source_bucket(cut):
    check(cut(source="s3://m0-test-no-such/x.mp4"), "SOURCE_NOT_FOUND", 65, "m0-test-no-such")


@pytest.mark.usefixtures("film")
def test_missing_cache_bucket(cut):
    check(cut(cache="m0-test-no-such"), "DESTINATION_NOT_FOUND", 65, "m0-test-no-such")


@pytest.mark.usefixtures("film")
def test_wrong_key(cut):
    result = cut(env={"AWS_SECRET_ACCESS_KEY": "wrong-" + "x" * 20})
    check(result, "SOURCE_FORBIDDEN", 65)
    assert "wrong-" not in result[3]


@pytest.mark.usefixtures("film")
def test_nobody_listens(cut):
    result = cut(env={"M0_S3_ENDPOINT_URL": "http://127.0.0.1:9"})
    check(result, "SOURCE_UNREACHABLE", 75)


def test_no_film(s3, buckets, cut):
    s3.put_object(Bucket=buckets[0], Key="text.mp4", Body=b"no film\n" * 10_000)
    check(cut(source=f"s3://{buckets[0]}/text.mp4"), "NOT_MEDIA", 65, "text.mp4")
