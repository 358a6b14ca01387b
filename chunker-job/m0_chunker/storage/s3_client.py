"""botocore's client as M0 wants it, and its errors as M0's.

boto3 itself is not imported: its resource layer and transfer manager cost start-up time
that every film would pay, and nothing here needs them.
"""

import base64
from typing import TYPE_CHECKING, Any

import botocore.auth
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

from m0_chunker.errors import ChunkerError, ThrottledError
from m0_chunker.storage.base import CODES

if TYPE_CHECKING:
    from m0_chunker.settings import Settings

CONNECT_TIMEOUT_S = 5

S3_ERRORS = (ClientError, BotoCoreError, OSError)
"""What a call of the client can raise."""

_CODES = CODES | {301: (ErrorCode.BAD_CONFIGURATION, ErrorCode.BAD_CONFIGURATION)}
"""A HEAD has no body, so the status is often all there is."""

_LOST = (ErrorCode.SOURCE_UNREACHABLE, ErrorCode.UPLOAD_FAILED)

_BY_NAME: dict[str, tuple[ErrorCode, ErrorCode]] = {
    "BadDigest": _LOST,
    "InvalidDigest": _LOST,
    "XAmzContentSHA256Mismatch": _LOST,
    "XAmzContentChecksumMismatch": _LOST,
    "RequestTimeout": _LOST,
    "NoSuchUpload": _LOST,
    "RequestTimeTooSkewed": (ErrorCode.BAD_CONFIGURATION, ErrorCode.BAD_CONFIGURATION),
    "EntityTooLarge": (ErrorCode.LIMIT_EXCEEDED, ErrorCode.LIMIT_EXCEEDED),
}
"""S3's own error code, where its status alone would mislead."""

_DIGEST_HEADER = "x-amz-checksum-sha256"
_SIGNATURE = "m0-s3v4"


class _DigestAuth(botocore.auth.S3SigV4Auth):
    """S3's signature; where the body's SHA-256 is known already it is not computed again.

    The checksum header and the payload hash are the same digest in two spellings.
    botocore would read the whole body once more for the second.
    """

    def payload(self, request: Any) -> str:
        digest = request.headers.get(_DIGEST_HEADER)
        if digest is None:
            return str(super().payload(request))
        return base64.b64decode(digest).hex()


def _choose_signer(signature_version: object, **_: object) -> str | None:
    """Asked before botocore's own handler, which makes `s3v4` of `v4`."""
    return _SIGNATURE if signature_version in {"v4", "s3v4"} else None


def make_client(settings: "Settings") -> Any:
    """An S3 client. Credentials come from botocore's own chain, never from a request.

    Raises:
        ChunkerError: BAD_CONFIGURATION.
    """
    style = settings.s3_addressing_style
    if style == "auto" and settings.s3_endpoint_url:
        style = "path"  # few servers of one's own have a host name for each bucket
    session = botocore.session.get_session()
    botocore.auth.AUTH_TYPE_MAPS[_SIGNATURE] = _DigestAuth
    try:
        client: Any = session.create_client(
            "s3",
            region_name=session.get_config_variable("region") or "us-east-1",
            endpoint_url=settings.s3_endpoint_url,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=max(30.0, settings.source_window_s),
                retries={"mode": "standard", "total_max_attempts": 4},
                # Our own checksums go along; botocore's CRC trailers break older servers.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                max_pool_connections=24,
                s3={"addressing_style": style},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ChunkerError(ErrorCode.BAD_CONFIGURATION, f"S3 settings: {error}") from error
    # Only for uploads: a presigned URL, should there ever be one, has its own signer.
    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register_first(f"choose-signer.s3.{operation}", _choose_signer)
    return client


def status_of(error: Exception) -> int:
    """The HTTP status in an answer; 0 where there was none."""
    if not isinstance(error, ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def name_of(error: Exception) -> str:
    """S3's own code in an answer; empty where there was none."""
    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def translate(error: Exception, *, doing: str, stage: Stage) -> ChunkerError:
    """A botocore error as one of ours.

    Args:
        error: one of `S3_ERRORS`.
        doing: e.g. "reading s3://bucket/key".
        stage: SOURCE or UPLOAD.
    """
    side = 0 if stage is Stage.SOURCE else 1
    if isinstance(error, ParamValidationError):
        # A name that no bucket or key can have: it was asked for by the request.
        missing = (ErrorCode.SOURCE_NOT_FOUND, ErrorCode.DESTINATION_NOT_FOUND)
        return ChunkerError(missing[side], f"{doing}: {error}", stage=stage)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return ChunkerError(ErrorCode.BAD_CONFIGURATION, f"{doing}: {error}", stage=stage)
    if not isinstance(error, ClientError):
        return ChunkerError(_LOST[side], f"{doing}: {error}", stage=stage)
    status, name = status_of(error), name_of(error)
    message = str(error.response.get("Error", {}).get("Message", ""))
    said = " ".join(part for part in (name, message) if part)
    kind = ThrottledError if status in {429, 503} else ChunkerError
    # S3 names what it refuses. A 400 without a name is of something between that got half a
    # request, and botocore puts the number there; only the answer to a HEAD never has one.
    between = name == "400" and stage is Stage.UPLOAD
    code = _LOST[side] if between else (_BY_NAME.get(name) or _CODES.get(status, _LOST))[side]
    return kind(code, f"{doing}: HTTP {status} {said}".rstrip(), stage=stage)
