"""Takes out of botocore's data what is never looked at: parsed for every film, it costs 50 ms.

Usage: slim_botocore.py SITE_PACKAGES/botocore/data

Documentation strings, and the endpoints of services other than those that `prune.sh` keeps.
What remains says the same as before; a file that is not as expected stays as it is.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

KEPT = frozenset(
    {"s3", "secretsmanager", "sts", "sso", "oidc", "portal.sso", "signin", "s3-control"}
)
"""Endpoint prefixes of S3, Secrets Manager and the services that credentials come from."""


def without_documentation(node: Any) -> Any:
    """A service description with its prose emptied; a shape's member of that name is no string.

    The key stays: botocore insists on it in endpoint rules.
    """
    if isinstance(node, dict):
        return {
            key: ""
            if key == "documentation" and isinstance(value, str)
            else without_documentation(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [without_documentation(value) for value in node]
    return node


def slim_endpoints(path: Path) -> None:
    """Keep the partitions and regions, and the services in KEPT."""
    document = json.loads(path.read_text())
    for partition in document["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name in KEPT}
    path.write_text(json.dumps(document, separators=(",", ":")))


def slim_service(path: Path) -> None:
    """Rewrite a `.json.gz` as plain JSON, which also saves unpacking it."""
    document = without_documentation(json.loads(gzip.decompress(path.read_bytes())))
    path.with_suffix("").write_text(json.dumps(document, separators=(",", ":")))
    path.unlink()


def main() -> None:
    """Command line; see the module's docstring."""
    data = Path(sys.argv[1])
    slim_endpoints(data / "endpoints.json")
    for path in data.glob("*/*/*.json.gz"):
        slim_service(path)


if __name__ == "__main__":
    main()
