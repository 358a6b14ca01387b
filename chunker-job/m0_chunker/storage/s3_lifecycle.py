"""M0's own lifecycle rule in a bucket's configuration, beside the rules of others."""

import math
from collections.abc import Sequence
from typing import Any

from m0_chunker.storage.base import TTL_TAG, format_hours
from m0_chunker.storage.s3_client import S3_ERRORS, name_of

RULE_ID = "m0-cache-ttl"
_HOURS_PER_DAY = 24


def build_rule(ttl_hours: float) -> dict[str, Any]:
    """The rule: what M0 cached and tagged with this life ends some time after it.

    S3 counts in days, from the midnight after the object was written.
    """
    tag = {"Key": TTL_TAG, "Value": format_hours(ttl_hours)}
    return {
        "ID": RULE_ID,
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "temp/", "Tags": [tag]}},
        "Expiration": {"Days": max(1, math.ceil(ttl_hours / _HOURS_PER_DAY))},
    }


def merge_rule(rules: Sequence[dict[str, Any]], rule: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules with `rule` in the place of its namesake, or after all others."""
    if any(other.get("ID") == rule["ID"] for other in rules):
        return [rule if other.get("ID") == rule["ID"] else other for other in rules]
    return [*rules, rule]


def ensure_rule(client: Any, bucket: str, ttl_hours: float) -> bool:
    """Write the rule where it is missing or another one stands under its name.

    Returns:
        Whether anything had to be written.

    Raises:
        ClientError: and the others of `S3_ERRORS`.
    """
    try:
        found = client.get_bucket_lifecycle_configuration(Bucket=bucket)
    except S3_ERRORS as error:
        if name_of(error) != "NoSuchLifecycleConfiguration":
            raise
        found = {}
    rules = found.get("Rules", [])
    merged = merge_rule(rules, build_rule(ttl_hours))
    if merged == rules:
        return False
    kept = "TransitionDefaultMinimumObjectSize"
    client.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": merged},
        **({kept: found[kept]} if kept in found else {}),
    )
    return True
