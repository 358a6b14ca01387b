import json
import logging

import pytest
from m0_chunker import logs
from m0_chunker.errors import ChunkerError
from m0_contract.errors import ErrorCode

SIGNED = "https://s3/b/k?X-Amz-Credential=SECRET1&X-Amz-Signature=SECRET2"


def test_a_line_has_what_all_lines_have_and_hides_what_it_quotes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    try:
        logs.set_up_logs(process_id=7, attempt=2, trace_id="ab" * 16, resource=None)
        logs.event("chunk announced", chunk_id=3, reason=f"GET {SIGNED}", error=OSError(SIGNED))
    finally:
        root.handlers[:] = before
    said = capsys.readouterr().err
    line = json.loads(said)
    assert "SECRET" not in said
    assert (line["process_id"], line["attempt"], line["chunk_id"]) == (7, 2, 3)
    assert line["trace_id"] == "ab" * 16


def test_a_failure_hides_what_it_quotes() -> None:
    error = ChunkerError(ErrorCode.UPLOAD_FAILED, f"storing {SIGNED}: refused")
    assert "SECRET" not in error.to_failure().message
