"""Everything that can go wrong in the chunker, as one tree.

ChunkerError            foreseen: has a code of the contract's table, hence a stage,
│                       a verdict (can a retry help?) and a remedy
├── ThrottledError      a store asks to be left alone for a while
└── StoppedError        SIGTERM arrived: the pod is to go; another attempt redoes the work

Adapters translate the libraries' errors, each by one table; whatever else reaches
`cli` is a bug and ends as INTERNAL with a trace in the log.
"""

import errno

from m0_contract.errors import ERRORS, ErrorCode, Stage
from m0_contract.outcome import EXIT_CODE_BY_VERDICT, ExitCode, Failure
from m0_contract.redact import redact


class ChunkerError(Exception):
    """A foreseen failure; the message is fit for people: what, where, what to do.

    Attributes:
        code: the row of `m0_contract.errors.ERRORS`.
        stage: where it happened; the table's where the raiser knows no better.
        chunk_id: the chunk in work, where there is one.
        field: the request's bad fields, for validation only.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        stage: Stage | None = None,
        chunk_id: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.stage = stage or ERRORS[code].stage
        self.chunk_id = chunk_id
        self.field = field

    @property
    def exit_code(self) -> ExitCode:
        """What Kubernetes sees; it retries by this alone."""
        if self.code is ErrorCode.INTERNAL:
            return ExitCode.INTERNAL
        return EXIT_CODE_BY_VERDICT[ERRORS[self.code].verdict]

    def to_failure(self) -> Failure:
        """The outcome's account of it, with the remedy."""
        text = redact(str(self)).rstrip(".")
        end = "" if text.endswith(("?", "!")) else "."
        return Failure(
            code=self.code,
            stage=self.stage,
            message=f"{text}{end} {ERRORS[self.code].remedy}",
            chunk_id=self.chunk_id,
            field=self.field,
        )


class ThrottledError(ChunkerError):
    """A store asks for fewer requests: wait longer before the next one."""


class StoppedError(ChunkerError):
    """The pod was told to end; the chunk in work is abandoned."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.DISRUPTED, "the chunker was told to stop before it was done")


def from_os_error(error: OSError, doing: str, stage: Stage) -> ChunkerError:
    """Translate a local file system's error while `doing` something.

    Args:
        error: what the system said.
        doing: e.g. "writing the chunk to /scratch".
        stage: SOURCE for reading; CHUNK or UPLOAD for writing.
    """
    text = f"{doing}: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return ChunkerError(ErrorCode.DISK_FULL, text, stage=stage)
    reading = stage is Stage.SOURCE
    codes = {
        errno.ENOENT: (ErrorCode.SOURCE_NOT_FOUND, ErrorCode.DESTINATION_NOT_FOUND),
        errno.EISDIR: (ErrorCode.NOT_MEDIA, ErrorCode.DESTINATION_NOT_FOUND),
        errno.ENOTDIR: (ErrorCode.SOURCE_NOT_FOUND, ErrorCode.DESTINATION_NOT_FOUND),
        errno.EEXIST: (ErrorCode.SOURCE_NOT_FOUND, ErrorCode.DESTINATION_NOT_FOUND),
        errno.EACCES: (ErrorCode.SOURCE_FORBIDDEN, ErrorCode.DESTINATION_FORBIDDEN),
        errno.EPERM: (ErrorCode.SOURCE_FORBIDDEN, ErrorCode.DESTINATION_FORBIDDEN),
        errno.EROFS: (ErrorCode.SOURCE_FORBIDDEN, ErrorCode.DESTINATION_FORBIDDEN),
    }
    fallback = (ErrorCode.SOURCE_UNREACHABLE, ErrorCode.UPLOAD_FAILED)
    code = codes.get(error.errno or 0, fallback)[0 if reading else 1]
    return ChunkerError(code, text, stage=stage)
