"""Who we are for Azure Blob Storage: the account, its credential, and requests signed with it.

An account is never taken from a URL of a request: a token or key would go to whatever host
somebody wrote there.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import BlobServiceClient, ExponentialRetry, generate_blob_sas
from m0_contract.errors import ErrorCode, Stage

from m0_chunker.errors import ChunkerError, ThrottledError
from m0_chunker.storage.base import CODES

if TYPE_CHECKING:
    from m0_chunker.settings import Settings

API_VERSION = "2021-12-02"
"""Of requests that we make ourselves."""

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
BLOCK_BYTES = 4 * 2**20
"""A block is in memory while it travels, and four of them do."""

_SIGNED_FOR = timedelta(hours=1)
_SCOPE = "https://storage.azure.com/.default"
_LOST = (ErrorCode.SOURCE_UNREACHABLE, ErrorCode.UPLOAD_FAILED)
DAMAGED = {"Md5Mismatch", "Crc64Mismatch"}
"""The service got other bytes than were sent."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request's URL and headers with what authorizes it; not for any log.

    Attributes:
        url: with a signature, where that is how it is done.
        authorization: a header instead; empty otherwise.
    """

    url: str
    authorization: str = ""


class Account:
    """The configured account."""

    def __init__(self, settings: "Settings") -> None:
        """Args:
        settings: the deployment's.

        Raises:
            ChunkerError: BAD_CONFIGURATION.
        """
        self._token: Any = None
        options = {
            "connection_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            # The library's own waits 15 s before the second attempt.
            "retry_policy": ExponentialRetry(
                initial_backoff=0, increment_base=2, retry_total=3, random_jitter_range=1
            ),
            "max_single_put_size": BLOCK_BYTES,
            "max_block_size": BLOCK_BYTES,
        }
        try:
            self.service: Any = self._connect(settings, options)
        except ValueError as error:  # its text quotes what it was given
            raise ChunkerError(
                ErrorCode.BAD_CONFIGURATION,
                "the AZURE_STORAGE_* variables can't be read: one of them is malformed",
            ) from error

    def _connect(self, settings: "Settings", options: dict[str, Any]) -> Any:
        connection = settings.azure_storage_connection_string
        if connection is not None:
            text = connection.get_secret_value()
            return BlobServiceClient.from_connection_string(text, **options)
        account = settings.azure_storage_account
        if account is None:
            raise ChunkerError(
                ErrorCode.BAD_CONFIGURATION,
                "an Azure Blob URL needs AZURE_STORAGE_CONNECTION_STRING or "
                "AZURE_STORAGE_ACCOUNT, and neither is set",
            )
        url = account if "://" in account else f"https://{account}.blob.core.windows.net"
        credential: Any
        if settings.azure_storage_key is not None:
            credential = {
                "account_name": _account_name(url),
                "account_key": settings.azure_storage_key.get_secret_value(),
            }
        elif settings.azure_storage_sas_token is not None:
            credential = settings.azure_storage_sas_token.get_secret_value()
        else:
            credential = self._token = _workload_identity()
        return BlobServiceClient(url, credential=credential, **options)

    def sign(self, blob: Any, version_id: str | None = None) -> Signed:
        """How to read a blob by a plain GET.

        Args:
            blob: its client.
            version_id: of the blob.

        Raises:
            AzureError: no token could be had.
        """
        url = blob.url  # with the SAS, where that is the credential
        key = getattr(blob.credential, "account_key", None)
        if key:
            signature = generate_blob_sas(
                account_name=blob.account_name,
                container_name=blob.container_name,
                blob_name=blob.blob_name,
                account_key=key,
                permission="r",
                expiry=datetime.now(UTC) + _SIGNED_FOR,
                version_id=version_id,
            )
            url = f"{url}?{signature}"
        if version_id:
            url = f"{url}{'&' if '?' in url else '?'}versionid={version_id}"
        if self._token is None:
            return Signed(url)
        return Signed(url, f"Bearer {self._token.get_token(_SCOPE).token}")


def _account_name(url: str) -> str:
    """`https://NAME.blob.…` or, in the path, `http://host:port/NAME`."""
    parts = urlsplit(url)
    return parts.path.strip("/") or (parts.hostname or "").partition(".")[0]


def _workload_identity() -> Any:
    """The pod's identity: federated where Kubernetes gives a token, else the machine's."""
    # Imported late: it is big, and only those without a key need it.
    from azure.identity import (  # noqa: PLC0415
        ManagedIdentityCredential,
        WorkloadIdentityCredential,
    )

    if os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        return WorkloadIdentityCredential()
    return ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID"))


def from_status(status: int, name: str, *, doing: str, stage: Stage) -> ChunkerError:
    """An answer of the service as one of our errors.

    Args:
        status: HTTP's.
        name: Azure's own code, or what else names the failure.
        doing: e.g. "reading az://container/blob".
        stage: SOURCE or UPLOAD.
    """
    side = 0 if stage is Stage.SOURCE else 1
    # The library's own text holds request ids and, for SAS, parts of the signed URL.
    said = f"HTTP {status} {name}".rstrip() if status else name
    code = _LOST[side] if name in DAMAGED else CODES.get(status, _LOST)[side]
    kind = ThrottledError if status in {429, 503} else ChunkerError
    return kind(code, f"{doing}: {said}", stage=stage)


def translate(error: AzureError, *, doing: str, stage: Stage) -> ChunkerError:
    """An Azure error as one of ours; arguments as in `from_status`."""
    name = name_of(error)
    if name in {"ClientAuthenticationError", "CredentialUnavailableError"}:
        text = f"{doing}: no token could be had for the workload's identity"
        return ChunkerError(ErrorCode.BAD_CONFIGURATION, text, stage=stage)
    return from_status(status_of(error), name, doing=doing, stage=stage)


def status_of(error: AzureError) -> int:
    """The HTTP status; 0 where there was no answer."""
    return (error.status_code or 0) if isinstance(error, HttpResponseError) else 0


def name_of(error: AzureError) -> str:
    """Azure's own code, else the kind of error."""
    code = getattr(error, "error_code", None)
    if "contentMD5" in str(error.message):  # Azurite has a code of its own for it
        return "Md5Mismatch"
    return str(getattr(code, "value", code) or type(error).__name__)
