"""Opening a film: only real containers, only its own bytes, and what is inside."""

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, NoReturn

import av
import av.logging
from m0_contract.errors import ErrorCode, Stage

from m0_chunker.errors import ChunkerError
from m0_chunker.media.bounds import PROBE_BYTES, bounded_memory, refuse_bombs
from m0_chunker.media.kept import KeptIndex
from m0_chunker.media.salvage import count_beyond, salvage_packets
from m0_chunker.media.streams import choose_streams
from m0_chunker.media.tails import count_missing
from m0_chunker.storage.base import SourceFile

av.logging.set_level(None)

DEMUXERS = "mov,matroska,mpegts,mpeg,avi,flv,ogg,wav,mp3,aac,flac,asf,mxf"
"""Containers that hold their own data. Playlists, concat scripts, image sequences and
everything else that names other files or hosts is not among them."""

BUFFER_BYTES = 256 * 1024
MAX_PIXELS = 8192 * 8192
PRIMING = Fraction(1, 5)
"""Audio encoders make audio start a little before zero; that is not the film's start."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a deployment takes; beyond, a film ends as LIMIT_EXCEEDED.

    Attributes:
        streams: tracks in a film.
        pixels: in a picture.
        duration_s: length of a film, seconds.
        chunks: of one film.
    """

    streams: int = 100
    pixels: int = MAX_PIXELS
    duration_s: float = 48 * 3600.0
    chunks: int = 100_000


@dataclass(frozen=True)
class Film:
    """An open film.

    Attributes:
        container: libav's handle.
        streams: what goes into the chunks: all video but cover art, all audio.
        reference: the position in `streams` of the one whose key frames may be cut at.
        start: of the film, in its own time stamps, seconds.
        duration: as the header says, seconds; None when unknown; to be shown, not trusted.
        file: the bytes.
        name: what people call it.
        salvage: whether a damaged film is to be taken as far as it goes.
        max_pixels: of a picture, wherever in the film it comes.
        missing_bytes: that should come after its end, as far as its headers say.
        missing_s: how much of a stream is beyond its end, as far as its index says, seconds.
        notes: what a person should know of what is not in the chunks; plain sentences.
    """

    container: Any
    streams: tuple[Any, ...]
    reference: int
    start: Fraction
    duration: Fraction | None
    file: SourceFile
    name: str
    salvage: bool
    max_pixels: int = MAX_PIXELS
    missing_bytes: int = 0
    missing_s: Fraction = Fraction(0)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def video(self) -> Any | None:
        """The reference when it has pictures."""
        stream = self.streams[self.reference]
        return stream if stream.type == "video" else None

    @property
    def is_mp4(self) -> bool:
        """Whether its container is MP4's family."""
        return "mov" in self.container.format.name.split(",")

    def demux(self, *streams: Any) -> Iterator[Any]:
        """Packets in the film's own order; of one to be salvaged, as many as there are."""
        if self.salvage:
            return salvage_packets(self, streams)
        return self.packets(*streams)

    def packets(self, *streams: Any) -> Iterator[Any]:
        """Packets as libav gives them, and for each stream an empty one at the end."""
        # A stream that turned up on the way is not taken; PyAV stumbles over it after the rest.
        with suppress(IndexError):
            yield from self.container.demux(*streams)

    def cut_off(self) -> ChunkerError:
        """The error for bytes that end before the film does, or what the store said of them."""
        if self.file.failure is not None:
            return self.file.failure
        return ChunkerError(ErrorCode.SOURCE_CORRUPT, f"{self.name} is cut off")

    def close(self) -> None:
        """Let go of the container and of the bytes."""
        self.container.close()
        self.file.close()


def open_film(
    file: SourceFile, name: str, limits: Limits = Limits(), *, salvage: bool = False
) -> Film:
    """Open and probe.

    Args:
        file: the bytes.
        name: what people call it; for messages.
        limits: what is too much.
        salvage: take a film that is cut off, as far as it goes.

    Raises:
        ChunkerError: NOT_MEDIA, UNSUPPORTED_MEDIA, LIMIT_EXCEEDED, SOURCE_CORRUPT, SOURCE_*.
    """
    if file.size_bytes == 0:
        raise ChunkerError(ErrorCode.NOT_MEDIA, f"{name} is empty")
    kept = KeptIndex(file)
    refuse_bombs(kept, name, limits.pixels, salvage=salvage)
    file = kept
    missing = _count_missing(file)
    if missing and not salvage:
        raise cut_off_by(missing, name)
    container = None
    try:
        with bounded_memory(PROBE_BYTES):
            container = _open(file, limits, {})
            if container.format.name == "avi":  # it stores no presentation times
                container.close()
                file.seek(0)
                container = _open(file, limits, {"fflags": "+genpts"})
        film = _probe(container, file, name, limits, salvage=salvage)
        return _with_tail(film, missing)
    except (av.error.FFmpegError, ValueError, RuntimeError, MemoryError) as error:
        _close(container)
        raise not_media(error, file, name) from error
    except BaseException:
        _close(container)
        raise


def _count_missing(file: SourceFile) -> int:
    try:
        return count_missing(file, file.size_bytes)
    finally:
        file.seek(0)


def _open(file: SourceFile, limits: Limits, options: dict[str, str]) -> Any:
    return av.open(
        file,
        "r",
        # What decodes a picture to find out what it is like; aligned sides are a little longer.
        options={"max_pixels": str(min(2 * limits.pixels, 2**31 - 1))},
        container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "none", **options},
        metadata_errors="replace",
        buffer_size=BUFFER_BYTES,
        io_open=_refuse_other_files,
    )


def _close(container: Any) -> None:
    if container is not None:
        container.close()


def _refuse_other_files(url: str, _flags: int, _options: object) -> NoReturn:
    raise PermissionError(f"the film names another file or host ({url[:80]})")


def not_media(error: Exception, file: SourceFile, name: str) -> ChunkerError:
    """What libav's refusal to open means; a store's own error comes first."""
    if file.failure is not None:
        return file.failure
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM:
        return ChunkerError(
            ErrorCode.LIMIT_EXCEEDED,
            f"opening {name} takes more than {PROBE_BYTES >> 20} MiB of memory",
        )
    return ChunkerError(
        ErrorCode.NOT_MEDIA, f"{name} is not a film, or its index is missing ({reason})"
    )


def _probe(container: Any, file: SourceFile, name: str, limits: Limits, *, salvage: bool) -> Film:
    if len(container.streams) > limits.streams:
        raise ChunkerError(
            ErrorCode.LIMIT_EXCEEDED,
            f"{name} has {len(container.streams)} streams; at most {limits.streams} are taken",
        )
    streams, notes = choose_streams(container, file, name)
    kinds = [stream.type for stream in streams]
    reference = kinds.index("video") if "video" in kinds else 0
    start = _film_start(streams, reference)
    duration = Fraction(container.duration, av.time_base) if container.duration else None
    if duration and "matroska" in container.format.name:  # it counts from zero
        duration -= max(start, Fraction(0))
    film = Film(
        container,
        streams,
        reference,
        start,
        duration,
        file,
        name,
        salvage,
        limits.pixels,
        notes=notes,
    )
    _check_limits(film, limits)
    return film


def _check_limits(film: Film, limits: Limits) -> None:
    for stream in film.streams:
        context = stream.codec_context
        if stream.type == "video" and context.width * context.height > limits.pixels:
            raise ChunkerError(
                ErrorCode.LIMIT_EXCEEDED,
                f"{film.name} has pictures of {context.width} x {context.height} pixels; "
                f"at most {limits.pixels} pixels are taken",
            )
    if film.duration and film.duration > limits.duration_s:
        raise ChunkerError(
            ErrorCode.LIMIT_EXCEEDED,
            f"{film.name} says it is {float(film.duration) / 3600:.1f} h long; "
            f"at most {limits.duration_s / 3600:g} h are taken",
        )


def _film_start(streams: tuple[Any, ...], reference: int) -> Fraction:
    starts = [
        stream.start_time * stream.time_base for stream in streams if stream.start_time is not None
    ]
    if not starts:
        return Fraction(0)
    first = min(starts)
    own = streams[reference].start_time
    own_start = first if own is None else own * streams[reference].time_base
    if first < 0 <= own_start <= first + PRIMING:
        return Fraction(own_start)
    return Fraction(first)


def _with_tail(film: Film, missing_bytes: int) -> Film:
    """The film, knowing how much of it is missing at its end.

    Raises:
        ChunkerError: SOURCE_CORRUPT, unless it is to be salvaged.
    """
    missing_s = Fraction(0)
    if film.is_mp4:
        missing_bytes, missing_s = count_beyond(film.streams, film.file.size_bytes)
    if not missing_bytes:
        return film
    error = cut_off_by(missing_bytes, film.name)
    if not film.salvage:
        raise error
    notes = [*film.notes, str(error)]
    return replace(film, missing_bytes=missing_bytes, missing_s=missing_s, notes=notes)


def cut_off_by(missing: int, name: str) -> ChunkerError:
    """The error for a film that lacks `missing` bytes, before anything of it is published."""
    return ChunkerError(
        ErrorCode.SOURCE_CORRUPT,
        f"{name} is cut off: at least {missing} bytes are missing at its end",
        stage=Stage.PROBE,
    )


def reading_error(error: Exception, film: Film) -> ChunkerError:
    """What libav's failure in the middle of a film means."""
    if isinstance(error, ChunkerError):
        return error
    if film.file.failure is not None:
        return film.file.failure
    reason = getattr(error, "strerror", None) or str(error)
    return ChunkerError(ErrorCode.SOURCE_CORRUPT, f"the film can't be read any further: {reason}")


def no_pictures(film: Film) -> ChunkerError:
    """The error for pictures that were announced and never came: no film of sound only."""
    stream = film.streams[film.reference]
    return ChunkerError(
        ErrorCode.SOURCE_CORRUPT,
        f"{film.name} says that stream {stream.index} has pictures, but there is not one",
    )


def check_end(film: Film, reached: Fraction) -> None:
    """Whether the film ended where its header said it would.

    Args:
        film: which was read to its end.
        reached: end of the last packet, seconds since the film's start.

    Raises:
        ChunkerError: SOURCE_CORRUPT, or what the store said when reading failed.
    """
    if film.file.failure is not None:
        raise film.file.failure
    if film.duration is None or "mpegts" in film.container.format.name:
        return
    if film.duration - reached > max(Fraction(2), film.duration / 50):
        text = (
            f"the film ends at {float(reached):.1f} s instead of {float(film.duration):.1f} s, "
            "which its header gives"
        )
        if not film.salvage:
            raise ChunkerError(ErrorCode.SOURCE_CORRUPT, text)
        film.notes.append(text)
