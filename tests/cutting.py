"""The cutter in this process, without stores and messages: quick, and open to being hindered."""

import hashlib
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from m0_chunker.errors import ChunkerError
from m0_chunker.media import cutter as module
from m0_chunker.media.cutter import Cutter
from m0_chunker.media.direct import DirectFeed
from m0_chunker.media.mp4.index import UnsuitableIndexError
from m0_chunker.media.source import Limits, open_film
from m0_chunker.media.spool import Spooling
from m0_chunker.plan import Resumption
from m0_chunker.settings import Settings
from m0_contract.outcome import Integrity
from m0_contract.request import VideoPreprocessing
from transcodes import Bytes

SETTINGS = Settings(threads=1)


@dataclass
class Cut:
    """What came of a film.

    Attributes:
        chunks: chunks as the cutter gave them; their bodies are closed.
        bodies: their bytes.
        messages: as much of their messages as checkers look at.
        integrity: the certificate; None where it was not asked to come to the end.
    """

    method: str
    mode: str
    chunks: list[Any]
    bodies: list[bytes]
    messages: list[dict[str, Any]]
    integrity: Integrity | None
    notes: list[str]

    @property
    def facts(self) -> dict[str, Any]:
        """The certificate, without what differs between ways to the same chunks."""
        assert self.integrity is not None
        values = self.integrity.model_dump()
        # Their heads differ: how many packets lie together is the film's way or ours.
        for name in ("payload_sha256", "bytes_out"):
            del values[name]
        return values


def resumption_after(cut: Cut, chunks: int) -> Resumption:
    """What a later attempt finds when so many of a cut's chunks are done."""
    last = cut.chunks[chunks - 1]
    return Resumption(chunks, Fraction(last.next_start), last.certificate)


NOTHING_DONE = Resumption()


def cut_film(
    path: Path,
    directory: Path,
    duration: float,
    *,
    by_packets: bool = False,
    resumption: Resumption = NOTHING_DONE,
    stop_after: int | None = None,
    settings: Settings = SETTINGS,
    bodies: list[bytes] | None = None,
    **wanted: Any,
) -> Cut:
    """Cut a film into `directory`.

    Args:
        by_packets: in the general way, even if its index, or a reader of ours, could do.
        resumption: what an earlier attempt has done.
        stop_after: so many chunks.
        bodies: gets those of the chunks, so that they are known however it ends.
        wanted: of the request's `video_preprocessing`.
    """
    directory.mkdir(exist_ok=True)
    film = open_film(Bytes(str(path)), path.name)
    cutter = Cutter(
        film,
        VideoPreprocessing(chunk_duration=duration, **wanted),
        settings,
        Limits(),
        Spooling(directory, 12 * 2**20),
        lambda: None,
    )
    read_index, look_ahead = module.read_index, DirectFeed._look_ahead
    cut = Cut("", "", [], [] if bodies is None else bodies, [], None, [])
    try:
        if by_packets:
            module.read_index, DirectFeed._look_ahead = _refuse, lambda _: False
        source = cutter.chunks(resumption)
        for chunk in source:
            _take(cut, chunk, directory)
            if len(cut.chunks) == stop_after:
                source.close()
                break
        else:
            cut.integrity = cutter.certify()
    finally:
        module.read_index, DirectFeed._look_ahead = read_index, look_ahead
        film.close()
    cut.method, cut.mode = cutter.method, cutter.mode
    cut.notes = list((cut.integrity and cut.integrity.model_dump().get("notes")) or [])
    return cut


def outcome(film: Path, directory: Path, duration: float, **wanted: Any) -> tuple[Any, ...]:
    """(way, chunks' bytes, certificate or error's code and message)."""
    bodies: list[bytes] = []
    directory.mkdir(exist_ok=True)
    try:
        cut = cut_film(film, directory, duration, bodies=bodies, **wanted)
    except ChunkerError as error:
        return None, bodies, (error.code, str(error))
    return cut.method, cut.bodies, cut.integrity


def check_both_ways(film: Path, directory: Path, duration: float, **wanted: Any) -> str | None:
    """Cut by what is quickest and packet by packet; whatever comes of it comes of both.

    Returns:
        The quickest way; None: it failed.
    """
    way, *ours = outcome(film, directory / "ours", duration, **wanted)
    _, *theirs = outcome(film, directory / "packets", duration, by_packets=True, **wanted)
    assert [zlib.crc32(body) for body in ours[0]] == [zlib.crc32(body) for body in theirs[0]]
    assert ours == theirs
    found: str | None = way
    return found


def check_resumed(
    film: Path,
    directory: Path,
    duration: float,
    *,
    first: bool = False,
    then: bool = False,
    **wanted: Any,
) -> int:
    """What an attempt makes that goes on from any chunk is what was made without a break.

    Args:
        first: `by_packets` of the attempt without a break.
        then: of the one that goes on.

    Returns:
        The number of chunks.
    """
    whole = cut_film(film, directory / "all", duration, by_packets=first, **wanted)
    for done in range(1, len(whole.chunks)):
        after = resumption_after(whole, done)
        rest = cut_film(
            film, directory / "rest", duration, by_packets=then, resumption=after, **wanted
        )
        assert rest.bodies == whole.bodies[done:]
        assert rest.integrity == whole.integrity
    return len(whole.chunks)


def check_read_once(kind: type[DirectFeed], film: Path) -> None:
    """After the look at its beginning, a film is read from its first byte to its last."""
    file = _Counted(str(film))
    feed = kind(open_film(file, film.name))
    beginning = file.given
    assert feed.is_direct
    assert sum(map(len, feed.batches())) > 1000
    assert file.given <= beginning + file.size_bytes


class _Counted(Bytes):
    given = 0

    def read(self, size: int = -1, /) -> bytes:
        data = super().read(size)
        self.given += len(data)
        return data


def _refuse(*_: Any) -> Any:
    raise UnsuitableIndexError("a test wants it so")


def _take(cut: Cut, chunk: Any, directory: Path) -> None:
    body = chunk.body.view().read()
    chunk.body.close()
    path = directory / f"chunk_{chunk.chunk_id:03d}.mp4"
    path.write_bytes(body)
    assert hashlib.sha256(body).hexdigest() == chunk.sha256
    cut.chunks.append(chunk)
    cut.bodies.append(body)
    cut.messages.append(
        {
            "chunk_id": chunk.chunk_id,
            "start_time": chunk.start_s,
            "end_time": chunk.end_s,
            "time_offset": chunk.start_s,
            "cloud_stream_path": path.as_uri(),
        }
    )
