"""S3 and everything that speaks its protocol."""

import base64
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from botocore.exceptions import BotoCoreError, ClientError
from m0_contract.errors import ErrorCode, Stage
from m0_contract.keys import ObjectUrl

from m0_chunker.errors import ChunkerError
from m0_chunker.storage.base import (
    TTL_TAG,
    Listed,
    ObjectInfo,
    SourceFile,
    StoredObject,
    format_hours,
)
from m0_chunker.storage.pump import Pace, Pump, RangeStream
from m0_chunker.storage.range_reader import FIRST_SPAN_BYTES, RangeReader, empty_reader
from m0_chunker.storage.s3_client import S3_ERRORS, make_client, name_of, status_of, translate
from m0_chunker.storage.s3_lifecycle import ensure_rule
from m0_chunker.storage.s3_upload import PARTS_FROM_BYTES, put_parts, put_whole

if TYPE_CHECKING:
    from m0_chunker.chunk import ChunkBody
    from m0_chunker.settings import Settings

_DAMAGED = {
    "BadDigest",
    "InvalidDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
}
"""The store got other bytes than were sent; botocore takes these for the caller's fault."""

_DAMAGED_ATTEMPTS = 3


class _Body:
    """A `RangeStream` over an answer."""

    def __init__(self, answer: dict[str, Any], doing: str, patience_s: float) -> None:
        with suppress(AttributeError):  # it has come already
            answer["Body"].set_socket_timeout(patience_s)
        # botocore's own wrapper reads on until all that was asked for has come: a trickle
        # would go unnoticed.
        self._raw: Any = answer["Body"]._raw_stream  # noqa: SLF001
        self._doing = doing

    def read1(self, size: int, /) -> bytes:
        try:
            data: bytes = self._raw.read1(size)
        except Exception as error:  # urllib3's, which botocore translates only in its wrapper
            raise ChunkerError(
                ErrorCode.SOURCE_UNREACHABLE, f"{self._doing}: {error}", stage=Stage.SOURCE
            ) from error
        return data

    def close(self) -> None:
        self._raw.close()


class S3Store:
    """See `Store`."""

    waits = True

    def __init__(self, settings: "Settings") -> None:
        """Args:
        settings: the deployment's.

        Raises:
            ChunkerError: BAD_CONFIGURATION.
        """
        self.client: Any = make_client(settings)
        self._tagging = settings.cache_tagging
        self._pace = Pace(settings.source_min_bytes_per_s, settings.source_window_s)
        self._payer = {"RequestPayer": "requester"} if settings.s3_requester_pays else {}
        self._encryption: dict[str, str] = {}
        if settings.s3_sse:
            self._encryption["ServerSideEncryption"] = settings.s3_sse
            if settings.s3_sse_kms_key_id:
                self._encryption["SSEKMSKeyId"] = settings.s3_sse_kms_key_id
        self._etags: dict[ObjectUrl, str] = {}

    def open_source(self, url: ObjectUrl, version_id: str | None = None) -> SourceFile:
        """See `Store`; the first range tells size and ETag, which is held from then on."""
        doing = f"reading {url}"
        place = {"Bucket": url.container, "Key": url.key} | self._payer
        if version_id:
            place["VersionId"] = version_id

        def ask(offset: int, length: int, **condition: str) -> dict[str, Any]:
            wanted = f"bytes={offset}-{offset + length - 1}"
            answer: dict[str, Any] = self.client.get_object(**place, Range=wanted, **condition)
            return answer

        try:
            answer = ask(0, FIRST_SPAN_BYTES)
        except S3_ERRORS as error:
            if status_of(error) == 416:  # there is no byte 0
                return empty_reader()
            raise _explain(translate(error, doing=doing, stage=Stage.SOURCE), error, url) from error
        etag = answer["ETag"]

        def open_range(offset: int, length: int) -> RangeStream:
            try:
                return _Body(ask(offset, length, IfMatch=etag), doing, self._pace.window_s)
            except S3_ERRORS as error:
                raise translate(error, doing=doing, stage=Stage.SOURCE) from error

        # "bytes 0-262143/1000000"; a server that sends the whole object sends no such line.
        total = answer.get("ContentRange", "").rpartition("/")[2] or answer["ContentLength"]
        identity = f"{etag} {answer.get('VersionId', '')}".rstrip()
        pump = Pump(open_range, pace=self._pace)
        return RangeReader(
            int(total), identity, pump, first=_Body(answer, doing, self._pace.window_s)
        )

    def head(self, url: ObjectUrl, *, listed: bool = False) -> StoredObject | None:
        """See `Store`."""
        try:
            answer = self.client.head_object(Bucket=url.container, Key=url.key, **self._payer)
        except S3_ERRORS as error:
            if status_of(error) == 404 or (status_of(error) == 403 and not listed):
                return None
            raise translate(error, doing=f"looking at {url}", stage=Stage.UPLOAD) from error
        metadata = {name.lower(): text for name, text in answer["Metadata"].items()}
        return StoredObject(answer["ContentLength"], metadata, answer["ETag"])

    def check_container(self, url: ObjectUrl) -> None:
        """See `Store`; a 403 passes, since writing needs no right to list."""
        try:
            self.client.head_bucket(Bucket=url.container)
        except ClientError as error:
            if status_of(error) == 404:
                text = f"there is no bucket {url.container!r} ({url})"
                raise ChunkerError(ErrorCode.DESTINATION_NOT_FOUND, text) from error
        except BotoCoreError:
            pass

    def put(self, url: ObjectUrl, body: "ChunkBody", info: ObjectInfo) -> None:
        """See `Store`; an upload that arrived damaged is repeated."""
        for attempt in range(1, _DAMAGED_ATTEMPTS + 1):
            try:
                etag = self._put(url, body, info)
            except S3_ERRORS as error:
                if name_of(error) in _DAMAGED and attempt < _DAMAGED_ATTEMPTS:
                    continue
                raise translate(error, doing=f"writing {url}", stage=Stage.UPLOAD) from error
            else:
                self._etags[url] = etag
                return

    def _put(self, url: ObjectUrl, body: "ChunkBody", info: ObjectInfo) -> str:
        extra = self._describe(info) | self._payer
        if len(body) >= PARTS_FROM_BYTES:
            return put_parts(self.client, url, body, extra, self._payer)
        return put_whole(self.client, url, body, info.sha256, extra)

    def copy(self, source: ObjectUrl, url: ObjectUrl, info: ObjectInfo) -> bool:
        """See `Store`; believed when the store names our SHA-256, or the ETag of our PUT."""
        put = self._etags.pop(source, None) or self._etag_of(source, info)
        try:
            answer = self.client.copy_object(
                Bucket=url.container,
                Key=url.key,
                CopySource={"Bucket": source.container, "Key": source.key},
                MetadataDirective="REPLACE",
                TaggingDirective="REPLACE",
                ChecksumAlgorithm="SHA256",
                **({"CopySourceIfMatch": put} if put else {}),
                **self._describe(info),
                **self._payer,
            )
        except S3_ERRORS:
            return False  # whatever it is, `put` will say it better, or succeed
        result = answer.get("CopyObjectResult", {})
        digest = result.get("ChecksumSHA256")
        if digest:
            return bool(digest == base64.b64encode(bytes.fromhex(info.sha256)).decode())
        # Some servers forget the quotes around this one.
        return put is not None and str(result.get("ETag")).strip('"') == put.strip('"')

    def _etag_of(self, url: ObjectUrl, info: ObjectInfo) -> str | None:
        """Of an object that an earlier attempt put, if it is the one that is meant."""
        try:
            found = self.head(url)
        except ChunkerError:
            return None
        if found is None or found.metadata.get("m0-sha256") != info.sha256:
            return None
        return found.etag

    def list(self, prefix: ObjectUrl) -> Iterator[Listed]:
        """See `Store`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=prefix.container, Prefix=prefix.key, **self._payer
        )
        try:
            for page in pages:
                for entry in page.get("Contents", []):
                    yield Listed(
                        prefix.sibling(prefix.container, entry["Key"]),
                        entry["Size"],
                        entry["ETag"],
                        entry["LastModified"],
                    )
        except S3_ERRORS as error:
            raise translate(error, doing=f"listing {prefix}", stage=Stage.UPLOAD) from error

    def delete(self, url: ObjectUrl, etag: str) -> bool:
        """See `Store`; where the server knows no condition, it is asked just before."""
        place = {"Bucket": url.container, "Key": url.key} | self._payer
        try:
            try:
                self.client.delete_object(**place, IfMatch=etag)
            except ClientError as error:
                if status_of(error) != 501:
                    raise
                found = self.head(url, listed=True)
                if found is None or found.etag != etag:
                    return False
                self.client.delete_object(**place)
        except S3_ERRORS as error:
            if status_of(error) in {404, 412}:
                return False
            raise translate(error, doing=f"deleting {url}", stage=Stage.UPLOAD) from error
        return True

    def ensure_lifecycle(self, container: ObjectUrl, ttl_hours: float) -> bool:
        """Keep M0's own rule in the bucket; whether it had to be written.

        Raises:
            ChunkerError: DESTINATION_* or UPLOAD_FAILED.
        """
        try:
            return ensure_rule(self.client, container.container, ttl_hours)
        except S3_ERRORS as error:
            doing = f"the lifecycle rule of {container}"
            raise translate(error, doing=doing, stage=Stage.UPLOAD) from error

    def _describe(self, info: ObjectInfo) -> dict[str, Any]:
        """What is said of an object, as parameters."""
        said: dict[str, Any] = {"ContentType": "video/mp4", "Metadata": dict(info.metadata)}
        if info.ttl_hours is not None and self._tagging:
            said["Tagging"] = urlencode({TTL_TAG: format_hours(info.ttl_hours)})
        return said | self._encryption


def _explain(error: ChunkerError, answer: Exception, url: ObjectUrl) -> ChunkerError:
    if error.code is not ErrorCode.SOURCE_NOT_FOUND:
        return error
    text = f"there is no object {url.key!r} in bucket {url.container!r}"
    if name_of(answer) == "NoSuchBucket":
        text = f"there is no bucket {url.container!r} (source {url})"
    return ChunkerError(error.code, text)
