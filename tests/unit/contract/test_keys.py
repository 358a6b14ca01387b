"""Object keys, URLs and names, as the wire contract spells them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from m0_contract.keys import (
    cache_url,
    chunk_url,
    destination_url,
    is_live_url,
    parse_object_url,
    resource_name,
)


def places(source: str, prefix: str, cache: str, chunk_id: int = 1) -> tuple[str, str]:
    destination = destination_url(parse_object_url(source), prefix)
    assert destination is not None
    return str(chunk_url(destination, chunk_id)), str(cache_url(destination, cache, 101, chunk_id))


def test_the_worked_example() -> None:
    assert places("s3://spectra-videos/uploads/f.mp4", "processed/101/", "spectra-cache") == (
        "s3://spectra-videos/processed/101/chunk_001.mp4",
        "s3://spectra-cache/temp/101/chunk_001.mp4",
    )


def test_more_than_999_chunks_take_more_digits() -> None:
    persistent, _ = places("s3://v/f.mp4", "p", "c", chunk_id=1000)
    assert persistent == "s3://v/p/chunk_1000.mp4"


def test_a_full_destination_url_wins_and_carries_the_cache_with_it() -> None:
    assert places("s3://v/f.mp4", "az://videos/p/", "cache") == (
        "az://videos/p/chunk_001.mp4",
        "az://cache/temp/101/chunk_001.mp4",
    )


def test_an_azure_https_source_keeps_its_account() -> None:
    source = "https://acct.blob.core.windows.net/videos/a%20b.mp4"
    assert parse_object_url(source).key == "a b.mp4"  # type: ignore[union-attr]
    assert places(source, "out", "cache")[0] == (
        "https://acct.blob.core.windows.net/videos/out/chunk_001.mp4"
    )


@pytest.mark.parametrize("key", ["a?b#c%20.mp4", "ü/片.mp4", "a//b.mp4"])
def test_s3_keys_are_taken_as_they_stand(key: str) -> None:
    url = parse_object_url(f"s3://bucket/{key}")
    assert url is not None
    assert url.key == key
    assert str(url) == f"s3://bucket/{key}"


@pytest.mark.parametrize("url", ["", "s3://", "s3:///k", "ftp://a/b", "http://[", "https://x/y/z"])
def test_what_is_no_object_url_is_none(url: str) -> None:
    assert parse_object_url(url) is None


@pytest.mark.parametrize(
    ("url", "live"),
    [("rtsp://c/1", True), ("srt://h:9", True), ("https://h/a.m3u8", True),
     ("https://h/a.mp4", False), ("s3://b/k", False), ("rtsp://", False)],
)  # fmt: skip
def test_live_urls(url: str, live: bool) -> None:
    assert is_live_url(url) is live


def test_a_hostile_string_id_stays_inside_its_own_prefix() -> None:
    destination = destination_url(parse_object_url("s3://v/f.mp4"), "p")
    assert destination is not None
    assert cache_url(destination, "c", "../../x", 1).key == "temp/..%2F..%2Fx/chunk_001.mp4"


@given(st.one_of(st.integers(0, 2**63 - 1), st.text(min_size=1)))
def test_a_resource_name_is_always_a_dns_label(process_id: int | str) -> None:
    name = resource_name(process_id)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 52


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_ids_have_different_names(one: str, other: str) -> None:
    assert (resource_name(one) == resource_name(other)) == (one == other)


def test_the_number_and_the_string_of_it_are_different_ids() -> None:
    assert resource_name(101) == "video-101"
    assert resource_name("101") != resource_name(101)
