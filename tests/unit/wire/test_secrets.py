"""Which secrets are taken, and Azure Key Vault at its SDK's boundary: the credential, the wire."""

import json
import subprocess
import sys
from typing import Any, Self

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError
from m0_wire.errors import SecretsError, SecretsUnavailableError
from m0_wire.secrets import _read_azure, load_secrets, parse_secret

VAULT = {
    "M0_SECRETS_SOURCE": "azure",
    "M0_SECRETS_AZURE_VAULT_URL": "https://films.vault.azure.net/",
    "M0_SECRETS_AZURE_SECRET_NAME": "m0 prod",
}


def test_without_a_source_nothing_is_asked_and_no_cloud_is_imported() -> None:
    program = (
        "import sys; from m0_wire.secrets import load_secrets; assert load_secrets({}) == [];"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'azure', 'botocore', 'requests'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_kubernetes_is_no_source_to_ask() -> None:
    assert load_secrets({"M0_SECRETS_SOURCE": "kubernetes"}) == []


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        (
            {"M0_SECRETS_SOURCE": "vault"},
            "it may be kubernetes, aws, azure",
        ),
        ({"M0_SECRETS_SOURCE": "aws"}, "M0_SECRETS_AWS_SECRET_ID is not set"),
        ({"M0_SECRETS_SOURCE": "azure"}, "M0_SECRETS_AZURE_VAULT_URL is not set"),
    ],
    ids=["no such source", "aws without a secret", "azure without a vault"],
)
def test_what_is_missing_is_named(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(SecretsError, match=complaint):
        load_secrets(environment)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hush", "no JSON"),
        ('["hush"]', "no JSON object"),
        ('{"A": 7}', "A is no text"),
        ('{"A": null}', "A is no text"),
        ('{"A": "hush\\u0000"}', "A is no text"),
        ('{"a": "hush"}', "'a' is no name"),
        ('{"A=B": "hush"}', "'A=B' is no name"),
        ('{"": "hush"}', "'' is no name"),
        ('{"M0_SECRETS_SOURCE": "hush"}', "says where it is itself"),
    ],
)
def test_a_bad_secret_is_refused_without_its_value(text: str, complaint: str) -> None:
    with pytest.raises(SecretsError, match=complaint) as caught:
        parse_secret(text)
    assert "hush" not in repr(caught.value)
    assert caught.value.__cause__ is None


# --- Azure ---------------------------------------------------------------------------------------


class Credential:
    def __init__(self, error: Exception | None = None) -> None:
        self.scopes: list[str] = []
        self.error = error

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if self.error:
            raise self.error
        self.scopes += scopes
        return AccessToken("bearer", 2**40)


class Answer:
    """As much of an HTTP response as the pipeline looks at."""

    def __init__(self, request: Any, status: int, body: Any) -> None:
        self.request, self.status_code, self.reason = request, status, "reason"
        self.headers: dict[str, str] = {"Location": "https://elsewhere/"}
        self.content_type = "application/json"
        self._body = body

    def raise_for_status(self) -> None:
        if self.status_code >= 300:
            raise HttpResponseError(response=self)

    def json(self) -> Any:
        return self._body

    def read(self) -> bytes:
        return json.dumps(self._body).encode()

    def text(self, *_: Any) -> str:
        return json.dumps(self._body)

    def body(self) -> bytes:
        return self.read()


class Wire:
    """A transport that answers as it is told, and keeps what it was asked."""

    def __init__(self, *answers: tuple[int, Any] | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[Any] = []

    def send(self, request: Any, **_: Any) -> Answer:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Answer(request, *answer)

    def sleep(self, _: float) -> None: ...

    def open(self) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


FOUND = (200, {"value": '{"A": "b"}'})


def test_the_vault_is_asked_as_this_pod_for_the_current_version() -> None:
    wire, credential = Wire(FOUND), Credential()
    assert _read_azure(VAULT, credential, wire) == '{"A": "b"}'
    (request,) = wire.seen
    assert request.url == ("https://films.vault.azure.net/secrets/m0%20prod?api-version=7.4")
    assert request.headers["Authorization"] == "Bearer bearer"
    assert credential.scopes == ["https://vault.azure.net/.default"]


def test_another_clouds_vault_is_asked_with_that_clouds_token() -> None:
    credential = Credential()
    _read_azure(
        VAULT | {"M0_SECRETS_AZURE_VAULT_URL": "https://a.vault.azure.cn"}, credential, Wire(FOUND)
    )
    assert credential.scopes == ["https://vault.azure.cn/.default"]


def test_a_token_is_never_sent_without_tls() -> None:
    wire = Wire(FOUND)
    with pytest.raises(SecretsError):
        _read_azure(
            VAULT | {"M0_SECRETS_AZURE_VAULT_URL": "http://a.vault.azure.net"}, Credential(), wire
        )
    assert wire.seen == []


def test_what_passes_is_tried_again() -> None:
    wire = Wire((503, {}), (429, {}), ServiceRequestError("reset"), FOUND)
    assert _read_azure(VAULT, Credential(), wire) == '{"A": "b"}'
    assert len(wire.seen) == 4


@pytest.mark.parametrize(
    ("answer", "unavailable"),
    [
        ((503, {}), True),
        ((429, {}), True),
        (ServiceRequestError("no route"), True),
        ((401, {}), False),
        ((403, {}), False),
        ((404, {}), False),
        ((302, {}), False),
        ((200, {"value": None}), False),
    ],
    ids=str,
)
def test_each_end_has_its_error(answer: Any, unavailable: bool) -> None:
    wire = Wire(answer)
    with pytest.raises(SecretsError) as caught:
        _read_azure(VAULT, Credential(), wire)
    assert isinstance(caught.value, SecretsUnavailableError) == unavailable
    assert "m0 prod" in str(caught.value)


def test_a_pod_without_an_identity_is_told_so() -> None:
    credential = Credential(ClientAuthenticationError("no identity here\nmore"))
    with pytest.raises(SecretsError, match=r"no identity here$") as caught:
        _read_azure(VAULT, credential, Wire(FOUND))
    assert not isinstance(caught.value, SecretsUnavailableError)


def test_the_redirects_target_is_not_asked() -> None:
    wire = Wire((302, {}))
    with pytest.raises(SecretsError):
        _read_azure(VAULT, Credential(), wire)
    assert all("films.vault" in request.url for request in wire.seen)
