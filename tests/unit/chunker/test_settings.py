"""The environment as settings: names, empty values, and errors that keep secrets."""

import pytest
from m0_chunker.settings import Settings
from pydantic import SecretStr, ValidationError


def test_variables_have_a_prefix_and_any_case() -> None:
    settings = Settings.from_environment({"M0_UPLOADS": "5", "m0_threads": "3", "UPLOADS": "9"})
    assert (settings.uploads, settings.threads) == (5, 3)


def test_an_empty_variable_counts_as_absent() -> None:
    assert Settings.from_environment({"M0_UPLOADS": "", "M0_AMQP_URL": ""}) == Settings()


def test_unknown_variables_are_ignored() -> None:
    assert Settings.from_environment({"M0_NO_SUCH_THING": "1"}) == Settings()


def test_azures_own_variable_has_no_prefix() -> None:
    settings = Settings.from_environment({"AZURE_STORAGE_CONNECTION_STRING": "hunter2"})
    assert settings.azure_storage_connection_string == SecretStr("hunter2")
    assert "hunter2" not in repr(settings)


def test_an_error_is_located_at_its_variable() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.from_environment({"M0_UPLOADS": "many", "M0_CACHE_TTL_HOURS": "-1"})
    assert [item["loc"] for item in caught.value.errors()] == [
        ("M0_CACHE_TTL_HOURS",),
        ("M0_UPLOADS",),
    ]


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().uploads = 3  # type: ignore[misc]
