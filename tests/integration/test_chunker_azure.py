"""The chunker against a real Azure Blob server, and with one store as source, another behind.

Reads its variables as the tests of S3 do.
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
from azure.storage.blob import BlobServiceClient
from botocore.config import Config
from integration.servers import AZURE, ROOT, S3, read_access

FILM = "uploads/ein Film?#%20ü.mp4"


@pytest.fixture(scope="module")
def azure():
    return BlobServiceClient.from_connection_string(read_access(AZURE)[AZURE[0]])


@pytest.fixture(scope="module")
def s3():
    access = read_access(S3)
    return boto3.client(
        "s3",
        endpoint_url=access["M0_S3_ENDPOINT_URL"],
        aws_access_key_id=access["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=access["AWS_SECRET_ACCESS_KEY"],
        region_name=access["AWS_REGION"],
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.fixture(scope="module")
def names(azure, s3):
    """(films, cache): containers and buckets of the same names, removed afterwards."""
    names = [f"m0-test-{kind}-{uuid.uuid4().hex[:8]}" for kind in ("films", "cache")]
    for name in names:
        azure.create_container(name)
        s3.create_bucket(Bucket=name)
    yield names
    for name in names:
        azure.delete_container(name)
        for entry in s3.list_objects_v2(Bucket=name).get("Contents", []):
            s3.delete_object(Bucket=name, Key=entry["Key"])
        s3.delete_bucket(Bucket=name)


@pytest.fixture(scope="module")
def film(azure, s3, names, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    maker = [sys.executable, ROOT / "tests/films.py", "--width", "160", "--height", "120"]
    subprocess.run([*maker, "--seconds", "10", "--out", path], check=True)
    azure.get_blob_client(names[0], FILM).upload_blob(path.read_bytes())
    s3.upload_file(str(path), names[0], FILM)
    return path


@pytest.fixture
def cut(names, tmp_path):
    """`cut(source, destination, env=…)` → (exit code, messages, outcome, stderr)."""

    def run(source: str, destination: str = "processed/101/", env=None):
        request = {
            "process_id": 101,
            "inference_modality": "batch",
            "cloud_stream_path": source,
            "destination_prefix": destination,
            "cache_container_name": names[1],
            "video_preprocessing": {"chunk_duration": 2},
        }
        path, log = tmp_path / "request.json", tmp_path / "log"
        path.write_text(json.dumps(request))
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("M0_", "AWS_", "AZURE_"))}
        import_path = os.pathsep.join(str(ROOT / n) for n in ("contract", "wire", "chunker-job"))
        access = read_access(S3) | read_access(AZURE) if env is None else env
        done = subprocess.run(
            [sys.executable, "-m", "m0_chunker.cli", "--request", path],
            env=keep | access | {"PYTHONPATH": import_path, "M0_TERMINATION_LOG": str(log)},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, messages, json.loads(log.read_text()), done.stderr

    return run


def test_both_blobs_hold_the_chunk_and_say_so(azure, names, film, cut):
    code, messages, outcome, stderr = cut(f"az://{names[0]}/{FILM}")
    assert code == 0, stderr
    assert len(messages) == 5
    assert outcome["receipt"]["bytes_read"] == film.stat().st_size
    for message in messages:
        name = f"101/chunk_{message['chunk_id']:03d}.mp4"
        for container, key in zip(names, (f"processed/{name}", f"temp/{name}"), strict=True):
            blob = azure.get_blob_client(container, key)
            body = blob.download_blob().readall()
            assert hashlib.sha256(body).hexdigest() == message["chunk_hash"]
            found = blob.get_blob_properties()
            assert found.content_settings.content_type == "video/mp4"
            assert found.metadata["m0_sha256"] == message["chunk_hash"]
            assert float(found.metadata["m0_end"]) == message["end_time"]
            assert ("m0_expires_at" in found.metadata) == (container == names[1])


@pytest.mark.usefixtures("film")
@pytest.mark.parametrize(("source", "target"), [("s3", "az"), ("az", "s3")])
def test_from_one_store_into_the_other(azure, s3, names, cut, source, target):
    code, messages, _, stderr = cut(
        f"{source}://{names[0]}/{FILM}", f"{target}://{names[0]}/from-{source}/"
    )
    assert code == 0, stderr
    for message in messages:
        key = f"from-{source}/chunk_{message['chunk_id']:03d}.mp4"
        assert message["cloud_stream_path"] == f"{target}://{names[0]}/{key}"
        if target == "az":
            body = azure.get_blob_client(names[0], key).download_blob().readall()
        else:
            body = s3.get_object(Bucket=names[0], Key=key)["Body"].read()
        assert hashlib.sha256(body).hexdigest() == message["chunk_hash"]


@pytest.mark.usefixtures("film")
@pytest.mark.parametrize(
    ("env", "code", "exit_code"),
    [
        ({}, "BAD_CONFIGURATION", 65),
        ({AZURE[0]: "AccountKey=topsecret"}, "BAD_CONFIGURATION", 65),
        (
            {"AZURE_STORAGE_ACCOUNT": "http://127.0.0.1:1/x", "AZURE_STORAGE_KEY": "dG9wc2VjcmV0"},
            "SOURCE_UNREACHABLE",
            75,
        ),
    ],
    ids=["nothing set", "malformed", "nobody listens"],
)
def test_what_fails_says_why_and_no_secret(names, cut, env, code, exit_code):
    got, messages, outcome, stderr = cut(f"az://{names[0]}/{FILM}", env=env)
    assert (outcome["failure"]["code"], got) == (code, exit_code), stderr
    assert messages == []
    for word in ("topsecret", "dG9wc2VjcmV0", "sig=", "Traceback"):
        assert word not in stderr + json.dumps(outcome)
