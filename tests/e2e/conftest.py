"""One film in the store, and process ids that no other run uses."""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from devstack import ROOT, DevStack

BUCKET, CACHE = "spectra-videos", "spectra-cache"
FILM_SECONDS = 20
CHUNK_SECONDS = 4
FILM_CHUNKS = 5


@pytest.fixture(scope="session")
def new_id() -> Callable[[], int]:
    """Process ids, each given once in the life of the cluster."""
    counter = itertools.count(int(time.time() * 10) * 1000)
    return lambda: next(counter)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s of 320x240 at 15 frames per second, a key frame each second, with sound."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    size = ["--width", "320", "--height", "240", "--fps", "15", "--gop-seconds", "1"]
    maker = [sys.executable, str(ROOT / "tests" / "films.py")]
    subprocess.run([*maker, "--seconds", str(FILM_SECONDS), *size, "--out", str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def source(stack: DevStack, film: Path) -> Iterator[str]:
    """The film's URL in the store."""
    key = f"e2e/{int(time.time())}/film.mp4"
    stack.s3.upload_file(str(film), BUCKET, key)
    yield f"s3://{BUCKET}/{key}"
    stack.s3.delete_object(Bucket=BUCKET, Key=key)


@pytest.fixture
def request_for(source: str) -> Callable[..., dict[str, Any]]:
    """Builds the request of a process id; keyword arguments replace fields."""

    def build(process_id: int, /, **changes: Any) -> dict[str, Any]:
        document = {
            "process_id": process_id,
            "inference_modality": "batch",
            "cloud_stream_path": source,
            "destination_prefix": f"processed/{process_id}/",
            "cache_container_name": CACHE,
            "video_preprocessing": {"chunk_duration": CHUNK_SECONDS},
            "inference_config": {"model": "vlm-1", "nested": {"π": [1, 2.5, None]}},
        }
        document.update(changes)
        return {name: value for name, value in document.items() if value is not ...}

    return build
