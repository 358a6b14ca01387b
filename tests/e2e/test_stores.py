"""Films and chunks in S3 and in Azure, in every combination, and in an older version."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import expect
import pytest
from blows import pods
from devstack import DevStack
from places import Places
from test_requests import CUTS

Request = Callable[..., dict[str, Any]]
NewId = Callable[[], int]


@pytest.mark.parametrize(
    ("source", "destination"),
    [("az", "az"), ("s3", "az"), ("az", "s3")],
    ids=["from Azure to Azure", "from S3 to Azure", "from Azure to S3"],
)
def test_a_film_goes_from_store_to_store(
    stack: DevStack, new_id: NewId, request_for: Request, film: Path, source: str, destination: str
) -> None:
    process_id = new_id()
    places = Places(stack)
    path = f"{source}://{expect.BUCKET}/e2e/{process_id}/a film ü.mp4"
    places.put(path, film.read_bytes())
    prefix = f"processed/{process_id}/"
    if source != destination:
        prefix = f"{destination}://{expect.BUCKET}/{prefix}"
    request = request_for(process_id, cloud_stream_path=path, destination_prefix=prefix)
    stack.publish(request)
    where = (f"{destination}://{expect.BUCKET}", f"{destination}://{expect.CACHE}")
    expect.complete(stack, request, CUTS, where=where)
    places.delete(path)


@pytest.mark.parametrize(
    ("kind", "way"), [("mp4", "index"), ("mkv", "blocks"), ("ts", "units"), ("avi", "packets")]
)
def test_each_kind_of_film_is_read_in_the_quickest_way(
    stack: DevStack,
    new_id: NewId,
    request_for: Request,
    make_film: Callable[..., Path],
    kind: str,
    way: str,
) -> None:
    """What of the image is compiled is there, and works."""
    process_id = new_id()
    path = f"s3://{expect.BUCKET}/e2e/{process_id}/film.{kind}"
    places = Places(stack)
    places.put(path, make_film(f"film.{kind}", "--seconds", 20).read_bytes())
    stack.publish(request_for(process_id, cloud_stream_path=path))
    expect.settled(stack, f"video-{process_id}", "Succeeded")
    (pod,) = pods(stack, process_id)
    log = stack.kubectl("logs", pod["metadata"]["name"])
    opened = next(line for line in log.splitlines() if "source opened" in line)
    assert json.loads(opened)["by"] == way
    places.delete(path)


def test_the_version_that_is_named_is_the_one_that_is_cut(
    stack: DevStack, new_id: NewId, request_for: Request, film: Path
) -> None:
    process_id = new_id()
    bucket = f"e2e-versions-{process_id}"
    stack.s3.create_bucket(Bucket=bucket)
    stack.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    wanted = stack.s3.put_object(Bucket=bucket, Key="film.mp4", Body=film.read_bytes())["VersionId"]
    later = stack.s3.put_object(Bucket=bucket, Key="film.mp4", Body=b"no film")["VersionId"]
    request = request_for(
        process_id,
        cloud_stream_path=f"s3://{bucket}/film.mp4",
        destination_prefix=f"s3://{expect.BUCKET}/processed/{process_id}/",
        cloud_stream_version_id=wanted,
    )
    stack.publish(request)
    expect.complete(stack, request, CUTS)
    resource = stack.resource(f"video-{process_id}") or {}
    assert resource["spec"]["cloudStreamVersionId"] == wanted
    for version in (wanted, later):
        stack.s3.delete_object(Bucket=bucket, Key="film.mp4", VersionId=version)
    stack.s3.delete_bucket(Bucket=bucket)
