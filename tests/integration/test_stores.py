"""What the pipeline relies on, asked of each real store in turn.

The servers are those of `make up`, or those that the environment names.
"""

import hashlib
import io
import random
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from integration.servers import AZURE, S3, damage, damage_once, line_to, read_access, stall_once
from m0_chunker.chunk import ChunkBody
from m0_chunker.errors import ChunkerError
from m0_chunker.settings import Settings
from m0_chunker.storage import s3_client, s3_upload
from m0_chunker.storage.azure import AzureStore
from m0_chunker.storage.base import ObjectInfo
from m0_chunker.storage.file import FileStore
from m0_chunker.storage.s3 import S3Store
from m0_contract.keys import ObjectUrl

KINDS = ["s3", "azure connection string", "azure key", "azure sas"]
SMALL = random.Random(1).randbytes(100_003)
LARGE = random.Random(2).randbytes(9_000_017)


def make_body(data: bytes) -> ChunkBody:
    return ChunkBody(data[:100], io.BytesIO(b"--" + data[100:]), 2, len(data) - 100)


def make_info(data: bytes, ttl: float | None = None, **metadata: str) -> ObjectInfo:
    digest = hashlib.sha256(data).hexdigest()
    return ObjectInfo(digest, {"m0-sha256": digest} | metadata, ttl)


def read_all(file, size=250_000) -> bytes:
    parts = []
    while part := file.read(size):
        parts.append(part)
    return b"".join(parts)


def azure_parts() -> dict[str, str]:
    text = read_access(AZURE)[AZURE[0]]
    return dict(part.split("=", 1) for part in text.strip(";").split(";"))


def azure_env(kind: str, endpoint: str | None = None) -> dict[str, str]:
    """The variables for one kind of credential."""
    parts = azure_parts()
    endpoint = endpoint or parts["BlobEndpoint"]
    if kind == "azure connection string":
        parts["BlobEndpoint"] = endpoint
        return {AZURE[0]: ";".join(f"{name}={text}" for name, text in parts.items())}
    env = {"AZURE_STORAGE_ACCOUNT": endpoint}
    if kind == "azure key":
        return env | {"AZURE_STORAGE_KEY": parts["AccountKey"]}
    token = generate_account_sas(
        parts["AccountName"],
        parts["AccountKey"],
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, write=True, list=True, delete=True, create=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    return env | {"AZURE_STORAGE_SAS_TOKEN": token}


@pytest.fixture
def make_store(monkeypatch):
    """`make_store(kind, endpoint=None, **settings)`."""

    def make(kind: str, endpoint: str | None = None, **settings):
        for name in (*S3, *AZURE, *(f"AZURE_STORAGE_{n}" for n in ("ACCOUNT", "KEY", "SAS_TOKEN"))):
            monkeypatch.delenv(name, raising=False)
        if kind == "s3":
            env = s3_access | ({"M0_S3_ENDPOINT_URL": endpoint} if endpoint else {})
        else:
            env = azure_env(kind, endpoint)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        chosen = Settings.from_environment().model_copy(update=settings)
        return (S3Store if kind == "s3" else AzureStore)(chosen)

    s3_access = read_access(S3)
    saved = azure_parts()
    monkeypatch.setitem(globals(), "azure_parts", lambda: dict(saved))
    return make


def url_of(kind: str) -> str:
    return read_access(S3)[S3[0]] if kind == "s3" else azure_parts()["BlobEndpoint"]


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture(params=["s3", "azure key"])
def each(request) -> str:
    return request.param


@pytest.fixture
def place(make_store):
    """`place(kind)` → a new container's URL; removed afterwards."""
    made = []

    def make(kind: str) -> ObjectUrl:
        name = f"m0-test-{uuid.uuid4().hex[:12]}"
        store = make_store("s3" if kind == "s3" else "azure connection string")
        made.append((store, name))
        if kind == "s3":
            store.client.create_bucket(Bucket=name)
        else:
            store._service.create_container(name)
        return ObjectUrl("s3" if kind == "s3" else "az", "", name, "")

    yield make
    for store, name in made:
        if isinstance(store, AzureStore):
            store._service.delete_container(name)
            continue
        for item in store.list(ObjectUrl("s3", "", name, "")):
            store.client.delete_object(Bucket=name, Key=item.url.key)
        store.client.delete_bucket(Bucket=name)


def test_what_is_put_is_there_with_what_was_said_of_it(kind, place, make_store):
    container, store = place(kind), make_store(kind)
    url = container.sibling(container.container, "temp/1/chunk_001.mp4")
    assert store.head(url) is None
    store.check_container(url)
    info = make_info(SMALL, 24, **{"m0-start": "0.0", "m0-expires-at": "2030-01-01T00:00:00Z"})
    store.put(url, make_body(SMALL), info)
    found = store.head(url)
    assert (found.size_bytes, found.metadata) == (len(SMALL), info.metadata)
    source = store.open_source(url)
    assert source.size_bytes == len(SMALL)
    assert read_all(source) == SMALL
    assert source.bytes_read == len(SMALL)
    store.put(url, make_body(SMALL[:-1]), make_info(SMALL[:-1]))
    assert store.open_source(url).identity != source.identity


def test_a_copy_inside_the_store_is_made_and_verified(kind, place, make_store):
    first, second = place(kind), place(kind)
    store = make_store(kind)
    source, target = (c.sibling(c.container, "a/ü ?#%+.mp4") for c in (first, second))
    store.put(source, make_body(LARGE), make_info(LARGE))
    cached = make_info(LARGE, 24, **{"m0-expires-at": "2030-01-01T00:00:00Z"})
    assert store.copy(source, target, cached)
    assert store.head(target).metadata == cached.metadata
    assert read_all(store.open_source(target)) == LARGE


def test_a_copy_of_what_another_wrote_is_not_believed(each, place, make_store):
    container, store, other = place(each), make_store(each), make_store(each)
    source, target = (container.sibling(container.container, key) for key in ("a", "b"))
    store.put(source, make_body(SMALL), make_info(SMALL))
    other.put(source, make_body(SMALL[::-1]), make_info(SMALL[::-1]))
    assert not store.copy(source, target, make_info(SMALL))


def test_a_later_attempt_copies_what_an_earlier_one_put(each, place, make_store):
    container, store, later = place(each), make_store(each), make_store(each)
    source, target = (container.sibling(container.container, key) for key in ("a", "b"))
    store.put(source, make_body(SMALL), make_info(SMALL))
    assert not later.copy(source, target, make_info(SMALL[::-1])), "that is another chunk"
    assert later.copy(source, target, make_info(SMALL))
    assert read_all(later.open_source(target)) == SMALL


KEYS = [
    "plain.mp4",
    "ein Film ü.mp4",
    "u\u0308 NFD.mp4",
    "\u00fc NFC.mp4",
    "🎬/雪.mp4",
    "a+b&c=d;e,f@g$h!i'j(k)*.mp4",
    "100%25 %2F %zz.mp4",
    "what?x=1#y.mp4",
    "dots../x...mp4",
    "trailing space /x .mp4",
    '~tilde^caret`|{}[]<>".mp4',
]


@pytest.mark.parametrize("key", KEYS)
def test_keys_of_any_kind(each, place, make_store, key):
    container, store = place(each), make_store(each)
    url = container.sibling(container.container, key)
    other = container.sibling(container.container, "copied/" + key)
    store.put(url, make_body(SMALL), make_info(SMALL))
    assert store.copy(url, other, make_info(SMALL))
    assert read_all(store.open_source(url)) == SMALL
    assert {item.url.key for item in store.list(container)} == {key, "copied/" + key}
    found = store.head(other)
    assert store.delete(other, found.etag)
    assert store.head(other) is None


@pytest.mark.parametrize("parts", [False, True], ids=["whole", "in parts"])
def test_damaged_bytes_are_refused(each, place, make_store, monkeypatch, parts):
    container = place(each)
    url = container.sibling(container.container, "x.mp4")
    monkeypatch.setattr("m0_chunker.storage.s3.PARTS_FROM_BYTES", 0 if parts else 2**40)
    monkeypatch.setattr(s3_upload, "PART_BYTES", 5 * 2**20)
    data = LARGE if parts else SMALL
    with line_to(url_of(each)) as (line, endpoint):
        store = make_store(each, endpoint)
        line.to_server = damage
        with pytest.raises(ChunkerError) as caught:
            store.put(url, make_body(data), make_info(data))
        assert caught.value.code == "UPLOAD_FAILED"
        assert re.search("Digest|Mismatch|Md5", str(caught.value)), caught.value
    assert store.head(url) is None
    store = make_store(each)
    if each == "s3":
        uploads = store.client.list_multipart_uploads(Bucket=container.container)
        assert not uploads.get("Uploads")
    store.put(url, make_body(data), make_info(data))
    assert read_all(store.open_source(url)) == data


def test_without_a_signed_payload_the_checksum_alone_protects(place, make_store, monkeypatch):
    monkeypatch.setattr(s3_client._DigestAuth, "payload", lambda *_: "UNSIGNED-PAYLOAD")
    container = place("s3")
    url = container.sibling(container.container, "x.mp4")
    with line_to(url_of("s3")) as (line, endpoint):
        make_store("s3", endpoint).put(url, make_body(SMALL), make_info(SMALL))
        line.to_server = damage
        with pytest.raises(ChunkerError, match=r"Digest|Mismatch"):
            make_store("s3", endpoint).put(url, make_body(SMALL), make_info(SMALL))


def test_a_body_is_read_once_and_hashed_by_nobody(place, make_store, monkeypatch):
    read = []
    pread = ChunkBody.pread

    def count(self, offset, size):
        data = pread(self, offset, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(ChunkBody, "pread", count)
    container, store = place("s3"), make_store("s3")
    body = make_body(LARGE)
    store.put(container.sibling(container.container, "x.mp4"), body, make_info(LARGE))
    assert sum(read) == len(LARGE)


def test_bytes_damaged_once_are_sent_again(each, place, make_store):
    container = place(each)
    url = container.sibling(container.container, "x.mp4")
    with line_to(url_of(each)) as (line, endpoint):
        line.to_server = damage_once(damage)
        make_store(each, endpoint).put(url, make_body(SMALL), make_info(SMALL))
        assert line.sent > 2 * len(SMALL)
    assert read_all(make_store(each).open_source(url)) == SMALL


def test_parts_side_by_side_make_one_object(place, make_store, monkeypatch):
    monkeypatch.setattr("m0_chunker.storage.s3.PARTS_FROM_BYTES", 0)
    monkeypatch.setattr(s3_upload, "PART_BYTES", 5 * 2**20)
    container, store = place("s3"), make_store("s3")
    url = container.sibling(container.container, "x.mp4")
    copied = container.sibling(container.container, "y.mp4")
    store.put(url, make_body(LARGE), make_info(LARGE, **{"m0-start": "1.0"}))
    assert read_all(store.open_source(url)) == LARGE
    assert store.head(url).metadata["m0-start"] == "1.0"
    if store.copy(url, copied, make_info(LARGE)):
        assert read_all(store.open_source(copied)) == LARGE


def test_an_object_replaced_while_it_is_read(each, place, make_store):
    container, store = place(each), make_store(each)
    url = container.sibling(container.container, "film.mp4")
    store.put(url, make_body(LARGE), make_info(LARGE))
    source = store.open_source(url)
    assert source.read(1000) == LARGE[:1000]
    make_store(each).put(url, make_body(LARGE[::-1]), make_info(LARGE[::-1]))
    source.seek(8_000_000)
    with pytest.raises(ChunkerError) as caught:
        read_all(source)
    assert caught.value.code == "SOURCE_CHANGED"


def test_a_stalled_connection_is_resumed_by_the_byte(each, place, make_store):
    container, store = place(each), make_store(each)
    url = container.sibling(container.container, "film.mp4")
    store.put(url, make_body(LARGE), make_info(LARGE))
    with line_to(url_of(each)) as (line, endpoint):
        store = make_store(each, endpoint, source_window_s=1)
        source = store.open_source(url)
        line.to_client = stall_once(150_000, 30)
        assert read_all(source) == LARGE
        assert source.bytes_read == len(LARGE), "what came was kept"
        assert line.came < len(LARGE) * 1.1


def test_empty_and_missing(each, place, make_store):
    container, store = place(each), make_store(each)
    url = container.sibling(container.container, "empty")
    if each == "s3":
        store.client.put_object(Bucket=url.container, Key=url.key, Body=b"")
    else:
        store._blob(url).upload_blob(b"")
    assert store.open_source(url).read(5) == b""
    for missing in (
        container.sibling(container.container, "none.mp4"),
        container.sibling("m0-test-nosuch", "x"),
    ):
        with pytest.raises(ChunkerError) as caught:
            store.open_source(missing)
        assert caught.value.code == "SOURCE_NOT_FOUND"
    with pytest.raises(ChunkerError) as caught:
        store.check_container(container.sibling("m0-test-nosuch", "x"))
    assert caught.value.code == "DESTINATION_NOT_FOUND"


def test_one_rewritten_meanwhile_is_not_deleted(each, place, make_store):
    container, store = place(each), make_store(each)
    url = container.sibling(container.container, "temp/1/chunk_001.mp4")
    store.put(url, make_body(SMALL), make_info(SMALL))
    found = store.head(url)
    store.put(url, make_body(LARGE), make_info(LARGE))
    assert not store.delete(url, found.etag)
    assert store.head(url).size_bytes == len(LARGE)


SECRET = r"sig=|[?&]s[epv]=|AccountKey|SharedKey|Bearer"


@pytest.mark.parametrize("kind", ["azure key", "azure sas", "azure connection string"])
def test_no_secret_is_in_any_error(kind, make_store):
    parts, url = azure_parts(), ObjectUrl("az", "", "m0-test-nosuch", "x.mp4")
    secret = f"{SECRET}|{re.escape(parts['AccountKey'])}"
    store = make_store(kind)
    dead = make_store(kind, f"http://127.0.0.1:9/{parts['AccountName']}")
    for do in (
        partial(store.put, url, make_body(SMALL), make_info(SMALL)),
        partial(next, store.list(url)),
        partial(store.open_source, url),
        partial(dead.open_source, url),
        partial(dead.put, url, make_body(SMALL), make_info(SMALL)),
    ):
        with pytest.raises(ChunkerError) as caught:
            do()
        assert not re.search(secret, str(caught.value)), caught.value


def test_versions_of_a_source(place, make_store):
    container, store = place("s3"), make_store("s3")
    bucket, url = container.container, container.sibling(container.container, "film.mp4")
    store.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = store.client.put_object(Bucket=bucket, Key=url.key, Body=SMALL)["VersionId"]
    store.client.put_object(Bucket=bucket, Key=url.key, Body=LARGE)
    try:
        source = store.open_source(url, first)
        assert read_all(source) == SMALL
        assert first in source.identity
        assert read_all(store.open_source(url)) == LARGE
    finally:
        for entry in store.client.list_object_versions(Bucket=bucket)["Versions"]:
            store.client.delete_object(Bucket=bucket, Key=url.key, VersionId=entry["VersionId"])


def test_both_kinds_at_once_and_many_uploads(place, make_store, tmp_path):
    first, second = place("s3"), place("azure key")
    stores = [make_store("s3"), make_store("azure connection string"), FileStore()]
    urls = [
        first.sibling(first.container, "x"),
        second.sibling(second.container, "x"),
        ObjectUrl("file", "", "", str(tmp_path / "x")),
    ]
    body, info = make_body(LARGE), make_info(LARGE)
    threads = [
        threading.Thread(target=store.put, args=(url, body, info))
        for store, url in zip(stores, urls, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for store, url in zip(stores, urls, strict=True):
        assert read_all(store.open_source(url)) == LARGE
