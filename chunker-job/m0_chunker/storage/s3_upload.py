"""Puts one object into S3: whole, or in parts that travel side by side.

What the store checks: every body comes with its SHA-256 as the header x-amz-checksum-sha256
and as the signed payload hash. AWS and SeaweedFS check both; a server that ignores the
first still has to check the second.
"""

import base64
import hashlib
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from m0_chunker.storage.s3_client import S3_ERRORS

if TYPE_CHECKING:
    from m0_contract.keys import ObjectUrl

    from m0_chunker.chunk import ChunkBody

PARTS_FROM_BYTES = 32 * 2**20
"""From here on in parts."""

PART_BYTES = 16 * 2**20
PARTS_AT_ONCE = 4
_MAX_PARTS = 10_000
_READ_BYTES = 2**20


def put_whole(
    client: Any, url: "ObjectUrl", body: "ChunkBody", sha256: str, extra: dict[str, Any]
) -> str:
    """One request; the object's ETag.

    Args:
        client: botocore's.
        url: where to.
        body: what.
        sha256: of it, hex.
        extra: more of PutObject's parameters.
    """
    answer = client.put_object(
        Bucket=url.container,
        Key=url.key,
        Body=body.view(),
        ContentLength=len(body),
        ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
        **extra,
    )
    return str(answer.get("ETag", ""))


def put_parts(
    client: Any,
    url: "ObjectUrl",
    body: "ChunkBody",
    extra: dict[str, Any],
    part_extra: dict[str, Any],
) -> str:
    """Several requests at once; the object's ETag. Nothing is left behind by a failure.

    Args:
        client: botocore's.
        url: where to.
        body: what.
        extra: more of CreateMultipartUpload's parameters.
        part_extra: more of the parameters of the requests for the parts and their end.
    """
    place = {"Bucket": url.container, "Key": url.key} | part_extra
    begun = client.create_multipart_upload(
        Bucket=url.container, Key=url.key, ChecksumAlgorithm="SHA256", **extra
    )
    place["UploadId"] = begun["UploadId"]
    try:
        parts = _send_parts(client, body, place)
        digests = b"".join(base64.b64decode(part["ChecksumSHA256"]) for part in parts)
        whole = base64.b64encode(hashlib.sha256(digests).digest()).decode()
        answer = client.complete_multipart_upload(
            **place, MultipartUpload={"Parts": parts}, ChecksumSHA256=f"{whole}-{len(parts)}"
        )
        # It may have begun with 200 and end with an error, which has no ETag.
        return str(answer["ETag"])
    except BaseException:
        _abort(client, place)
        raise


def _send_parts(client: Any, body: "ChunkBody", place: dict[str, Any]) -> list[dict[str, Any]]:
    size = max(PART_BYTES, -(-len(body) // _MAX_PARTS))
    starts = range(0, len(body), size)

    def send(number: int, start: int) -> dict[str, Any]:
        length = min(size, len(body) - start)
        digest = base64.b64encode(_digest(body, start, length)).decode()
        answer = client.upload_part(
            **place,
            PartNumber=number,
            Body=body.view(start, length),
            ContentLength=length,
            ChecksumSHA256=digest,
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": digest}

    with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="part") as pool:
        parts: list[Future[dict[str, Any]]] = [
            pool.submit(send, number, start) for number, start in enumerate(starts, 1)
        ]
        wait(parts, return_when=FIRST_EXCEPTION)
        pool.shutdown(wait=True, cancel_futures=True)
        failed = [part for part in parts if not part.cancelled() and part.exception()]
        return [part.result() for part in failed or parts]


def _digest(body: "ChunkBody", start: int, length: int) -> bytes:
    part, digest = body.view(start, length), hashlib.sha256()
    while data := part.read(_READ_BYTES):
        digest.update(data)
    return digest.digest()


def _abort(client: Any, place: dict[str, Any]) -> None:
    # The failure that led here says more.
    with suppress(*S3_ERRORS):
        client.abort_multipart_upload(**place)
