"""Which credential is taken, and how a plain request is signed with it."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from azure.core.exceptions import ClientAuthenticationError
from m0_chunker.chunk import ChunkBody
from m0_chunker.errors import ChunkerError
from m0_chunker.settings import Settings
from m0_chunker.storage.azure import AzureStore
from m0_chunker.storage.azure_client import Account
from m0_chunker.storage.base import ObjectInfo
from m0_contract.keys import ObjectUrl, parse_object_url

KEY = "a2V5a2V5"
SAS = "sv=2021-12-02&ss=b&srt=sco&sp=r&sig=abc%3D"


class Token:
    """A credential of azure.identity."""

    scopes: tuple[str, ...] = ()

    def __init__(self, **options: object) -> None:
        self.options = options

    def get_token(self, *scopes: str, **_: object) -> SimpleNamespace:
        Token.scopes = scopes
        return SimpleNamespace(token="t0k3n", expires_on=2**40)


class Refused(Token):
    def get_token(self, *_scopes, **_):
        raise ClientAuthenticationError("AADSTS70021: t0k3n-assertion")


@pytest.fixture
def account(monkeypatch):
    def make(**env: str) -> Account:
        for name in ("CONNECTION_STRING", "ACCOUNT", "KEY", "SAS_TOKEN"):
            monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
        for name, text in env.items():
            monkeypatch.setenv(name if name.startswith("AZURE_") else f"AZURE_STORAGE_{name}", text)
        return Account(Settings.from_environment())

    return make


@pytest.fixture
def identity(monkeypatch):
    """A stand-in for azure.identity, whose credentials want a cloud."""
    module = ModuleType("azure.identity")
    module.WorkloadIdentityCredential = type("Workload", (Token,), {})
    module.ManagedIdentityCredential = type("Managed", (Token,), {})
    monkeypatch.setitem(sys.modules, "azure.identity", module)
    return module


def blob_of(account: Account):
    return account.service.get_blob_client("films", "ein Film?#.mp4")


def test_key_signs_a_url_for_reading_this_blob_only(account):
    signed = account(ACCOUNT="acct", KEY=KEY)
    signed = signed.sign(blob_of(signed))
    assert signed.url.startswith(
        "https://acct.blob.core.windows.net/films/ein%20Film%3F%23.mp4?"
    ), signed.url
    assert "sp=r&" in signed.url
    assert "sr=b&" in signed.url
    assert signed.authorization == ""


def test_a_sas_token_goes_along_as_it_is(account):
    made = account(ACCOUNT="acct", SAS_TOKEN=SAS)
    assert made.sign(blob_of(made)).url.endswith("?" + SAS)


def test_the_connection_string_outranks_the_rest(account):
    text = f"DefaultEndpointsProtocol=https;AccountName=first;AccountKey={KEY};"
    assert account(CONNECTION_STRING=text, ACCOUNT="second").service.account_name == "first"


@pytest.mark.parametrize(
    ("env", "kind"),
    [({"AZURE_FEDERATED_TOKEN_FILE": "/token"}, "Workload"), ({}, "Managed")],
)
@pytest.mark.usefixtures("identity")
def test_workload_identity_signs_by_a_header(account, monkeypatch, env, kind):
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE", raising=False)
    made = account(ACCOUNT="acct", **env)
    signed = made.sign(blob_of(made))
    assert type(made._token).__name__ == kind
    assert signed.authorization == "Bearer t0k3n"
    assert Token.scopes == ("https://storage.azure.com/.default",)
    assert "t0k3n" not in signed.url + repr(ObjectUrl("az", "", "films", "x"))


@pytest.mark.usefixtures("identity")
def test_a_copy_by_workload_identity_authorizes_its_source(account, monkeypatch):
    account(ACCOUNT="acct")
    store, calls = AzureStore(Settings.from_environment()), []

    class Blob:
        url = "https://acct.blob.core.windows.net/a/b"
        credential = None

        def upload_blob(self, *_, **__):
            return {"etag": "E"}

        def start_copy_from_url(self, url, **options):
            calls.append((url, options))
            return {"copy_status": "success"}

        def get_blob_properties(self):
            return SimpleNamespace(size=3, etag="F", metadata={"m0_sha256": "another's"})

    monkeypatch.setattr(store, "_blob", lambda _url: Blob())
    first, second = ObjectUrl("az", "", "a", "b"), ObjectUrl("az", "", "c", "d")
    info = ObjectInfo("", {"m0-sha256": "x"})
    assert not store.copy(first, second, info), "nothing was put"
    store.put(first, ChunkBody(b"abc", SimpleNamespace(close=bool), 0, 0), info)
    assert store.copy(first, second, info)
    ((url, options),) = calls
    assert url == Blob.url
    assert options["source_authorization"] == "Bearer t0k3n"
    assert options["source_etag"] == "E"
    assert options["metadata"] == {"m0_sha256": "x"}


def test_no_token_is_a_configuration_error_without_its_text(account, identity):
    identity.ManagedIdentityCredential = Refused
    account(ACCOUNT="acct")
    store = AzureStore(Settings.from_environment())
    with pytest.raises(ChunkerError) as caught:
        store.open_source(ObjectUrl("az", "", "films", "x"))
    assert caught.value.code == "BAD_CONFIGURATION"
    assert "t0k3n" not in str(caught.value)


def test_no_token_goes_to_a_host_that_a_request_names(account, identity):
    assert identity
    account(ACCOUNT="acct")
    store = AzureStore(Settings.from_environment())
    with pytest.raises(ChunkerError) as caught:
        store.open_source(parse_object_url("https://other.blob.evil.example/films/x"))
    assert caught.value.code == "BAD_CONFIGURATION"
    assert Token.scopes == () or "evil" not in str(Token.scopes)


@pytest.mark.parametrize("env", [{}, {"KEY": KEY}, {"CONNECTION_STRING": f"AccountKey={KEY}"}])
def test_what_is_missing_is_said_and_no_secret(account, env):
    with pytest.raises(ChunkerError) as caught:
        account(**env)
    assert caught.value.code == "BAD_CONFIGURATION"
    assert "AZURE_STORAGE_" in str(caught.value)
    assert KEY not in str(caught.value)
