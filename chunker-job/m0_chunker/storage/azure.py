"""Azure Blob Storage."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import requests
from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.storage.blob import ContentSettings
from m0_contract.errors import ErrorCode, Stage
from m0_contract.keys import ObjectUrl

from m0_chunker.errors import ChunkerError
from m0_chunker.storage.azure_client import (
    API_VERSION,
    CONNECT_TIMEOUT_S,
    DAMAGED,
    Account,
    from_status,
    name_of,
    status_of,
    translate,
)
from m0_chunker.storage.base import Listed, ObjectInfo, SourceFile, StoredObject
from m0_chunker.storage.pump import Pace, Pump, RangeStream, patiently
from m0_chunker.storage.range_reader import FIRST_SPAN_BYTES, RangeReader, empty_reader

if TYPE_CHECKING:
    from m0_chunker.chunk import ChunkBody
    from m0_chunker.settings import Settings

COPY_LIMIT_BYTES = 256 * 2**20
"""The service's, for a copy that is done when it answers."""

BLOCKS_AT_ONCE = 4
_DAMAGED_ATTEMPTS = 3


class _Answer:
    """A `RangeStream` over an answer of the service."""

    def __init__(self, answer: requests.Response, doing: str) -> None:
        self._answer, self._doing = answer, doing

    def read1(self, size: int, /) -> bytes:
        try:
            data: bytes = self._answer.raw.read1(size)
        except Exception as error:  # urllib3's
            raise _lost(error, self._doing) from error
        return data

    def close(self) -> None:
        self._answer.close()


class AzureStore:
    """See `Store`."""

    waits = True

    def __init__(self, settings: "Settings") -> None:
        """Args:
        settings: the deployment's.

        Raises:
            ChunkerError: BAD_CONFIGURATION.
        """
        self._account = Account(settings)
        self._service: Any = self._account.service
        self._pace = Pace(settings.source_min_bytes_per_s, settings.source_window_s)
        self._session = requests.Session()
        self._puts: dict[ObjectUrl, tuple[str, int]] = {}

    def _blob(self, url: ObjectUrl) -> Any:
        """A client for one blob; the account of an https URL must be the configured one."""
        if url.account and not url.account.startswith(f"{self._service.account_name}."):
            raise ChunkerError(
                ErrorCode.BAD_CONFIGURATION, f"{url} is in another account than the configured one"
            )
        return self._service.get_blob_client(url.container, url.key)

    def open_source(self, url: ObjectUrl, version_id: str | None = None) -> SourceFile:
        """See `Store`; the first range tells size and ETag, which is held from then on.

        The library's own download takes a whole range or nothing, which can't be resumed
        by the byte; so these requests are plain ones, signed by it.
        """
        doing, blob = f"reading {url}", self._blob(url)

        def ask(offset: int, length: int, etag: str | None = None) -> requests.Response:
            wanted = f"bytes={offset}-{offset + length - 1}"
            headers = {"Range": wanted} | ({"If-Match": etag} if etag else {})
            return self._get(blob, version_id, headers, doing)

        answer = patiently(lambda: ask(0, FIRST_SPAN_BYTES))
        if answer.status_code == 416:  # there is no byte 0
            answer.close()
            return empty_reader()
        if answer.status_code == 404:
            text = f"there is no blob {url.key!r} in container {url.container!r}, or no container"
            raise ChunkerError(ErrorCode.SOURCE_NOT_FOUND, text)
        _check(answer, doing)
        etag = answer.headers["ETag"]

        def open_range(offset: int, length: int) -> RangeStream:
            answer = ask(offset, length, etag)
            _check(answer, doing)
            return _Answer(answer, doing)

        size = answer.headers.get("Content-Range", "").rpartition("/")[2]
        identity = f"{etag} {answer.headers.get('x-ms-version-id', '')}".rstrip()
        return RangeReader(
            int(size or answer.headers["Content-Length"]),
            identity,
            Pump(open_range, pace=self._pace),
            first=_Answer(answer, doing),
        )

    def _get(
        self, blob: Any, version_id: str | None, headers: Mapping[str, str], doing: str
    ) -> requests.Response:
        """One GET; transient failures are raised, all other answers returned."""
        try:
            signed = self._account.sign(blob, version_id)
        except AzureError as error:
            raise translate(error, doing=doing, stage=Stage.SOURCE) from error
        own = {"x-ms-version": API_VERSION, "Accept-Encoding": "identity"}
        if signed.authorization:
            own["Authorization"] = signed.authorization
        try:
            answer = self._session.get(
                signed.url,
                headers=own | dict(headers),
                stream=True,
                timeout=(CONNECT_TIMEOUT_S, self._pace.window_s),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # Its text, and its cause's, hold the signed URL.
            raise _lost(error, doing) from None
        if answer.status_code == 429 or answer.status_code >= 500:
            _check(answer, doing)
        return answer

    def head(self, url: ObjectUrl, *, listed: bool = False) -> StoredObject | None:  # noqa: ARG002
        """See `Store`."""
        try:
            found = self._blob(url).get_blob_properties()
        except AzureError as error:
            if status_of(error) == 404:
                return None
            raise translate(error, doing=f"looking at {url}", stage=Stage.UPLOAD) from error
        return StoredObject(found.size, _from_azure(found.metadata), found.etag)

    def check_container(self, url: ObjectUrl) -> None:
        """See `Store`."""
        self._blob(url)
        try:
            self._service.get_container_client(url.container).get_container_properties()
        except AzureError as error:
            if status_of(error) == 404:
                text = f"there is no container {url.container!r} ({url})"
                raise ChunkerError(ErrorCode.DESTINATION_NOT_FOUND, text) from error

    def put(self, url: ObjectUrl, body: "ChunkBody", info: ObjectInfo) -> None:
        """See `Store`; the service checks each block's MD5, and damaged ones are repeated."""
        for attempt in range(1, _DAMAGED_ATTEMPTS + 1):
            try:
                answer = self._blob(url).upload_blob(
                    body.view(),
                    length=len(body),
                    overwrite=True,
                    validate_content=True,
                    max_concurrency=BLOCKS_AT_ONCE,
                    content_settings=ContentSettings(content_type="video/mp4"),
                    metadata=_to_azure(info.metadata),
                )
            except AzureError as error:
                if name_of(error) in DAMAGED and attempt < _DAMAGED_ATTEMPTS:
                    continue
                raise translate(error, doing=f"writing {url}", stage=Stage.UPLOAD) from error
            else:
                self._puts[url] = answer["etag"], len(body)
                return

    def copy(self, source: ObjectUrl, url: ObjectUrl, info: ObjectInfo) -> bool:
        """See `Store`; of the very blob that was put, which the service checked then."""
        etag, size = self._puts.pop(source, (None, 0))
        if etag is None:
            etag, size = self._find_put(source, info)
        if etag is None or size > COPY_LIMIT_BYTES:
            return False
        target = self._blob(url)
        try:
            signed = self._account.sign(self._blob(source))
            authorization = signed.authorization
            answer = target.start_copy_from_url(
                signed.url,
                metadata=_to_azure(info.metadata),
                requires_sync=True,
                source_etag=etag,
                source_match_condition=_SAME,
                **({"source_authorization": authorization} if authorization else {}),
            )
            copied = target.get_blob_properties()
        except AzureError:
            return False  # whatever it is, `put` will say it better, or succeed
        return bool(answer.get("copy_status") == "success" and copied.size == size)

    def _find_put(self, url: ObjectUrl, info: ObjectInfo) -> tuple[str | None, int]:
        """(ETag, size) of a blob that an earlier attempt put, if it is the one that is meant."""
        try:
            found = self.head(url)
        except ChunkerError:
            return None, 0
        if found is None or found.metadata.get("m0-sha256") != info.sha256:
            return None, 0
        return found.etag, found.size_bytes

    def list(self, prefix: ObjectUrl) -> Iterator[Listed]:
        """See `Store`."""
        try:
            client = self._service.get_container_client(prefix.container)
            for blob in client.list_blobs(name_starts_with=prefix.key or None):
                url = prefix.sibling(prefix.container, blob.name)
                yield Listed(url, blob.size, blob.etag, blob.last_modified)
        except AzureError as error:
            raise translate(error, doing=f"listing {prefix}", stage=Stage.UPLOAD) from error

    def delete(self, url: ObjectUrl, etag: str) -> bool:
        """See `Store`."""
        try:
            self._blob(url).delete_blob(etag=etag, match_condition=_SAME)
        except AzureError as error:
            if status_of(error) in {404, 412}:
                return False
            raise translate(error, doing=f"deleting {url}", stage=Stage.UPLOAD) from error
        return True


_SAME = MatchConditions.IfNotModified


def _check(answer: requests.Response, doing: str) -> None:
    if answer.status_code not in {200, 206}:
        name = answer.headers.get("x-ms-error-code", "")
        answer.close()
        raise from_status(answer.status_code, name, doing=doing, stage=Stage.SOURCE)


def _lost(error: Exception, doing: str) -> ChunkerError:
    """A broken connection; the error's own text may hold the signed URL."""
    return from_status(0, type(error).__name__, doing=doing, stage=Stage.SOURCE)


def _to_azure(metadata: Mapping[str, str]) -> dict[str, str]:
    """Azure's metadata names are C# identifiers."""
    return {name.replace("-", "_"): text for name, text in metadata.items()}


def _from_azure(metadata: Mapping[str, str]) -> dict[str, str]:
    ours = {name.lower(): text for name, text in metadata.items()}
    return {n.replace("_", "-") if n.startswith("m0_") else n: text for n, text in ours.items()}
