"""The last net: text for people without what would let them in.

Nothing here writes a credential into a log or a status. But some text is foreign: what a
server, a library or a sender says may quote a signed URL or a header.
"""

import re
from functools import cache

HIDDEN = "[hidden]"

_SUSPECT = re.compile(
    r"sig|auth|secret|password|accountkey|token|bearer|credential|@", re.IGNORECASE
)
"""Nearly all text has none of these, and is done with."""

_SECRETS = (
    # user:password@ in a URL
    r"(?<=://)[^/@\s?#]+(?=@)",
    # the parts of a signed URL, as S3 and Azure name them
    r"(?<=[?&])(?:sig|se|sp|sv|skoid|X-Amz-[A-Za-z-]+|AWSAccessKeyId|Signature)=[^&\s\"'<>]*",
    # of a connection string
    r"(?:AccountKey|SharedAccessSignature)=[^;\s\"']+",
    r"\bBearer\s+[^\s\"',;]+",
    # a header or a variable, with its value
    (
        r"(?:authorization|aws_secret_access_key|aws_session_token|password)[\"']?\s*[:=]\s*"
        r"(?:\"[^\"]*\"|'[^']*'|(?:Basic|SharedKey|AWS4-HMAC-SHA256)\s[^\"'\n]*|[^\s\"',;]+)"
    ),
)


@cache
def _secrets() -> tuple[re.Pattern[str], ...]:
    # Made when first needed: the chunker's start is counted in milliseconds.
    return tuple(re.compile(secret, re.IGNORECASE) for secret in _SECRETS)


def redact(text: str) -> str:
    """`text`, with every credential and signature that can be told as one hidden."""
    if not _SUSPECT.search(text):
        return text
    for secret in _secrets():
        text = secret.sub(HIDDEN, text)
    return text
