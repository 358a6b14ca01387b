"""The trace that a request belongs to: W3C's `traceparent`, handed on and never made up.

It comes as a header of the message, or of the HTTP request behind it; it stays in the
resource with the message's other headers, reaches the Job as TRACEPARENT, and goes on with
each chunk's message.
"""

import hashlib
import re

HEADER = "traceparent"
VARIABLE = "TRACEPARENT"

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def read_traceparent(value: object) -> str | None:
    """The header, if it is one; what is none is ignored, as W3C wants it."""
    return value if isinstance(value, str) and _FORM.fullmatch(value) else None


def get_trace_id(traceparent: str | None, uid: str | None) -> str | None:
    """What log lines about a video have in common, 32 hexadecimal digits.

    Args:
        traceparent: a valid one; its trace id counts.
        uid: the resource's, which stands for a trace where the request belongs to none.
    """
    if traceparent is not None:
        return traceparent.split("-")[1]
    if not uid:
        return None
    digits = uid.replace("-", "")
    if re.fullmatch("[0-9a-f]{32}", digits):
        return digits
    return hashlib.sha256(uid.encode()).hexdigest()[:32]
