"""Azure Blob Storage."""

from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import BlobServiceClient, ContentSettings
from m0_contract.errors import ErrorCode, Stage
from m0_contract.keys import ObjectUrl

from m0_chunker.errors import ChunkerError
from m0_chunker.storage.base import CODES, ObjectInfo, SourceFile
from m0_chunker.storage.range_reader import RangeReader

if TYPE_CHECKING:
    from m0_chunker.chunk import ChunkBody
    from m0_chunker.settings import Settings

TIMEOUT_S = 30


def translate(error: AzureError, *, doing: str, stage: Stage) -> ChunkerError:
    """An Azure error as one of ours; arguments as in `s3.translate`."""
    side = 0 if stage is Stage.SOURCE else 1
    fallback = (ErrorCode.SOURCE_UNREACHABLE, ErrorCode.UPLOAD_FAILED)
    status = error.status_code if isinstance(error, HttpResponseError) else None
    name = getattr(error, "error_code", None)
    name = str(getattr(name, "value", name) or type(error).__name__)
    if name == "Md5Mismatch":
        return ChunkerError(fallback[side], f"{doing}: {name}", stage=stage)
    code = CODES.get(status or 0, fallback)[side]
    # The library's own text holds request ids and, for SAS, parts of the signed URL.
    said = f"HTTP {status} {name}" if status else name
    return ChunkerError(code, f"{doing}: {said}", stage=stage)


class AzureStore:
    """See `Store`."""

    def __init__(self, settings: "Settings") -> None:
        """The account and its key come from AZURE_STORAGE_CONNECTION_STRING."""
        secret = settings.azure_storage_connection_string
        if secret is None:
            raise ChunkerError(
                ErrorCode.BAD_CONFIGURATION,
                "an Azure Blob URL needs AZURE_STORAGE_CONNECTION_STRING, which is not set",
            )
        try:
            self._service: Any = BlobServiceClient.from_connection_string(
                secret.get_secret_value(),
                connection_timeout=5,
                read_timeout=TIMEOUT_S,
                retry_total=3,
            )
        except ValueError as error:
            raise ChunkerError(
                ErrorCode.BAD_CONFIGURATION, "AZURE_STORAGE_CONNECTION_STRING can't be read"
            ) from error

    def _blob(self, url: ObjectUrl) -> Any:
        """A client for one blob; the account of an https URL must be the configured one."""
        if url.account and not url.account.startswith(f"{self._service.account_name}."):
            raise ChunkerError(
                ErrorCode.BAD_CONFIGURATION,
                f"{url} is in another account than AZURE_STORAGE_CONNECTION_STRING",
            )
        return self._service.get_blob_client(url.container, url.key)

    def open_source(self, url: ObjectUrl) -> SourceFile:
        """See `Store`; the blob's ETag is held, so that a replaced one is noticed."""
        doing, blob = f"reading {url}", self._blob(url)
        try:
            properties = blob.get_blob_properties()
        except AzureError as error:
            raise _explain(translate(error, doing=doing, stage=Stage.SOURCE), url) from error
        from azure.core import MatchConditions  # noqa: PLC0415 - only here

        held = {"etag": properties.etag, "match_condition": MatchConditions.IfNotModified}

        def fetch(offset: int, length: int) -> bytes:
            try:
                data: bytes = blob.download_blob(
                    offset, length, max_concurrency=1, **held
                ).readall()
            except AzureError as error:
                raise translate(error, doing=doing, stage=Stage.SOURCE) from error
            if len(data) != length:
                raise ChunkerError(
                    ErrorCode.SOURCE_UNREACHABLE, f"{doing}: {len(data)} of {length} bytes came"
                )
            return data

        return RangeReader(properties.size, fetch)

    def check_container(self, url: ObjectUrl) -> None:
        """See `Store`."""
        self._blob(url)
        try:
            self._service.get_container_client(url.container).get_container_properties()
        except AzureError as error:
            if getattr(error, "status_code", None) == 404:
                raise ChunkerError(
                    ErrorCode.DESTINATION_NOT_FOUND,
                    f"there is no container {url.container!r} ({url})",
                ) from error

    def put(self, url: ObjectUrl, body: "ChunkBody", info: ObjectInfo) -> None:
        """See `Store`; `validate_content` has the service check each part's MD5."""
        body.seek(0)
        try:
            self._blob(url).upload_blob(
                body,
                length=len(body),
                overwrite=True,
                validate_content=True,
                max_concurrency=1,
                content_settings=ContentSettings(
                    content_type="video/mp4", content_md5=bytearray(info.md5)
                ),
                # Azure's metadata names are C# identifiers.
                metadata={name.replace("-", "_"): text for name, text in info.metadata.items()},
            )
        except AzureError as error:
            raise translate(error, doing=f"writing {url}", stage=Stage.UPLOAD) from error

    def copy(self, source: ObjectUrl, url: ObjectUrl, info: ObjectInfo) -> bool:  # noqa: ARG002
        """Not yet: copying inside an account needs a signed source URL."""
        return False


def _explain(error: ChunkerError, url: ObjectUrl) -> ChunkerError:
    if error.code is not ErrorCode.SOURCE_NOT_FOUND:
        return error
    return ChunkerError(
        error.code, f"there is no blob {url.key!r} in container {url.container!r}, or no container"
    )
