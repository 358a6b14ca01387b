"""What is read out of a dead letter: M0's own, and what strangers may have put there."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from m0_operator.domain.deadletter import build_headers
from m0_operator.domain.letters import Letter, LetterFilter, parse_letter
from m0_operator.domain.status import build_failure

ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | st.binary(max_size=20)
    | st.datetimes()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from(
    ["x-m0-error-code", "x-m0-error-message", "x-m0-error-field", "x-m0-stage", "x-m0-chunk-id",
     "x-m0-process-id", "x-m0-attempts", "x-m0-failed-at", "x-m0-first-seen-at", "x-m0-lineage"]
)  # fmt: skip


def letter(body: bytes = b"{}", message_id: str = "m0-failed-1", **headers: Any) -> Letter:
    named = {f"x-m0-{key.replace('_', '-')}": value for key, value in headers.items()}
    return parse_letter(body, named, priority=3, message_id=message_id)


def test_what_the_operator_writes_is_read_back() -> None:
    failure = build_failure("SOURCE_NOT_FOUND", "no object", chunk_id=4, field="a, b")  # type: ignore[arg-type]
    headers = build_headers(
        failure,
        {"trace": "t1"},
        process_id="cam-7",
        attempts=2,
        failed_at=datetime(2026, 1, 2, tzinfo=UTC),
        first_seen_at="2026-01-01T00:00:00Z",
    )
    read = parse_letter(b"body", headers, priority=7, message_id="m0-failed-u1")
    assert read.id == "m0-failed-u1"
    assert (read.code, read.stage, read.message) == ("SOURCE_NOT_FOUND", "source", "no object")
    assert (read.field, read.chunk_id, read.process_id, read.attempts) == ("a, b", 4, "cam-7", 2)
    assert (read.failed_at, read.first_seen_at) == ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z")
    assert (read.priority, read.size_bytes) == (7, 4)
    assert read.failed == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("given_as", [["m0-failed-1", "m0-failed-2"], "m0-failed-1, m0-failed-2"])
def test_where_it_was_replayed_from_is_read_as_list_and_as_text(given_as: object) -> None:
    assert letter(lineage=given_as).lineage == ("m0-failed-1", "m0-failed-2")


@given(st.binary(max_size=50), st.dictionaries(NAMES | st.text(max_size=9), ODD), st.text())
def test_a_strangers_message_is_a_letter_too(
    body: bytes, headers: dict[str, Any], message_id: str
) -> None:
    read = parse_letter(body, headers, priority=0, message_id=message_id)
    assert read.id
    assert read == parse_letter(body, headers, priority=0, message_id=message_id)
    everything = LetterFilter(code=read.code, stage=read.stage, process_id=read.process_id)
    assert everything.matches(read)


def test_messages_without_an_id_have_one_by_their_content() -> None:
    assert letter(message_id="").id == letter(message_id="").id
    assert letter(message_id="").id != letter(b"other", message_id="").id
    assert letter(message_id="").id != letter(message_id="", trace="t1").id
    assert letter(message_id="").id.startswith("m0-refused-")


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), ("5", 5), (True, None), ("x", None), (1.5, None), ("9" * 5000, None), ("²", None)],
    ids=str,
)
def test_a_number_is_read_where_there_is_one(value: object, number: int | None) -> None:
    assert letter(chunk_id=value).chunk_id == number


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (LetterFilter(), True),
        (LetterFilter(code="NOT_MEDIA"), True),
        (LetterFilter(code="INTERNAL"), False),
        (LetterFilter(stage="probe"), True),
        (LetterFilter(stage="source"), False),
        (LetterFilter(process_id=101), True),
        (LetterFilter(process_id="101"), True),
        (LetterFilter(process_id=10), False),
        (LetterFilter(ids=frozenset({"m0-failed-1", "other"})), True),
        (LetterFilter(ids=frozenset()), False),
        (LetterFilter(since=datetime(2026, 1, 2, tzinfo=UTC)), True),
        (LetterFilter(since=datetime(2026, 1, 2)), True),  # noqa: DTZ001
        (LetterFilter(since=datetime(2026, 1, 2, 0, 0, 1, tzinfo=UTC)), False),
        (LetterFilter(since=datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=3)))), True),
        (LetterFilter(code="NOT_MEDIA", stage="source"), False),
    ],
    ids=["none", "its code", "another code", "its stage", "another stage", "its number",
         "its number as text", "a part of its number", "one of the ids", "no id", "its time",
         "its time without a zone", "a second later", "its time in another zone", "all but one"],
)  # fmt: skip
def test_a_filter_means_what_all_its_criteria_mean(wanted: LetterFilter, meant: bool) -> None:
    read = letter(
        error_code="NOT_MEDIA", stage="probe", process_id=101, failed_at="2026-01-02T00:00:00Z"
    )
    assert wanted.matches(read) is meant


def test_what_does_not_say_when_it_failed_is_not_meant_by_a_time() -> None:
    since = LetterFilter(since=datetime(1970, 1, 1, tzinfo=UTC))
    for failed_at in ("", "never", Decimal(5), None):
        assert not since.matches(letter(failed_at=failed_at))


def test_what_does_not_say_whose_it_is_is_not_meant_by_an_id() -> None:
    assert not LetterFilter(process_id="None").matches(letter())
