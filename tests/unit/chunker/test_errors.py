"""Each error has its code, and each code its exit."""

import errno

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)
from m0_chunker.errors import ChunkerError, StoppedError, from_os_error
from m0_chunker.storage.s3 import translate
from m0_contract.errors import ErrorCode, Stage
from m0_contract.outcome import ExitCode


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_an_exit_code_and_a_sentence(code):
    error = ChunkerError(code, "this and that")
    assert error.exit_code in set(ExitCode) - {ExitCode.SUCCEEDED}
    assert error.to_failure().message.startswith("this and that. ")


def test_stopping_is_a_disruption():
    assert StoppedError().exit_code == 143


@pytest.mark.parametrize(
    ("status", "name", "reading", "writing"),
    [
        (404, "NoSuchKey", "SOURCE_NOT_FOUND", "DESTINATION_NOT_FOUND"),
        (404, "NoSuchBucket", "SOURCE_NOT_FOUND", "DESTINATION_NOT_FOUND"),
        (403, "AccessDenied", "SOURCE_FORBIDDEN", "DESTINATION_FORBIDDEN"),
        (403, "", "SOURCE_FORBIDDEN", "DESTINATION_FORBIDDEN"),
        (412, "PreconditionFailed", "SOURCE_CHANGED", "UPLOAD_FAILED"),
        (400, "BadDigest", "SOURCE_UNREACHABLE", "UPLOAD_FAILED"),
        (400, "ExpiredToken", "SOURCE_FORBIDDEN", "DESTINATION_FORBIDDEN"),
        (400, "400", "SOURCE_FORBIDDEN", "UPLOAD_FAILED"),
        (500, "InternalError", "SOURCE_UNREACHABLE", "UPLOAD_FAILED"),
        (503, "SlowDown", "SOURCE_UNREACHABLE", "UPLOAD_FAILED"),
    ],
)
def test_s3_answers(status, name, reading, writing):
    error = ClientError(
        {"Error": {"Code": name}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject"
    )
    assert translate(error, doing="x", stage=Stage.SOURCE).code == reading
    assert translate(error, doing="x", stage=Stage.UPLOAD).code == writing


def test_s3_without_an_answer():
    error = EndpointConnectionError(endpoint_url="http://s3")
    assert translate(error, doing="x", stage=Stage.SOURCE).code == "SOURCE_UNREACHABLE"
    assert translate(NoCredentialsError(), doing="x", stage=Stage.UPLOAD).code == (
        "BAD_CONFIGURATION"
    )


@pytest.mark.parametrize("stage", [Stage.CHUNK, Stage.UPLOAD])
def test_a_full_disk_is_said_to_be_full(stage):
    error = from_os_error(OSError(errno.ENOSPC, "No space left on device"), "writing", stage)
    assert (error.code, error.stage) == (ErrorCode.DISK_FULL, stage)


def test_a_name_that_no_bucket_can_have_is_the_requests_fault() -> None:
    error = ParamValidationError(report="Invalid bucket name")
    assert translate(error, doing="x", stage=Stage.SOURCE).code == ErrorCode.SOURCE_NOT_FOUND
    assert translate(error, doing="x", stage=Stage.UPLOAD).code == ErrorCode.DESTINATION_NOT_FOUND
