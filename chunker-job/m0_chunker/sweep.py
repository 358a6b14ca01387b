"""`m0-chunker sweep URL…`: deletes cached chunks whose time is over, and nothing else.

For stores without lifecycle rules, and for lives shorter than the day that rules count in.
An object goes only if all of this holds: its key is exactly one that M0 gives to a cached
chunk, its own metadata say that M0 wrote it and until when it is wanted, that moment has
passed, and at its deletion it is still the object that was looked at. One JSON line a
container on standard output; exit codes are the chunker's.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, NoReturn, Protocol

from m0_contract.keys import ObjectUrl, parse_object_url
from m0_contract.outcome import ExitCode

from m0_chunker.errors import ChunkerError
from m0_chunker.storage.base import StoredObject
from m0_chunker.storage.stores import Stores

if TYPE_CHECKING:
    from m0_chunker.settings import Settings
    from m0_chunker.storage.base import Listed

PREFIX = "temp/"
_KEY = re.compile(r"temp/[^/]+/chunk_[0-9]{3,}\.mp4")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 8
_BATCH = 1000


class Sweepable(Protocol):
    """What the sweeper needs of a store."""

    def list(self, prefix: ObjectUrl) -> Iterator["Listed"]:
        """See `Store`."""
        ...

    def head(self, url: ObjectUrl, *, listed: bool = False) -> StoredObject | None:
        """See `Store`."""
        ...

    def delete(self, url: ObjectUrl, etag: str) -> bool:
        """See `Store`."""
        ...


@dataclass
class Tally:
    """What was found in one container, and done.

    Attributes:
        container: its URL.
        seen: objects below `temp/`, whosesoever.
        expired: those of M0 whose time is over.
        deleted: of them; none in a dry run.
        failed: could not be looked at or deleted.
        lifecycle: what became of the rule, where that was asked for.
        error: the last failure.
        code: the exit code for this container.
    """

    container: str
    seen: int = 0
    expired: int = 0
    deleted: int = 0
    failed: int = 0
    lifecycle: str | None = None
    error: str | None = None
    code: ExitCode = ExitCode.SUCCEEDED

    def fail(self, error: ChunkerError) -> None:
        """Note a failure; a permanent one outranks those that may pass."""
        self.failed += 1
        self.error = str(error)
        if self.code is not ExitCode.PERMANENT:
            self.code = error.exit_code

    def to_line(self) -> str:
        """As JSON."""
        fields = asdict(self)
        del fields["code"]
        return json.dumps({name: value for name, value in fields.items() if value is not None})


def is_expired(found: StoredObject, now: datetime) -> bool:
    """Whether M0 wrote this object and wants it no longer.

    Args:
        found: its own metadata.
        now: with a time zone.
    """
    if not _SHA256.fullmatch(found.metadata.get("m0-sha256", "")):
        return False
    try:
        expires = datetime.strptime(found.metadata["m0-expires-at"], "%Y-%m-%dT%H:%M:%S%z")
    except (KeyError, ValueError):
        return False
    return expires < now


def is_cache_key(key: str) -> bool:
    """Whether M0 gives this key to a cached chunk."""
    return _KEY.fullmatch(key) is not None


class Sweeper:
    """Goes through one container."""

    def __init__(
        self, store: Sweepable, container: ObjectUrl, now: datetime, *, dry_run: bool
    ) -> None:
        """Args:
        store: of the container.
        container: its URL; for files the directory.
        now: the moment that counts for all objects.
        dry_run: look only.
        """
        self._store, self._now, self._dry_run = store, now, dry_run
        self._root = container.key.rstrip("/") + "/" if container.kind == "file" else ""
        self._prefix = container.sibling(container.container, self._root + PREFIX)
        self.tally = Tally(str(container).rstrip("/"))

    def run(self) -> None:
        """Look at everything below `temp/`."""
        candidates = self._candidates()
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                while batch := list(islice(candidates, _BATCH)):
                    for result in pool.map(self._sweep_one, batch):
                        self._count(result)
        except ChunkerError as error:  # of the list
            self.tally.fail(error)

    def _candidates(self) -> Iterator[ObjectUrl]:
        for entry in self._store.list(self._prefix):
            self.tally.seen += 1
            if is_cache_key(entry.url.key.removeprefix(self._root)):
                yield entry.url

    def _sweep_one(self, url: ObjectUrl) -> tuple[bool, bool] | ChunkerError:
        """(expired, deleted), or why not."""
        try:
            found = self._store.head(url, listed=True)
            if found is None or not is_expired(found, self._now):
                return False, False
            return True, not self._dry_run and self._store.delete(url, found.etag)
        except ChunkerError as error:
            return error

    def _count(self, result: tuple[bool, bool] | ChunkerError) -> None:
        if isinstance(result, ChunkerError):
            self.tally.fail(result)
        else:
            self.tally.expired += result[0]
            self.tally.deleted += result[1]


def sweep(settings: "Settings", arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit code."""
    values = _parser().parse_args(arguments)
    containers = [_parse_container(text) for text in values.containers]
    stores, now = Stores(settings), datetime.now(UTC)
    codes = []
    for container in containers:
        tally = _sweep_container(stores, container, now, values, settings)
        print(tally.to_line(), flush=True)
        codes.append(tally.code)
    return int(_worst(codes))


def _sweep_container(
    stores: Stores,
    container: ObjectUrl,
    now: datetime,
    values: argparse.Namespace,
    settings: "Settings",
) -> Tally:
    tally = Tally(str(container).rstrip("/"))
    try:
        sweeper = Sweeper(stores.of(container.kind), container, now, dry_run=values.dry_run)
        tally = sweeper.tally
        sweeper.run()
        if values.lifecycle:
            tally.lifecycle = _ensure_lifecycle(stores, container, settings, values.dry_run)
    except ChunkerError as error:
        tally.fail(error)
    return tally


def _ensure_lifecycle(
    stores: Stores,
    container: ObjectUrl,
    settings: "Settings",
    dry_run: bool,  # noqa: FBT001
) -> str:
    if container.kind != "s3":
        return "only S3 has rules that can be written this way; see docs/cache.md"
    if dry_run:
        return "not touched"
    from m0_chunker.storage.s3 import S3Store  # noqa: PLC0415 - botocore, only where needed

    store = stores.of("s3")
    assert isinstance(store, S3Store)  # noqa: S101 - for the type checker
    written = store.ensure_lifecycle(container, settings.cache_ttl_hours)
    return "written" if written else "in place"


def _worst(codes: Iterable[ExitCode]) -> ExitCode:
    found = set(codes)
    for code in (ExitCode.PERMANENT, ExitCode.INTERNAL, ExitCode.TRANSIENT):
        if code in found:
            return code
    return ExitCode.SUCCEEDED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="m0-chunker sweep", description="Delete cached chunks that expired.")
    parser.add_argument("containers", nargs="+", metavar="URL", help="s3://BUCKET, az://CONTAINER")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, delete nothing")
    parser.add_argument(
        "--lifecycle", action="store_true", help="keep M0's own lifecycle rule in each S3 bucket"
    )
    return parser


def _parse_container(text: str) -> ObjectUrl:
    url = parse_object_url(text)
    if url is None or (url.kind != "file" and url.key.strip("/")):
        _parser().error(f"{text!r} is no container: s3://BUCKET, az://CONTAINER")
    return url
