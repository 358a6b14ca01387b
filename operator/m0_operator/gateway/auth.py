"""Who may use the REST door: bearer tokens, several at a time, changed without a restart."""

import hashlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from m0_operator.settings import GatewaySettings

logger = logging.getLogger(__name__)

REREAD_S = 10.0
MIN_TOKEN = 16
"""A shorter token can be guessed."""

Right = Literal["all", "read"]


class AuthSettingsError(Exception):
    """The settings make no sense; the message names them and holds no token."""


class Tokens:
    """The tokens that are valid now."""

    def __init__(
        self, settings: GatewaySettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises:
        AuthSettingsError: there is none, or one is too short.
        """
        self._clock = clock
        self._file = settings.gateway_tokens_file
        self._fixed = _digests(
            settings.gateway_tokens.get_secret_value(), "all", "M0_GATEWAY_TOKENS"
        )
        self._fixed += _digests(
            settings.gateway_read_tokens.get_secret_value(), "read", "M0_GATEWAY_READ_TOKENS"
        )
        self._valid = self._fixed + (_read(self._file) if self._file else [])
        self._read_at = clock()
        if not self._valid:
            raise AuthSettingsError(
                "no token is given: M0_GATEWAY_TOKENS, or M0_GATEWAY_TOKENS_FILE"
            )

    def right_of(self, token: str) -> Right | None:
        """What the bearer may do; None: nothing. It takes as long for any token."""
        self._reread()
        given = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        # All are compared, also after a match.
        found = [right for digest, right in self._valid if hmac.compare_digest(digest, given)]
        return "all" if "all" in found else found[0] if found else None

    def _reread(self) -> None:
        if self._file is None or self._clock() - self._read_at < REREAD_S:
            return
        self._read_at = self._clock()
        try:
            valid = self._fixed + _read(self._file)
        except AuthSettingsError as error:
            logger.warning("Tokens not read anew; the old ones hold", extra={"reason": str(error)})
            return
        if not valid:
            logger.warning("No tokens any more; the old ones hold")
        elif valid != self._valid:
            self._valid = valid
            logger.info("Tokens changed", extra={"tokens": len(valid)})


def build_tokens(settings: GatewaySettings) -> Tokens | None:
    """The tokens to be asked for, or None when everybody may do everything.

    Raises:
        AuthSettingsError: it would be open to the network and nobody said that it should be.
    """
    given = bool(
        settings.gateway_tokens.get_secret_value().strip()
        or settings.gateway_read_tokens.get_secret_value().strip()
        or settings.gateway_tokens_file
    )
    if settings.gateway_auth == "none":
        if given:
            raise AuthSettingsError("M0_GATEWAY_AUTH=none, but there are tokens: take one away")
        if not _is_loopback(settings.gateway_host):
            logger.warning(
                "No authentication: whoever reaches this address may queue, stop and replay videos",
                extra={"host": settings.gateway_host},
            )
        return None
    if settings.gateway_auth == "auto" and not given:
        if _is_loopback(settings.gateway_host):
            return None
        raise AuthSettingsError(
            f"listening on {settings.gateway_host} needs M0_GATEWAY_TOKENS or "
            "M0_GATEWAY_TOKENS_FILE; to be open to everybody, say M0_GATEWAY_AUTH=none"
        )
    return Tokens(settings)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path) -> list[tuple[bytes, Right]]:
    """The tokens of a file, or of a directory's files but for hidden ones."""
    found: list[tuple[bytes, Right]] = []
    try:
        files = [path]
        if path.is_dir():
            visible = (file for file in path.iterdir() if not file.name.startswith("."))
            files = sorted(file for file in visible if file.is_file())
        for file in files:
            readers = file != path and file.name.startswith("read")
            right: Right = "read" if readers else "all"
            found += _digests(file.read_text(), right, str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise AuthSettingsError(f"{path}: {type(error).__name__}") from error
    return found


def _digests(text: str, right: Right, where: str) -> list[tuple[bytes, Right]]:
    words = text.split()
    if any(len(word) < MIN_TOKEN for word in words):
        raise AuthSettingsError(f"{where}: a token needs {MIN_TOKEN} characters or more")
    return [(hashlib.sha256(word.encode()).digest(), right) for word in words]
