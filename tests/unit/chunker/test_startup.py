"""What a start imports: each library only where it is needed, since every film pays for it.

Not a timing: the list of imports is the same on a slow machine. `docs/performance.md` has
what each one costs.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from unit.chunker.conftest import build_request, environment

NEVER = {
    "boto3": "its resource layer and transfer manager are not used",
    "s3transfer": "likewise",
    "gql": "m0_wire.light_backend says the same to the backend",
    "graphql": "comes with gql",
    "httpx": "comes with gql",
    "rich": "comes with httpx where it is installed",
    "pydantic_settings": "ten lines of m0_chunker.settings do it",
    "dotenv": "comes with pydantic_settings",
    "aiohttp": "the operator's",
    "kopf": "the operator's",
    "numpy": "PyAV works without",
    "multiprocessing": "everything is in this process",
    "opentelemetry": "only a run whose spans are recorded; azure-core imports it where it may",
}

STORES = {"botocore", "azure", "requests", "cryptography"}
BROKER = {"aio_pika", "aiormq"}
MEDIA = {"av"}
NOWHERE = "http://127.0.0.1:9"


def imports(directory: Path, *arguments: str, **env: str) -> set[str]:
    """Top-level names of all modules that `m0-chunker` imported, whatever way it ended."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "m0_chunker.start", *arguments],
        env=environment(directory, **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    found = re.findall(r"^import time: +\d+ \| +\d+ \| +(\w+)", done.stderr, re.MULTILINE)
    assert "m0_chunker" in found, done.stderr
    return set(found)


@pytest.fixture
def request_file(tmp_path: Path):
    """`request_file(source, …)` → the path of a request for it."""

    def write(source: Path | str, **changes: str) -> str:
        path = tmp_path / "request.json"
        path.write_text(json.dumps(build_request(source, tmp_path, 2) | changes))
        return str(path)

    return write


def test_help_imports_no_library_but_pydantic(tmp_path: Path) -> None:
    found = imports(tmp_path, "--help")
    assert not found & (NEVER.keys() | STORES | BROKER | MEDIA | {"m0_wire"})


def test_a_local_film_needs_no_store_no_broker_no_backend(tmp_path, request_file, make_film):
    film = make_film("short.mp4", seconds=1.0)
    found = imports(tmp_path, "--request", request_file(film))
    assert found >= MEDIA
    assert not found & (NEVER.keys() | STORES | BROKER)


def test_a_film_on_s3_with_broker_and_backend(tmp_path, request_file):
    request = request_file(
        "s3://bucket/film.mp4", destination_prefix="out", cache_container_name="cache"
    )
    found = imports(
        tmp_path,
        "--request",
        request,
        M0_S3_ENDPOINT_URL=NOWHERE,
        M0_GRAPHQL_URL=f"{NOWHERE}/graphql",
        M0_AMQP_URL="amqp://127.0.0.1:9/",
        AWS_ACCESS_KEY_ID="x",
        AWS_SECRET_ACCESS_KEY="y",
    )
    assert found >= {"m0_wire", *BROKER}
    assert not found & (NEVER.keys() | {"azure", "requests"})


def test_a_film_on_azure_needs_no_botocore(tmp_path, request_file):
    account = "AccountName=a;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:9/a"
    request = request_file(
        "az://container/film.mp4", destination_prefix="out", cache_container_name="cache"
    )
    found = imports(
        tmp_path,
        "--request",
        request,
        AZURE_STORAGE_CONNECTION_STRING=f"DefaultEndpointsProtocol=http;{account}",
        M0_AMQP_URL="amqp://127.0.0.1:9/",
    )
    # azure-storage-blob imports aiohttp where it finds it; the chunker's image has none.
    assert not found & ((NEVER.keys() - {"aiohttp", "multiprocessing"}) | {"botocore"})
