"""Objects by their URL, whichever of the two stores they are in."""

from collections.abc import Mapping
from dataclasses import dataclass

from azure.storage.blob import BlobServiceClient, ContainerClient
from devstack import DevStack


@dataclass(frozen=True)
class Stored:
    """An object as its store gives it."""

    data: bytes
    metadata: Mapping[str, str]


class Places:
    """Both stores of the stack."""

    def __init__(self, stack: DevStack) -> None:
        self._s3 = stack.s3
        self._azure = BlobServiceClient.from_connection_string(
            stack.env["AZURE_STORAGE_CONNECTION_STRING"]
        )

    def _container(self, name: str) -> ContainerClient:
        return self._azure.get_container_client(name)

    def put(self, url: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
        """Store an object, in place of another."""
        kind, container, key = split(url)
        said = dict(metadata or {})
        if kind == "s3":
            self._s3.put_object(Bucket=container, Key=key, Body=data, Metadata=said)
            return
        # Names of Azure's metadata are identifiers: the chunker writes _ for -.
        said = {name.replace("-", "_"): value for name, value in said.items()}
        self._container(container).upload_blob(key, data, metadata=said, overwrite=True)

    def get(self, url: str) -> Stored:
        """An object that is there."""
        kind, container, key = split(url)
        if kind == "s3":
            found = self._s3.get_object(Bucket=container, Key=key)
            return Stored(found["Body"].read(), found["Metadata"])
        download = self._container(container).download_blob(key)
        said = {k.lower().replace("_", "-"): v for k, v in download.properties.metadata.items()}
        return Stored(download.readall(), said)

    def list(self, prefix: str) -> list[str]:
        """URLs of all objects that begin so, sorted."""
        kind, container, key = split(prefix)
        if kind == "s3":
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=container, Prefix=key)
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        else:
            keys = [blob.name for blob in self._container(container).list_blobs(key)]
        return sorted(f"{kind}://{container}/{name}" for name in keys)

    def delete(self, prefix: str) -> None:
        """Delete all objects that begin so."""
        for url in self.list(prefix):
            kind, container, key = split(url)
            if kind == "s3":
                self._s3.delete_object(Bucket=container, Key=key)
            else:
                self._container(container).delete_blob(key)


def split(url: str) -> tuple[str, str, str]:
    """(s3 or az, bucket or container, key)."""
    kind, _, rest = url.partition("://")
    container, _, key = rest.partition("/")
    return kind, container, key
