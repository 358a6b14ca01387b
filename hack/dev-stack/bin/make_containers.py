"""Creates the dev stack's blob containers, then /tmp/ready. Standard library only.

Environment: AZURE_CONTAINERS (names, separated by commas), AZURE_ACCOUNT, AZURE_KEY (base64).
"""

import base64
import hmac
import os
import time
import urllib.error
import urllib.request
from email.utils import formatdate
from pathlib import Path

HOST = "127.0.0.1:10000"
VERSION = "2021-12-02"


def create(container: str) -> None:
    """Create one container, repeated until it is done; one that exists already is fine."""
    account, key = os.environ["AZURE_ACCOUNT"], base64.b64decode(os.environ["AZURE_KEY"])
    path = f"/{account}/{container}"
    while True:
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": VERSION}
        # Shared Key: eleven standard headers, of which only the content type is not empty.
        # The account stands twice: once as the account, once as the path's first part.
        lines = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        content_type = "application/octet-stream"
        text = (
            f"PUT\n\n\n\n\n{content_type}\n\n\n\n\n\n\n{lines}/{account}{path}\nrestype:container"
        )
        signature = base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
        headers["Authorization"] = f"SharedKey {account}:{signature}"
        headers["Content-Type"] = content_type
        request = urllib.request.Request(
            f"http://{HOST}{path}?restype=container", b"", headers, method="PUT"
        )
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except urllib.error.HTTPError as error:
            if error.code == 409:
                return
            print(f"make_containers: {path}: HTTP {error.code} {error.read(500)!r}", flush=True)
        except OSError:
            pass  # the server is still starting
        time.sleep(0.3)


if __name__ == "__main__":
    for name in os.environ["AZURE_CONTAINERS"].split(","):
        create(name)
    Path("/tmp/ready").touch()
