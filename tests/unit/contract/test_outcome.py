"""Outcomes fit into a termination message and come back from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from m0_contract.errors import ERRORS, ErrorCode, Stage, Verdict
from m0_contract.outcome import (
    EXIT_CODE_BY_VERDICT,
    PERMANENT_EXIT_CODES,
    TERMINATION_MESSAGE_BYTES,
    Failure,
    Integrity,
    Outcome,
    parse_outcome,
)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_a_row_and_every_verdict_an_exit_code(code: ErrorCode) -> None:
    entry = ERRORS[code]
    assert entry.remedy.endswith(".")
    assert EXIT_CODE_BY_VERDICT[entry.verdict] != 0


def test_only_permanent_failures_stop_kubernetes_from_trying_again() -> None:
    assert EXIT_CODE_BY_VERDICT[Verdict.PERMANENT] in PERMANENT_EXIT_CODES
    assert EXIT_CODE_BY_VERDICT[Verdict.TRANSIENT] not in PERMANENT_EXIT_CODES
    assert EXIT_CODE_BY_VERDICT[Verdict.DISRUPTED] not in PERMANENT_EXIT_CODES


@given(st.text(max_size=9000))
def test_a_failure_of_any_length_fits_and_comes_back(message: str) -> None:
    failure = Failure(code=ErrorCode.CHUNK_FAILED, stage=Stage.CHUNK, message=message, chunk_id=3)
    outcome = Outcome(chunks=2, failure=failure)
    text = outcome.to_termination_message()
    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES
    parsed = parse_outcome(text)
    assert parsed is not None
    assert parsed.failure is not None
    assert parsed.failure.code is ErrorCode.CHUNK_FAILED
    assert parsed.chunks == 2


def certificate(notes: list[str], streams: int = 8) -> Integrity:
    """As the chunker makes it."""
    return Integrity.model_validate(
        {
            "packets_in": 10**9,
            "packets_out": 10**9,
            "payload_sha256": "f" * 64,
            "streams": [{"kind": "video", "in": 10**9, "out": 10**9}] * streams,
            "covered_s": 123456.789012,
            "missing_s": 0.0,
            "notes": notes,
        }
    )


def test_a_certificate_that_fits_is_not_touched() -> None:
    outcome = Outcome(integrity=certificate(["One thing.", "Another."]), receipt={"cpu_s": 1.5})
    assert parse_outcome(outcome.to_termination_message()) == outcome


def test_a_note_for_each_of_many_cuts_does_not_hide_the_success() -> None:
    notes = [f"damaged or interlaced pictures: not cut exactly at {n}.000 s" for n in range(999)]
    receipt = {"bytes_read": 10**12, "resumed_at": 7}
    outcome = Outcome(chunks=999, integrity=certificate(notes), receipt=receipt)
    text = outcome.to_termination_message()
    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES
    parsed = parse_outcome(text)
    assert parsed is not None
    assert parsed.integrity is not None
    assert (parsed.chunks, parsed.receipt) == (999, receipt)
    said = parsed.integrity.model_dump()
    assert len(said["streams"]) == 8
    assert said["notes"][0] == notes[0]
    assert said["notes"][-1] == f"and {999 - len(said['notes']) + 1} more of such notes"


@given(
    st.lists(st.text(max_size=600), max_size=40),
    st.integers(0, 300),
    st.none() | st.text(max_size=5000),
    st.dictionaries(st.text(max_size=9), st.text(max_size=3000) | st.integers(), max_size=3),
)
def test_any_outcome_fits_and_comes_back(
    notes: list[str], streams: int, message: str | None, receipt: dict[str, object]
) -> None:
    failure = message and Failure(code=ErrorCode.CHUNK_FAILED, stage=Stage.CHUNK, message=message)
    outcome = Outcome(
        chunks=3, failure=failure or None, integrity=certificate(notes, streams), receipt=receipt
    )
    text = outcome.to_termination_message()
    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES
    parsed = parse_outcome(text)
    assert parsed is not None
    assert parsed.chunks == 3
    assert (parsed.failure is None) == (outcome.failure is None)
    assert parsed.integrity is not None
    assert parsed.integrity.payload_sha256 == "f" * 64


@pytest.mark.parametrize("text", [None, "", "Traceback (most recent call last):", "[]", "1"])
def test_a_log_tail_is_no_outcome(text: str | None) -> None:
    assert parse_outcome(text) is None
