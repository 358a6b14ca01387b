"""Which store a URL belongs to. Each one's library is imported when it is first needed."""

from typing import TYPE_CHECKING

from m0_contract.keys import StoreKind

from m0_chunker.storage.base import Store

if TYPE_CHECKING:
    from m0_chunker.settings import Settings


class Stores:
    """The stores of this process, one of a kind, made on first use."""

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self._stores: dict[StoreKind, Store] = {}

    def of(self, kind: StoreKind) -> Store:
        """The store for this kind of URL.

        Raises:
            ChunkerError: BAD_CONFIGURATION.
        """
        if kind not in self._stores:
            self._stores[kind] = self._make(kind)
        return self._stores[kind]

    def _make(self, kind: StoreKind) -> Store:
        # ruff: noqa: PLC0415 - imported late: botocore and azure cost 0.2 s of CPU each
        if kind == "s3":
            from m0_chunker.storage.s3 import S3Store

            return S3Store(self._settings)
        if kind == "az":
            from m0_chunker.storage.azure import AzureStore

            return AzureStore(self._settings)
        from m0_chunker.storage.file import FileStore

        return FileStore()
