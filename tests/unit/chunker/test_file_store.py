"""Files as a store: whole or not at all, with what is said of them."""

import hashlib
import io
import os

import pytest
from m0_chunker.chunk import ChunkBody
from m0_chunker.errors import ChunkerError
from m0_chunker.storage.base import ObjectInfo
from m0_chunker.storage.file import FileStore
from m0_contract.keys import ObjectUrl

DATA = bytes(range(256)) * 100


def make_body(data: bytes) -> ChunkBody:
    return ChunkBody(data[:3], io.BytesIO(b"--" + data[3:]), 2, len(data) - 3)


def url_of(path) -> ObjectUrl:
    return ObjectUrl("file", "", "", str(path))


def make_info(**metadata: str) -> ObjectInfo:
    return ObjectInfo(hashlib.sha256(DATA).hexdigest(), metadata)


def test_what_is_put_is_there_with_what_was_said_of_it(tmp_path):
    store, url = FileStore(), url_of(tmp_path / "a/b.mp4")
    assert store.head(url) is None
    store.put(url, make_body(DATA), make_info(**{"m0-start": "1.5"}))
    found = store.head(url)
    assert found.size_bytes == len(DATA)
    assert found.metadata in ({"m0-start": "1.5"}, {})
    assert (tmp_path / "a/b.mp4").read_bytes() == DATA
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.mp4"]


def test_without_attributes_it_is_silent(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    store, url = FileStore(), url_of(tmp_path / "b.mp4")
    store.put(url, make_body(DATA), make_info(**{"m0-start": "1.5"}))
    assert store.head(url).metadata == {}


def test_another_content_is_another_identity(tmp_path):
    path = tmp_path / "film"
    path.write_bytes(DATA)
    first = FileStore().open_source(url_of(path)).identity
    assert FileStore().open_source(url_of(path)).identity == first
    os.utime(path, ns=(1, 1))
    assert FileStore().open_source(url_of(path)).identity != first


@pytest.mark.parametrize("length", [len(DATA) // 2, len(DATA) * 2])
def test_a_file_that_changes_its_size_while_it_is_read(tmp_path, length):
    path = tmp_path / "film"
    path.write_bytes(DATA)
    source = FileStore().open_source(url_of(path))
    source.read(100)
    os.truncate(path, length)
    source.seek(length)
    with pytest.raises(ChunkerError) as caught:
        source.read(1000)
    assert caught.value.code == "SOURCE_CHANGED"
    assert source.failure is caught.value


def test_a_body_is_read_from_several_places_at_once():
    body = make_body(DATA)
    first, second = body.view(), body.view(2, 500)
    assert first.read(10) == DATA[:10]
    assert second.read(5) == DATA[2:7]
    assert first.read(10) == DATA[10:20]
    assert second.read() == DATA[7:502]
    assert second.read() == b""
    assert body.pread(len(DATA) - 3, 10) == DATA[-3:]
    assert body.read() == DATA
    second.close()
    assert body.pread(0, 3) == DATA[:3], "a view's end is not the body's"
