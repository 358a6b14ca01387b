"""Which of a film's streams go into the chunks: all pictures but covers, and all sound."""

from typing import Any

import av
from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.storage.base import SourceFile


def choose_streams(
    container: Any, file: SourceFile, name: str
) -> tuple[tuple[Any, ...], list[str]]:
    """Choose, and have the others not even read.

    Returns:
        The streams; and what is to be said of sound and pictures that are left out.

    Raises:
        ChunkerError: NOT_MEDIA: there are none. UNSUPPORTED_MEDIA: pictures that can't be
            made out must not be lost without a word.
    """
    streams = tuple(stream for stream in container.streams if _is_media(stream))
    if not streams and file.failure is not None:
        raise file.failure
    notes = []
    has_pictures = any(stream.type == "video" for stream in streams)
    # A transport stream may announce pictures that never come.
    may_lack = has_pictures and container.format.name.startswith("mpeg")
    for stream in container.streams:
        if stream in streams:
            continue
        stream.discard = av.stream.Discard.all
        if stream.type == "video" and not _is_cover(stream) and not may_lack:
            raise ChunkerError(
                ErrorCode.UNSUPPORTED_MEDIA,
                f"{_describe(stream)} of {name} can't be made out: its pictures have no size, "
                "or an absurd one",
            )
        if stream.type == "audio" or (stream.type == "video" and not _is_cover(stream)):
            notes.append(f"{_describe(stream)} can't be made out and is not in the chunks")
    if not streams:
        raise ChunkerError(ErrorCode.NOT_MEDIA, f"{name} has neither pictures nor sound")
    return streams, notes


def _describe(stream: Any) -> str:
    codec = stream.codec_context.name if stream.codec_context else "unknown"
    return f"stream {stream.index} ({stream.type}, codec {codec})"


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _is_media(stream: Any) -> bool:
    context = stream.codec_context
    if context is None:
        return False
    if stream.type == "video":
        return bool(not _is_cover(stream) and context.width > 0 and context.height > 0)
    return bool(stream.type == "audio" and context.sample_rate > 0)
