"""What the requests of the matrix are about: a film in the store, and something that is none."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.play import Films
from devstack import ROOT, DevStack

BUCKET = "spectra-videos"


@contextmanager
def films_in_store(
    stack: DevStack, *, seconds: int = 20, directory: str = "chaos"
) -> Iterator[Films]:
    """A small film of so many seconds with a key frame each second; gone afterwards."""
    film, junk = f"{directory}/film.mp4", f"{directory}/junk.mp4"
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "film.mp4"
        size = ["--width", "320", "--height", "240", "--fps", "15", "--gop-seconds", "1"]
        maker = [sys.executable, str(ROOT / "tests" / "films.py"), "--out", str(path)]
        subprocess.run([*maker, *size, "--seconds", str(seconds)], check=True)
        stack.s3.upload_file(str(path), BUCKET, film)
    stack.s3.put_object(Bucket=BUCKET, Key=junk, Body=b"this is no film" * 100)
    try:
        yield Films(f"s3://{BUCKET}/{film}", f"s3://{BUCKET}/{junk}")
    finally:
        stack.delete_prefix(BUCKET, f"{directory}/")
