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


@pytest.mark.parametrize("text", [None, "", "Traceback (most recent call last):", "[]", "1"])
def test_a_log_tail_is_no_outcome(text: str | None) -> None:
    assert parse_outcome(text) is None
