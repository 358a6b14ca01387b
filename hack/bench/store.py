"""A real S3 server on loopback, and what cutting a film in it costs over a slow wire."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

from bench.films import Film
from bench.measure import Cost, run
from bench.methods import Ffmpeg, chunker_command, chunker_env, spans
from bench.proxy import Proxy, Traffic, Wire, slow_wire
from bench.tools import HOME, find_weed

BUCKET, CACHE = "bench-films", "bench-cache"
KEY_ID, SECRET = "bench", "benchbench"
START_S = 60.0


@dataclass(frozen=True)
class Remote:
    """One run against the store.

    Attributes:
        cost: of the process.
        traffic: through the wire.
        first_s: until the first chunk's message, seconds since the process started.
        wall_s: until all was done.
        scratch_bytes: the most there was on disk.
    """

    cost: Cost
    traffic: Traffic
    first_s: float
    wall_s: float
    scratch_bytes: int


def client(port: int) -> Any:
    """An S3 client for the server or for a proxy in front of it."""
    config = Config(
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"max_attempts": 3},
    )
    endpoint = f"http://127.0.0.1:{port}"
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=config,
    )


def _free_ports(count: int) -> list[int]:
    """Ports below 32768 that nobody has; the server adds 10,000 for its own protocol."""
    found: list[int] = []
    candidate = 21_000 + time.time_ns() % 5000
    while len(found) < count:
        candidate += 1
        try:
            for port in (candidate, candidate + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        found.append(candidate)
    return found


@contextmanager
def s3_server() -> Iterator[int]:
    """SeaweedFS with two buckets; its port. Data and log are under `.m0/bench/s3`."""
    home = HOME / "s3"
    shutil.rmtree(home, ignore_errors=True)
    (home / "data").mkdir(parents=True)
    identity = {
        "name": "bench",
        "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (home / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = ("s3.port", "master.port", "volume.port", "filer.port", "admin.port")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [find_weed(), "mini", f"-dir={home / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
            + ["-master.telemetry=false", "-s3.autoCreateBucket=false", "-s3.iam=false"]
            + ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
            + [f"-s3.config={home / 's3.json'}", "-master.volumeSizeLimitMB=256"]
            + [f"-{name}={port}" for name, port in ports.items()],
            stdout=log,
            stderr=log,
            cwd=home,
        )
        try:
            _make_buckets(ports["s3.port"], process)
            yield ports["s3.port"]
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            shutil.rmtree(home / "data", ignore_errors=True)


def _make_buckets(port: int, process: subprocess.Popen[bytes]) -> None:
    end, s3 = time.monotonic() + START_S, client(port)
    for bucket in (BUCKET, CACHE):
        while True:
            try:
                s3.create_bucket(Bucket=bucket)
                break
            except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
                if process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.3)


def plain_read_s(port: int, film: Film, wire: Wire) -> float:
    """Seconds that one GET of the whole film takes over the wire."""
    with slow_wire(port, wire) as proxy:
        started = time.monotonic()
        body = client(proxy.port).get_object(Bucket=BUCKET, Key=film.path.name)["Body"]
        while body.read(2**20):
            pass
        return time.monotonic() - started


def upload(port: int, film: Film) -> None:
    """Put the film where the runs read it; not over the slow wire."""
    client(port).upload_file(str(film.path), BUCKET, film.path.name)


def ours(port: int, film: Film, duration_s: float, wire: Wire) -> Remote:
    """`m0-chunker` as in the cluster, but with messages on standard output."""
    with slow_wire(port, wire) as proxy, tempfile.TemporaryDirectory(dir=HOME) as directory:
        scratch = Path(directory)
        environment = {
            "M0_S3_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        source = f"s3://{BUCKET}/{film.path.name}"
        how = {"chunk_duration": duration_s}
        # A place of its own each time: what an earlier run has stored would not be cut again.
        command = chunker_command(scratch, source, f"out-{scratch.name}", CACHE, **how)
        cost = run(command, env=chunker_env(scratch, **environment), scratch=scratch)
        traffic = proxy.traffic
    return Remote(cost, traffic, cost.first_line_s or 0.0, cost.wall_s, cost.scratch_bytes)


def usual(port: int, film: Film, duration_s: float, wire: Wire, ffmpeg: Ffmpeg) -> Remote:
    """Download, one ffmpeg a chunk, two uploads: what everybody writes first."""
    with slow_wire(port, wire) as proxy, tempfile.TemporaryDirectory(dir=HOME) as directory:
        return _usual(proxy, film, duration_s, ffmpeg, Path(directory))


def _usual(proxy: Proxy, film: Film, duration_s: float, ffmpeg: Ffmpeg, directory: Path) -> Remote:
    """As scripts do it: all chunks first, then the uploads, then the files are removed."""
    started, s3 = time.monotonic(), client(proxy.port)
    local = Film(directory / film.path.name, film.seconds, "")
    s3.download_file(BUCKET, film.path.name, str(local.path))
    out = directory / "out"
    out.mkdir()
    cost, first = ffmpeg.one_by_one(local, duration_s, out), 0.0
    scratch = sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
    for number, _ in spans(local, duration_s):
        name = f"chunk_{number:03d}.mp4"
        for bucket in (BUCKET, CACHE):
            s3.upload_file(str(out / name), bucket, f"usual/{name}")
        first = first or time.monotonic() - started
    # The client's own CPU is left out: the proxy's would be in it.
    return Remote(cost, proxy.traffic, first, time.monotonic() - started, scratch)
