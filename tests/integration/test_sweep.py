"""The sweeper on real stores that are full of other things."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from integration.test_stores import SMALL, each, make_body, make_info, make_store, place  # noqa: F401
from m0_chunker.settings import Settings
from m0_chunker.storage.s3_lifecycle import build_rule
from m0_chunker.sweep import sweep


def at(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


OVER = {"m0-expires-at": at(-1)}
EXPIRED = {"temp/101/chunk_001.mp4", "temp/101/chunk_1000.mp4", "temp/a%2Fb/chunk_002.mp4"}
OTHERS = {
    "temp/101/chunk_003.mp4": {"m0-expires-at": at(1)},
    "temp/101/chunk_004.mp4": {"m0-expires-at": "soon"},
    "temp/101/chunk_005.mp4": {"m0-expires-at": "2020-01-01T00:00:00"},
    "temp/101/chunk_006.mp4": {},
    "temp/101/chunk_01.mp4": OVER,
    "temp/101/chunk_001.mp4.part": OVER,
    "temp/101/x/chunk_001.mp4": OVER,
    "temp/chunk_001.mp4": OVER,
    "temporary/101/chunk_001.mp4": OVER,
    "processed/101/chunk_001.mp4": OVER,
    "old/temp/101/chunk_001.mp4": OVER,
    "Temp/101/chunk_001.mp4": OVER,
}


@pytest.fixture
def fill(place, make_store):  # noqa: F811
    def make(kind):
        container, store = place(kind), make_store(kind)
        body = make_body(SMALL)
        for key in EXPIRED:
            store.put(
                container.sibling(container.container, key), body, make_info(SMALL, 1, **OVER)
            )
        for key, said in OTHERS.items():
            store.put(
                container.sibling(container.container, key), body, make_info(SMALL, 1, **said)
            )
        foreign = container.sibling(container.container, "temp/101/chunk_007.mp4")
        info = make_info(SMALL, 1, **OVER)
        del info.metadata["m0-sha256"]
        store.put(foreign, body, info)
        return container, store

    return make


def keys(store, container) -> set[str]:
    return {item.url.key for item in store.list(container)}


def test_what_expired_goes_and_all_else_stays(each, fill, capsys):  # noqa: F811
    container, store = fill(each)
    before = keys(store, container)
    assert (
        sweep(
            Settings.from_environment(), [f"{container.kind}://{container.container}", "--dry-run"]
        )
        == 0
    )
    assert keys(store, container) == before
    line = json.loads(capsys.readouterr().out)
    assert (line["expired"], line["deleted"], line["failed"]) == (3, 0, 0)

    assert sweep(Settings.from_environment(), [f"{container.kind}://{container.container}/"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["seen"], line["deleted"], line["failed"]) == (12, 3, 0)
    assert keys(store, container) == before - EXPIRED == {*OTHERS, "temp/101/chunk_007.mp4"}


def test_one_bad_container_does_not_keep_it_from_the_others(fill, capsys):
    container, store = fill("s3")
    code = sweep(
        Settings.from_environment(), ["s3://m0-test-nosuch", f"s3://{container.container}"]
    )
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert code == 65
    assert "NoSuchBucket" in first["error"]
    assert second["deleted"] == 3
    assert not EXPIRED & keys(store, container)


def test_versions_of_what_expired_are_kept_by_their_bucket(place, make_store, capsys):  # noqa: F811
    container, store = place("s3"), make_store("s3")
    bucket = container.container
    store.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    url = container.sibling(bucket, "temp/1/chunk_001.mp4")
    store.put(url, make_body(SMALL), make_info(SMALL, 1, **OVER))
    try:
        assert sweep(Settings.from_environment(), [f"s3://{bucket}"]) == 0
        assert json.loads(capsys.readouterr().out)["deleted"] == 1
        versions = store.client.list_object_versions(Bucket=bucket)
        assert len(versions["Versions"]) == 1
        assert store.head(url) is None
    finally:
        found = store.client.list_object_versions(Bucket=bucket)
        for entry in found.get("Versions", []) + found.get("DeleteMarkers", []):
            store.client.delete_object(Bucket=bucket, Key=url.key, VersionId=entry["VersionId"])


def test_the_lifecycle_rule_joins_those_of_others(place, make_store, capsys):  # noqa: F811
    container, store = place("s3"), make_store("s3")
    bucket = container.container
    other = {
        "ID": "logs",
        "Status": "Enabled",
        "Filter": {"Prefix": "log/"},
        "Expiration": {"Days": 7},
    }
    store.client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [other]}
    )
    said = []
    for _ in range(2):
        assert sweep(Settings.from_environment(), [f"s3://{bucket}", "--lifecycle"]) == 0
        said.append(json.loads(capsys.readouterr().out)["lifecycle"])
    assert said == ["written", "in place"]
    rules = store.client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rules == [other, build_rule(24)]
