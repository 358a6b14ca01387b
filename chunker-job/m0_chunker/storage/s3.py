"""S3 and everything that speaks its protocol, through botocore.

boto3 itself is not imported: its resource layer and transfer manager cost start-up time
that every film would pay, and nothing here needs them.
"""

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from m0_contract.errors import ErrorCode, Stage
from m0_contract.keys import ObjectUrl

from m0_chunker.errors import ChunkerError
from m0_chunker.storage.base import CODES, ObjectInfo, SourceFile
from m0_chunker.storage.range_reader import RangeReader

if TYPE_CHECKING:
    from m0_chunker.chunk import ChunkBody
    from m0_chunker.settings import Settings

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
COPY_LIMIT_BYTES = 5 * 2**30
"""CopyObject's own limit."""

_CODES = CODES | {301: (ErrorCode.BAD_CONFIGURATION, ErrorCode.BAD_CONFIGURATION)}
"""A HEAD has no body, so the status is often all there is."""

_BY_NAME: dict[str, tuple[ErrorCode, ErrorCode]] = {
    "BadDigest": (ErrorCode.SOURCE_UNREACHABLE, ErrorCode.UPLOAD_FAILED),
    "InvalidDigest": (ErrorCode.SOURCE_UNREACHABLE, ErrorCode.UPLOAD_FAILED),
    "XAmzContentSHA256Mismatch": (ErrorCode.SOURCE_UNREACHABLE, ErrorCode.UPLOAD_FAILED),
    "RequestTimeout": (ErrorCode.SOURCE_UNREACHABLE, ErrorCode.UPLOAD_FAILED),
    "RequestTimeTooSkewed": (ErrorCode.BAD_CONFIGURATION, ErrorCode.BAD_CONFIGURATION),
    "EntityTooLarge": (ErrorCode.LIMIT_EXCEEDED, ErrorCode.LIMIT_EXCEEDED),
}
"""S3's own error code, where its status alone would mislead."""


def translate(error: Exception, *, doing: str, stage: Stage) -> ChunkerError:
    """A botocore error as one of ours.

    Args:
        error: a ClientError or BotoCoreError.
        doing: e.g. "reading s3://bucket/key".
        stage: SOURCE or UPLOAD.
    """
    side = 0 if stage is Stage.SOURCE else 1
    fallback = (ErrorCode.SOURCE_UNREACHABLE, ErrorCode.UPLOAD_FAILED)
    if isinstance(error, ParamValidationError):
        # A name that no bucket or key can have: it was asked for by the request.
        missing = (ErrorCode.SOURCE_NOT_FOUND, ErrorCode.DESTINATION_NOT_FOUND)
        return ChunkerError(missing[side], f"{doing}: {error}", stage=stage)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return ChunkerError(ErrorCode.BAD_CONFIGURATION, f"{doing}: {error}", stage=stage)
    if not isinstance(error, ClientError):
        return ChunkerError(fallback[side], f"{doing}: {error}", stage=stage)
    details: dict[str, Any] = error.response.get("Error", {})  # type: ignore[assignment]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    name = str(details.get("Code", ""))
    codes = _BY_NAME.get(name) or _CODES.get(status, fallback)
    said = " ".join(part for part in (name, str(details.get("Message", ""))) if part)
    return ChunkerError(codes[side], f"{doing}: HTTP {status} {said}".rstrip(), stage=stage)


class S3Store:
    """See `Store`."""

    def __init__(self, settings: "Settings") -> None:
        """Credentials come from botocore's own chain, never from a request."""
        style = settings.s3_addressing_style
        if style == "auto" and settings.s3_endpoint_url:
            style = "path"  # few servers of one's own have a host name for each bucket
        self._tagging = settings.cache_tagging
        session = botocore.session.get_session()
        try:
            self._client: Any = session.create_client(
                "s3",
                region_name=session.get_config_variable("region") or "us-east-1",
                endpoint_url=settings.s3_endpoint_url,
                config=Config(
                    connect_timeout=CONNECT_TIMEOUT_S,
                    read_timeout=READ_TIMEOUT_S,
                    retries={"mode": "standard", "total_max_attempts": 4},
                    # Our own checksums go along; botocore's CRC trailers break older servers.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    max_pool_connections=16,
                    s3={"addressing_style": style},
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise ChunkerError(ErrorCode.BAD_CONFIGURATION, f"S3 settings: {error}") from error

    def open_source(self, url: ObjectUrl) -> SourceFile:
        """See `Store`; the object's ETag is held, so that a replaced one is noticed."""
        doing = f"reading {url}"
        try:
            head = self._client.head_object(Bucket=url.container, Key=url.key)
        except (ClientError, BotoCoreError) as error:
            raise self._explain(translate(error, doing=doing, stage=Stage.SOURCE), url) from error
        etag = head["ETag"]

        def fetch(offset: int, length: int) -> bytes:
            wanted = f"bytes={offset}-{offset + length - 1}"
            try:
                answer = self._client.get_object(
                    Bucket=url.container, Key=url.key, Range=wanted, IfMatch=etag
                )
                data: bytes = answer["Body"].read()
            except (ClientError, BotoCoreError, OSError) as error:
                raise translate(error, doing=doing, stage=Stage.SOURCE) from error
            if len(data) != length:
                raise ChunkerError(
                    ErrorCode.SOURCE_UNREACHABLE,
                    f"{doing}: {len(data)} of {length} bytes came",
                )
            return data

        return RangeReader(head["ContentLength"], fetch)

    def check_container(self, url: ObjectUrl) -> None:
        """See `Store`; a 403 passes, since writing needs no right to list."""
        if self._bucket_is_missing(url.container):
            raise ChunkerError(
                ErrorCode.DESTINATION_NOT_FOUND, f"there is no bucket {url.container!r} ({url})"
            )

    def put(self, url: ObjectUrl, body: "ChunkBody", info: ObjectInfo) -> None:
        """See `Store`; Content-MD5 and x-amz-checksum-sha256 make the store check."""
        body.seek(0)
        try:
            self._client.put_object(
                Bucket=url.container,
                Key=url.key,
                Body=body,
                ContentLength=len(body),
                ContentType="video/mp4",
                ContentMD5=base64.b64encode(info.md5).decode(),
                ChecksumSHA256=base64.b64encode(bytes.fromhex(info.sha256)).decode(),
                Metadata=info.metadata,
                **self._tags(info),
            )
        except (ClientError, BotoCoreError, OSError) as error:
            raise translate(error, doing=f"writing {url}", stage=Stage.UPLOAD) from error

    def copy(self, source: ObjectUrl, url: ObjectUrl, info: ObjectInfo) -> bool:
        """See `Store`; believed only when the copy's ETag is the MD5 of our bytes."""
        try:
            answer = self._client.copy_object(
                Bucket=url.container,
                Key=url.key,
                CopySource={"Bucket": source.container, "Key": source.key},
                ContentType="video/mp4",
                MetadataDirective="REPLACE",
                TaggingDirective="REPLACE",
                Metadata=info.metadata,
                **self._tags(info),
            )
        except (ClientError, BotoCoreError):
            return False  # whatever it is, `put` will say it better, or succeed
        etag = str(answer.get("CopyObjectResult", {}).get("ETag", "")).strip('"')
        return etag == info.md5.hex()

    def _tags(self, info: ObjectInfo) -> dict[str, str]:
        if info.ttl_hours is None or not self._tagging:
            return {}
        return {"Tagging": urlencode({"m0-ttl-hours": f"{info.ttl_hours:g}"})}

    def _explain(self, error: ChunkerError, url: ObjectUrl) -> ChunkerError:
        """A HEAD's bare 404 means the key or the bucket: ask which."""
        if error.code is not ErrorCode.SOURCE_NOT_FOUND:
            return error
        text = f"there is no object {url.key!r} in bucket {url.container!r}"
        if self._bucket_is_missing(url.container):
            text = f"there is no bucket {url.container!r} (source {url})"
        return ChunkerError(error.code, text)

    def _bucket_is_missing(self, bucket: str) -> bool:
        try:
            self._client.head_bucket(Bucket=bucket)
        except ClientError as answer:
            status: object = answer.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status == 404
        except BotoCoreError:
            pass
        return False
