"""Creates the dev stack's buckets, one of them forbidden, then /tmp/ready.

Standard library only: an S3 client in the image would be as large as the S3 server.

Environment: S3_BUCKETS (names, separated by commas), S3_FORBIDDEN_BUCKET, S3_DENIED_USER (the
identity that is refused there), S3_OWNER_ACCESS_KEY and S3_OWNER_SECRET_KEY (another identity).
"""

import datetime as dt
import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

HOST = "127.0.0.1:8333"
REGION = "us-east-1"
SCOPE_END = ("s3", "aws4_request")


def sign(method: str, path: str, query: str, body: bytes) -> dict[str, str]:
    """Headers of a request, signed with AWS Signature Version 4."""
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": HOST, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    scope = "/".join([stamp[:8], REGION, *SCOPE_END])
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + os.environ["S3_OWNER_SECRET_KEY"].encode()
    for part in (stamp[:8], REGION, *SCOPE_END):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={os.environ['S3_OWNER_ACCESS_KEY']}/{scope},"
        f"SignedHeaders={names},Signature={signature}"
    )
    return headers


def put(path: str, query: str = "", body: bytes = b"") -> None:
    """PUT, repeated until it is done; a bucket that exists already is fine."""
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    signed_query = f"{query}=" if query else ""
    while True:
        headers = sign("PUT", path, signed_query, body)
        request = urllib.request.Request(url, body, headers, method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except urllib.error.HTTPError as error:
            if error.code == 409:
                return
            print(f"make_buckets: {path}: HTTP {error.code} {error.read(500)!r}", flush=True)
        except OSError:
            pass  # the server is still starting
        time.sleep(0.3)


def main() -> None:
    """Create the buckets and close the forbidden one."""
    for bucket in os.environ["S3_BUCKETS"].split(","):
        put(f"/{bucket}")
    forbidden = os.environ["S3_FORBIDDEN_BUCKET"]
    put(f"/{forbidden}")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": {
                    "AWS": [
                        f"arn:aws:iam::{account}:user/{os.environ['S3_DENIED_USER']}"
                        for account in ("", "000000000000")
                    ]
                },
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{forbidden}", f"arn:aws:s3:::{forbidden}/*"],
            }
        ],
    }
    put(f"/{forbidden}", "policy", json.dumps(policy).encode())
    put(f"/{forbidden}/secret.mp4", body=b"not for you")
    Path("/tmp/ready").touch()


if __name__ == "__main__":
    main()
