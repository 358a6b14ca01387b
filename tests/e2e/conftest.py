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
def make_film(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a film of this name; arguments as those of tests/films.py."""

    def make(name: str, /, *arguments: object) -> Path:
        path = tmp_path_factory.mktemp("films") / name
        size = ["--width", 320, "--height", 240, "--fps", 15, "--gop-seconds", 1]
        maker = [sys.executable, ROOT / "tests" / "films.py", "--out", path, *size, *arguments]
        subprocess.run([str(part) for part in maker], check=True)
        return path

    return make


@pytest.fixture(scope="session")
def film(make_film: Callable[..., Path]) -> Path:
    """20 s of 320x240 at 15 frames per second, a key frame each second, with sound."""
    return make_film("film.mp4", "--seconds", FILM_SECONDS)


@pytest.fixture(scope="session")
def long_source(stack: DevStack, make_film: Callable[..., Path]) -> Iterator[tuple[str, int]]:
    """(URL, seconds) of a film that takes several seconds to be cut into many chunks."""
    seconds = 400
    path = make_film("long.mp4", "--seconds", seconds, "--width", 160, "--height", 120, "--fps", 5)
    key = f"e2e/{int(time.time())}/long.mp4"
    stack.s3.upload_file(str(path), BUCKET, key)
    yield f"s3://{BUCKET}/{key}", seconds
    stack.s3.delete_object(Bucket=BUCKET, Key=key)


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
