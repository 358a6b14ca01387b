"""Credentials from AWS Secrets Manager or Azure Key Vault, read once when a program starts.

The secret is a JSON object, {VARIABLE: value}. Its values become environment variables, before
any settings are read; what the environment has already outranks them, so that nobody who may
write the secret can change what the operator tells a Job about itself. Values are never said.

The clouds' libraries are imported only when their cloud is asked: start-up counts.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from m0_wire.errors import SecretsError, SecretsUnavailableError

SOURCE = "M0_SECRETS_SOURCE"
AWS_SECRET_ID = "M0_SECRETS_AWS_SECRET_ID"  # noqa: S105 - the name of a variable
AWS_REGION = "M0_SECRETS_AWS_REGION"
AWS_ENDPOINT_URL = "M0_SECRETS_AWS_ENDPOINT_URL"
AZURE_VAULT_URL = "M0_SECRETS_AZURE_VAULT_URL"
AZURE_SECRET_NAME = "M0_SECRETS_AZURE_SECRET_NAME"  # noqa: S105 - likewise
VARIABLES = frozenset(
    {SOURCE, AWS_SECRET_ID, AWS_REGION, AWS_ENDPOINT_URL, AZURE_VAULT_URL, AZURE_SECRET_NAME}
)
"""What says where to read."""

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 10
ATTEMPTS = 4

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_API_VERSION = "7.4"
_TOO_MANY = 429


def load_secrets(environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Read the secret, where one is named, into the environment; the names that came in.

    Raises:
        SecretsUnavailableError: no answer.
        SecretsError: no such secret, no right to it, or it is no object of strings.
    """
    source = environment.get(SOURCE, "")
    if source in {"", "kubernetes"}:
        return []
    read = _SOURCES.get(source)
    if read is None:
        raise SecretsError(f"{SOURCE}={source}: it may be kubernetes, {', '.join(_SOURCES)}")
    values = parse_secret(read(environment))
    new = {name: value for name, value in values.items() if not environment.get(name)}
    environment.update(new)
    return sorted(new)


def parse_secret(text: str) -> dict[str, str]:
    """The variables of a secret's text.

    Raises:
        SecretsError: names the bad key, but no value.
    """
    try:
        found = json.loads(text)
    except ValueError:
        # Its message would quote the text.
        raise SecretsError("the secret is no JSON; it must be {VARIABLE: value}") from None
    if not isinstance(found, dict):
        raise SecretsError("the secret is no JSON object; it must be {VARIABLE: value}")
    for name, value in found.items():
        if not _NAME.fullmatch(name):
            raise SecretsError(f"the secret's key {name!r} is no name of a variable")
        if not isinstance(value, str) or "\0" in value:
            raise SecretsError(f"the secret's value of {name} is no text")
        if name in VARIABLES:
            raise SecretsError(f"the secret has {name}, which says where it is itself")
    return found


def _need(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SecretsError(f"{name} is not set, and {SOURCE} asks for it")
    return value


def _read_aws(environment: Mapping[str, str]) -> str:
    import botocore.session  # noqa: PLC0415 - see the module's docstring
    from botocore import exceptions as errors  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    secret = _need(environment, AWS_SECRET_ID)
    lost = (
        errors.HTTPClientError,
        errors.ConnectionError,
        errors.CredentialRetrievalError,
        errors.MetadataRetrievalError,
    )
    try:
        client: Any = botocore.session.get_session().create_client(
            "secretsmanager",
            region_name=environment.get(AWS_REGION) or None,
            endpoint_url=environment.get(AWS_ENDPOINT_URL) or None,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            ),
        )
        answer = client.get_secret_value(SecretId=secret)
    except errors.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "no code")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        what = f"AWS Secrets Manager, {secret}: {code}"
        if _passes(status) or "Throttl" in code:
            raise SecretsUnavailableError(what) from error
        raise SecretsError(what) from error
    except lost as error:
        raise SecretsUnavailableError(f"AWS Secrets Manager, {secret}: {error}") from error
    except (errors.BotoCoreError, ValueError) as error:  # no region, no credentials, no such URL
        raise SecretsError(f"AWS Secrets Manager, {secret}: {error}") from error
    return _text(answer.get("SecretString"), secret)


def _read_azure(
    environment: Mapping[str, str], credential: Any = None, transport: Any = None
) -> str:
    """Args:
    credential, transport: for tests; else who this pod is, and the network.
    """
    from urllib.parse import quote, urlsplit  # noqa: PLC0415

    from azure.core import PipelineClient  # noqa: PLC0415
    from azure.core import exceptions as errors  # noqa: PLC0415
    from azure.core.pipeline import policies  # noqa: PLC0415
    from azure.core.rest import HttpRequest  # noqa: PLC0415

    vault, secret = _need(environment, AZURE_VAULT_URL), _need(environment, AZURE_SECRET_NAME)
    host = urlsplit(vault).hostname or ""
    if not vault.startswith("https://"):  # a token would be readable on its way
        raise SecretsError(f"{AZURE_VAULT_URL}={vault}: it must be an https:// URL")
    # https://NAME.vault.azure.net → https://vault.azure.net, and likewise in other clouds.
    scope = f"https://{host.partition('.')[2]}/.default"
    client: Any = PipelineClient(
        vault.rstrip("/"),
        # A redirect is not followed: the token would go along.
        policies=[
            policies.RetryPolicy(retry_total=ATTEMPTS - 1, retry_backoff_factor=0.5),
            policies.BearerTokenCredentialPolicy(credential or _azure_identity(environment), scope),
        ],
        transport=transport,
        connection_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
    )
    url = f"{vault.rstrip('/')}/secrets/{quote(secret, safe='')}?api-version={_API_VERSION}"
    where = f"Azure Key Vault, {host}, {secret}"
    try:
        with client:
            answer = client.send_request(HttpRequest("GET", url))
        answer.raise_for_status()
        found = answer.json().get("value")
    except errors.ClientAuthenticationError as error:
        raise SecretsError(f"{where}: {_first_line(error)}") from error
    except errors.HttpResponseError as error:
        what = f"{where}: {error.status_code} {error.reason}"
        if _passes(error.status_code or 0):
            raise SecretsUnavailableError(what) from error
        raise SecretsError(what) from error
    except (errors.AzureError, ValueError) as error:
        raise SecretsUnavailableError(f"{where}: {_first_line(error)}") from error
    return _text(found, secret)


def _azure_identity(environment: Mapping[str, str]) -> Any:
    """The pod's own where it has one, else the node's, as for the stores."""
    from azure.identity import (  # noqa: PLC0415
        ManagedIdentityCredential,
        WorkloadIdentityCredential,
    )

    if environment.get("AZURE_FEDERATED_TOKEN_FILE"):
        return WorkloadIdentityCredential()
    return ManagedIdentityCredential(client_id=environment.get("AZURE_CLIENT_ID") or None)


def _passes(status: int) -> bool:
    return status == _TOO_MANY or status >= 500


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _text(found: object, secret: str) -> str:
    if not isinstance(found, str):
        raise SecretsError(f"{secret} holds no text")
    return found


_SOURCES: dict[str, Callable[[Mapping[str, str]], str]] = {"aws": _read_aws, "azure": _read_azure}
