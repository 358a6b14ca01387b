"""How a command ends: exit codes, and every foreseeable error in words."""

from enum import IntEnum
from typing import NoReturn


class Exit(IntEnum):
    """What a script can tell from `$?`; docs/cli.md has the table."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    REFUSED = 5
    TIMEOUT = 6
    INTERNAL = 70
    INTERRUPTED = 130


NO_LOG = "`m0 describe` has the end of its log if it failed"
WAIT_FOR_LOG = "`m0 logs -f` waits for it"


class CliError(Exception):
    """Ends the command: what is wrong, and what to do about it."""

    def __init__(self, code: Exit, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def usage(message: str, hint: str = "") -> CliError:
    """The command was called wrongly."""
    return CliError(Exit.USAGE, message, hint)


def refuse(message: str, hint: str = "") -> NoReturn:
    """End the command: it is understood and not done."""
    raise CliError(Exit.REFUSED, message, hint)


def translate(error: Exception) -> CliError | None:
    """The words for an error of the services or of the wire; None for one nobody foresaw."""
    # Only now: `m0 --help` needs none of this.
    from m0_contract.request import RequestError  # noqa: PLC0415
    from m0_wire import errors as wire  # noqa: PLC0415

    from m0_operator import errors as operator  # noqa: PLC0415
    from m0_operator.services.dead_letters import LettersUnseenError  # noqa: PLC0415
    from m0_operator.services.jobs import VideoEndedError, VideoNotFoundError  # noqa: PLC0415
    from m0_operator.services.pod_logs import NoPodError  # noqa: PLC0415

    if isinstance(error, NoPodError):
        return CliError(Exit.NOT_FOUND, str(error), NO_LOG if error.ended else WAIT_FOR_LOG)
    table: tuple[tuple[type[Exception], Exit, str, str], ...] = (
        (VideoNotFoundError, Exit.NOT_FOUND, "there is no video {}", "`m0 get` lists all"),
        (VideoEndedError, Exit.REFUSED, "nothing to do: {}", ""),
        (
            LettersUnseenError,
            Exit.NOT_FOUND,
            "{}",
            "more can't be looked at: settle some of the oldest first",
        ),
        (
            operator.ClusterForbiddenError,
            Exit.REFUSED,
            "the cluster does not let you: {}",
            "`m0 doctor` lists the rights that are missing",
        ),
        (
            operator.ClusterUnavailableError,
            Exit.UNREACHABLE,
            "the cluster can't be reached: {}",
            "is --context the right one? `m0 doctor` looks further",
        ),
        (
            operator.ClusterNotFoundError,
            Exit.NOT_FOUND,
            "the cluster does not know it: {}",
            "is M0 installed there? `m0 doctor` looks",
        ),
        (operator.AlreadyExistsError, Exit.REFUSED, "there is one already: {}", ""),
        (
            operator.ClusterConflictError,
            Exit.REFUSED,
            "it is changing at this moment: {}",
            "look again",
        ),
        (operator.OperatorError, Exit.REFUSED, "the cluster refuses it: {}", ""),
        (
            wire.BrokerUnavailableError,
            Exit.UNREACHABLE,
            "the broker can't be reached: {}",
            "--amqp-url or M0_AMQP_URL says where it is; `m0 doctor` looks further",
        ),
        (
            wire.UnroutableError,
            Exit.REFUSED,
            "there is no such queue: {}",
            "does the operator run, with declareQueues or with queues that exist?",
        ),
        (wire.WireError, Exit.UNREACHABLE, "{}", ""),
        (RequestError, Exit.USAGE, "the request is not valid: {}", ""),
    )
    for kind, code, words, hint in table:
        if isinstance(error, kind):
            return CliError(code, words.format(error), hint)
    return None
