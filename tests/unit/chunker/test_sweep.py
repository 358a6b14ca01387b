"""The sweeper deletes what M0 cached and wants no longer. Nothing else, ever."""

import json
from datetime import UTC, datetime

import pytest
from m0_chunker.errors import ChunkerError
from m0_chunker.settings import Settings
from m0_chunker.storage.base import Listed, ObjectInfo, StoredObject
from m0_chunker.storage.file import FileStore
from m0_chunker.storage.s3_lifecycle import RULE_ID, build_rule, merge_rule
from m0_chunker.sweep import Sweeper, is_cache_key, is_expired, sweep
from m0_contract.errors import ErrorCode
from m0_contract.keys import ObjectUrl, cache_url
from unit.chunker.test_file_store import make_body

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PAST, FUTURE = "2026-06-01T11:59:59Z", "2026-06-01T12:00:01Z"
SHA = "0123456789abcdef" * 4
CACHE = ObjectUrl("s3", "", "cache", "")


def stored(**changes: str | None) -> StoredObject:
    said = {"m0-sha256": SHA, "m0-expires-at": PAST} | changes
    return StoredObject(1, {name: text for name, text in said.items() if text is not None}, "etag")


class Bucket:
    def __init__(self, objects: dict[str, StoredObject]) -> None:
        self.objects = objects
        self.broken: dict[str, ChunkerError] = {}

    def list(self, prefix):
        for key in list(self.objects):
            if key.startswith(prefix.key):
                yield Listed(prefix.sibling(prefix.container, key), 1, "etag", NOW)
        if error := self.broken.get("list"):
            raise error

    def head(self, url, *, listed=False):
        assert listed
        if error := self.broken.get(url.key):
            raise error
        return self.objects.get(url.key)

    def delete(self, url, etag):
        if self.objects[url.key].etag != etag:
            return False
        del self.objects[url.key]
        return True


def run(bucket, *, dry_run=False):
    sweeper = Sweeper(bucket, CACHE, NOW, dry_run=dry_run)
    sweeper.run()
    return sweeper.tally


@pytest.mark.parametrize("process_id", [101, "a/b", "ü 1", ".."])
def test_every_key_that_m0_gives_is_one(process_id):
    destination = ObjectUrl("s3", "", "films", "out")
    for number in (1, 999, 1000):
        assert is_cache_key(cache_url(destination, "cache", process_id, number).key)


@pytest.mark.parametrize(
    "key",
    [
        "temp/101/chunk_01.mp4",
        "temp/101/chunk_001.mp4.bak",
        "temp/101/chunk_001.mp4\n",
        "temp/101/chunk_001.MP4",
        "temp/101/Chunk_001.mp4",
        "temp/101/chunk_-01.mp4",
        "temp/101/chunk_٠٠١.mp4",
        "temp/101/chunk_001xmp4",
        "temp/101/x/chunk_001.mp4",
        "temp//chunk_001.mp4",
        "temp/chunk_001.mp4",
        "/temp/101/chunk_001.mp4",
        "xtemp/101/chunk_001.mp4",
        "processed/101/chunk_001.mp4",
        "a/temp/101/chunk_001.mp4",
        "temp/101/my_chunk_001.mp4",
    ],
)
def test_a_key_that_only_looks_like_one_is_left(key):
    assert not is_cache_key(key)
    bucket = Bucket({key: stored()})
    assert run(bucket).deleted == 0
    assert bucket.objects


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"m0-expires-at": FUTURE}, False),
        ({"m0-expires-at": "2026-06-01T13:59:59+02:00"}, True),
        ({"m0-expires-at": "2026-06-01T11:59:59-02:00"}, False),
        ({"m0-expires-at": "2026-06-01T11:59:59"}, False),
        ({"m0-expires-at": "2026-06-01"}, False),
        ({"m0-expires-at": "yesterday"}, False),
        ({"m0-expires-at": ""}, False),
        ({"m0-expires-at": "0"}, False),
        ({"m0-expires-at": None}, False),
        ({"m0-sha256": None}, False),
        ({"m0-sha256": "abc"}, False),
        ({"m0-sha256": SHA.upper()}, False),
    ],
)
def test_only_what_says_that_it_is_m0s_and_over_is_expired(changes, expected):
    assert is_expired(stored(**changes), NOW) is expected


def test_the_expired_one_among_others_goes():
    bucket = Bucket(
        {
            "temp/1/chunk_001.mp4": stored(),
            "temp/1/chunk_002.mp4": stored(**{"m0-expires-at": FUTURE}),
            "temp/1/notes.txt": stored(),
            "processed/1/chunk_001.mp4": stored(),
        }
    )
    tally = run(bucket)
    assert (tally.seen, tally.expired, tally.deleted, tally.failed) == (3, 1, 1, 0)
    assert "temp/1/chunk_001.mp4" not in bucket.objects
    assert len(bucket.objects) == 3
    line = json.loads(tally.to_line())
    assert line == {"container": "s3://cache", "seen": 3, "expired": 1, "deleted": 1, "failed": 0}


def test_a_dry_run_deletes_nothing():
    bucket = Bucket({"temp/1/chunk_001.mp4": stored()})
    tally = run(bucket, dry_run=True)
    assert (tally.expired, tally.deleted) == (1, 0)
    assert bucket.objects


def test_failures_are_counted_and_the_rest_is_done():
    bucket = Bucket({f"temp/1/chunk_{n:03d}.mp4": stored() for n in (1, 2, 3)})
    bucket.broken["temp/1/chunk_002.mp4"] = ChunkerError(ErrorCode.UPLOAD_FAILED, "reset")
    tally = run(bucket)
    assert (tally.deleted, tally.failed, tally.code) == (2, 1, 75)
    bucket.broken["list"] = ChunkerError(ErrorCode.DESTINATION_FORBIDDEN, "may not list")
    tally = run(bucket)
    assert (tally.failed, tally.code) == (1, 65)
    assert tally.error == "may not list"


def test_a_listed_object_that_may_not_be_read_is_a_failure():
    bucket = Bucket({"temp/1/chunk_001.mp4": stored()})
    bucket.broken["temp/1/chunk_001.mp4"] = ChunkerError(ErrorCode.DESTINATION_FORBIDDEN, "no")
    assert run(bucket).code == 65


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["s3://"], ["s3://bucket/key"], ["s3://b", "--delete-all"]]
)
def test_a_wrong_command_line_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        sweep(None, arguments)
    assert caught.value.code == 64
    assert "sweep" in capsys.readouterr().err


def test_files_are_swept_by_their_attributes(tmp_path, run_sweep):
    run_sweep.put("temp/1/chunk_001.mp4", PAST)
    run_sweep.put("temp/1/chunk_002.mp4", "2999-01-01T00:00:00Z")
    (tmp_path / "temp/1/chunk_003.mp4").write_bytes(b"somebody's")
    (tmp_path / "temp/1/chunk_004.mp4").symlink_to(tmp_path / "temp/1/chunk_001.mp4")
    assert run_sweep() == 0
    left = sorted(path.name for path in (tmp_path / "temp/1").iterdir())
    assert left == [f"chunk_00{n}.mp4" for n in (2, 3, 4)]


@pytest.fixture
def run_sweep(tmp_path):
    def run() -> int:
        return sweep(Settings(), [f"file://{tmp_path}"])

    def put(key, expires):
        url = ObjectUrl("file", "", "", str(tmp_path / key))
        info = ObjectInfo(SHA, {"m0-sha256": SHA, "m0-expires-at": expires})
        FileStore().put(url, make_body(b"x" * 10), info)
        assert FileStore().head(url).metadata, "these tests need extended attributes in TMPDIR"

    run.put = put
    return run


@pytest.mark.parametrize(("hours", "days"), [(0.5, 1), (24, 1), (24.5, 2), (48, 2), (720, 30)])
def test_the_rule_counts_whole_days_and_names_the_tag_as_objects_have_it(hours, days):
    rule = build_rule(hours)
    assert rule["Expiration"] == {"Days": days}
    assert rule["Filter"]["And"] == {
        "Prefix": "temp/",
        "Tags": [{"Key": "m0-ttl-hours", "Value": f"{hours:g}"}],
    }


def test_rules_of_others_stay_as_they_are():
    others = [{"ID": "logs", "Prefix": "log/", "Status": "Enabled"}, {"Filter": {}}]
    merged = merge_rule(others, build_rule(24))
    assert merged[:2] == others
    assert merged[2]["ID"] == RULE_ID
    again = merge_rule([merged[2], *others], build_rule(48))
    assert again == [build_rule(48), *others]
