"""What foreign text may quote, and what must stay readable."""

import pytest
from m0_contract.redact import redact

SAS = "https://acc.blob.core.windows.net/c/film.mp4?sv=2024&sp=r&se=2026-01-01&sig=aB%2Fc%3D"
SIGNED = (
    "https://s3/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101"
    "&X-Amz-Signature=0123abcd&partNumber=2"
)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (f"403 for {SAS}: no", ("aB%2Fc%3D", "se=2026")),
        (f"GET {SIGNED} failed", ("0123abcd", "AKIA")),
        ("connecting to amqp://me:hunter2@host:5672/v: refused", ("hunter2",)),
        ("{'Authorization': 'Bearer abc.def'}", ("abc.def",)),
        ("Authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=77ff", ("AKIA", "77ff")),
        ("Authorization: SharedKey acc:c2VjcmV0", ("c2VjcmV0",)),
        ("AccountName=a;AccountKey=c2VjcmV0==;EndpointSuffix=x", ("c2VjcmV0",)),
        ("password=hunter2 for user me", ("hunter2",)),
        ("AWS_SECRET_ACCESS_KEY=wJalr/K7", ("wJalr",)),
    ],
)
def test_no_secret_is_left(text: str, secrets: tuple[str, ...]) -> None:
    shown = redact(text)
    assert "[hidden]" in shown
    assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    "text",
    [
        "s3://spectra-videos/uploads/film.mp4 can't be read",
        "Give the chunker's credentials the right to read the source.",
        "the credentials are wrong: check that the token and its signature are right",
        "designed for sign-off @ 9: e-mail me@example.org",
        "video-101 took 3 s?x=1&y=2",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text
