"""Where things are: store URLs, object keys, resource names. Pure string work."""

import hashlib
import posixpath
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

StoreKind = Literal["s3", "az", "file"]
LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https"})


@dataclass(frozen=True, slots=True)
class ObjectUrl:
    """An object, or a key prefix, in a store.

    Attributes:
        kind: `s3`, `az` (Azure Blob) or `file`.
        account: the Azure account or endpoint host of an https URL, else empty.
        container: bucket, container, or empty for `file`.
        key: object key without a leading slash; for `file` the absolute path.
    """

    kind: StoreKind
    account: str
    container: str
    key: str

    def __str__(self) -> str:
        if self.kind == "file":
            return "file://" + quote(self.key)
        if self.account:
            return f"https://{self.account}/{self.container}/{quote(self.key)}"
        return f"{self.kind}://{self.container}/{self.key}"

    def beside(self, name: str) -> "ObjectUrl":
        """The object of that name under the same prefix."""
        prefix, slash, _ = self.key.rpartition("/")
        return ObjectUrl(self.kind, self.account, self.container, prefix + slash + name)

    def sibling(self, container: str, key: str) -> "ObjectUrl":
        """The object `key` of `container` on the same store."""
        return ObjectUrl(self.kind, self.account, container, key)


def parse_object_url(url: str) -> ObjectUrl | None:
    """Read `s3://`, `az://`, `https://ACCOUNT.blob.…/` and `file://` URLs.

    Returns:
        None when `url` is none of these, or names no container or key.
    """
    if url.startswith(("s3://", "az://")):
        # Keys are taken as they stand: '?', '#' and '%' are ordinary characters in a key.
        container, _, key = url[5:].partition("/")
        return ObjectUrl("s3" if url[0] == "s" else "az", "", container, key) if container else None
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme == "file":
        return ObjectUrl("file", "", "", unquote(parts.path)) if parts.path else None
    if parts.scheme == "https" and ".blob." in host and not parts.query:
        container, _, key = parts.path.lstrip("/").partition("/")
        return ObjectUrl("az", host, container, unquote(key)) if container else None
    return None


def is_live_url(url: str) -> bool:
    """Whether `url` names a live source (RTSP, RTMP, SRT, or an HLS playlist)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme in {"http", "https"}:
        return bool(parts.hostname) and parts.path.lower().endswith(".m3u8")
    return parts.scheme in LIVE_SCHEMES and bool(parts.hostname)


def chunk_filename(chunk_id: int) -> str:
    """`chunk_001.mp4`: three digits, more when needed; `chunk_id` counts from 1."""
    return f"chunk_{chunk_id:03d}.mp4"


def destination_url(source: ObjectUrl | None, destination_prefix: str) -> ObjectUrl | None:
    """The prefix that the persistent chunks go under.

    Args:
        source: the source object; None for a live source.
        destination_prefix: a prefix in the source's own container, or a store URL.

    Returns:
        None when the prefix is relative and there is no source to be relative to.
    """
    absolute = parse_object_url(destination_prefix)
    if absolute is not None:
        return absolute
    if source is None or "://" in destination_prefix:
        return None
    if source.kind == "file":
        directory = posixpath.dirname(source.key)
        return ObjectUrl(
            "file", "", "", posixpath.normpath(posixpath.join(directory, destination_prefix))
        )
    return source.sibling(source.container, destination_prefix.lstrip("/"))


def chunk_url(destination: ObjectUrl, chunk_id: int) -> ObjectUrl:
    """The persistent object of a chunk: `<destination_prefix>/chunk_NNN.mp4`."""
    prefix = destination.key.rstrip("/")
    name = chunk_filename(chunk_id)
    return destination.sibling(destination.container, f"{prefix}/{name}" if prefix else name)


def cache_url(
    destination: ObjectUrl, cache_container_name: str, process_id: int | str, chunk_id: int
) -> ObjectUrl:
    """The cached object of a chunk: `temp/<process_id>/chunk_NNN.mp4`.

    `cache_container_name` is a container on the destination's store, or, for
    `file`, a directory (an absolute path, a `file://` URL, or one beside the destination).
    """
    # A string id could hold '/' or '..': it must stay one path segment.
    segment = str(process_id) if isinstance(process_id, int) else quote(process_id, safe="")
    key = f"temp/{segment}/{chunk_filename(chunk_id)}"
    if destination.kind != "file":
        return destination.sibling(cache_container_name, key)
    named = parse_object_url(cache_container_name)
    root = named.key if named else cache_container_name
    base = posixpath.normpath(posixpath.join(posixpath.dirname(destination.key.rstrip("/")), root))
    return ObjectUrl("file", "", "", posixpath.join(base, key))


def resource_name(process_id: int | str) -> str:
    """The VideoChunkJob's name for a process_id: a DNS label, one for each id.

    An integer reads as itself (`video-101`); a string keeps its harmless
    characters and gets a hash, since two strings may differ only in the others.
    """
    if isinstance(process_id, int):
        return f"video-{process_id}"
    digest = hashlib.sha256(process_id.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    slug = re.sub(r"[^a-z0-9]+", "-", process_id.lower())[:30].strip("-")
    return f"video-{slug}-{digest}" if slug else f"video-{digest}"
