"""What is said of a track beside its samples: codec, language, size, rotation.

A film in MP4 lends its own words, to the letter. For every other one libav's muxer is asked
how it would put it: a file with one packet is made, and its words are taken from there.
"""

import io
import struct
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import av
from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.media.mp4.boxes import BoxError, box, children, find, full_box, need, table

ENCRYPTED = frozenset({b"encv", b"enca", b"drmi", b"drms"})


@dataclass(frozen=True, slots=True)
class TrackTemplate:
    """A track without its samples.

    Attributes:
        look: what `tkhd` says after the duration: layer, group, volume, matrix, size.
        language: three letters, as `mdhd` packs them.
        handler: the `hdlr` box.
        media_header: the `vmhd` or `smhd` box.
        descriptions: the `stsd` box.
        user_data: the `udta` box, or nothing.
    """

    look: bytes
    language: bytes
    handler: bytes
    media_header: bytes
    descriptions: bytes
    user_data: bytes


def read_template(trak: memoryview) -> TrackTemplate:
    """The template in a `trak`.

    Raises:
        BoxError: it lacks a part.
        ChunkerError: UNSUPPORTED_MEDIA for an encrypted track.
    """
    header, media = need(trak, b"tkhd"), need(trak, b"mdia", b"mdhd")
    information = need(trak, b"mdia", b"minf")
    descriptions = need(information, b"stbl", b"stsd")
    if {kind for kind, _ in children(descriptions[8:])} & ENCRYPTED:
        raise ChunkerError(ErrorCode.UNSUPPORTED_MEDIA, "the film is encrypted")
    wide = header[0] == 1
    after = 36 if wide else 24
    language = 32 if media[0] == 1 else 20
    user_data = find(trak, b"udta")
    kinds = {bytes(kind): content for kind, content in children(information)}
    head = next((name for name in (b"vmhd", b"smhd") if name in kinds), None)
    if head is None:
        raise BoxError("a track is neither pictures nor sound")
    return TrackTemplate(
        look=bytes(header[after : after + 60]),
        language=bytes(media[language : language + 2]),
        handler=box(b"hdlr", bytes(need(trak, b"mdia", b"hdlr"))),
        media_header=box(head, bytes(kinds[head])),
        descriptions=box(b"stsd", bytes(descriptions)),
        user_data=b"" if user_data is None else box(b"udta", bytes(user_data)),
    )


def borrow_template(stream: Any, packet: Any) -> TrackTemplate:
    """The template that libav's muxer makes for `stream`.

    Args:
        stream: an `av` stream.
        packet: one of its packets; some codecs are described from their first.

    Raises:
        ChunkerError: UNSUPPORTED_MEDIA: MP4 has no place for this codec.
    """
    file = io.BytesIO()
    sample = av.Packet(bytes(packet))
    sample.time_base = stream.time_base
    sample.dts = sample.pts = 0
    sample.duration = packet.duration or 1
    sample.is_keyframe = True
    try:
        with av.open(file, "w", format="mp4", container_options={"fflags": "+bitexact"}) as muxer:
            copy = muxer.add_stream_from_template(stream, opaque=True)
            copy.codec_context.bit_rate = 0  # a parser's guess changes while it reads on
            # Others' tags need not be text, and PyAV can't say them then (AAC in AVI: 0xFF).
            if stream.codec_context.name == "hevc" and stream.codec_context.codec_tag == "hvc1":
                copy.codec_context.codec_tag = "hvc1"
            language = stream.metadata.get("language")
            if language:
                copy.metadata["language"] = language
            sample.stream = copy
            muxer.mux_one(sample)
        moov = need(memoryview(file.getvalue()), b"moov")
        return read_template(need(moov, b"trak"))
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise ChunkerError(ErrorCode.UNSUPPORTED_MEDIA, _no_place(stream)) from error


def _no_place(stream: Any) -> str:
    """What to do about a codec that MP4 has no place for."""
    text = (
        f"the film's {stream.type} codec {stream.codec_context.name} can't be put into an "
        "MP4 file as it is"
    )
    transcode = "ask for another fps, width or height to have it transcoded"
    if stream.type == "video":
        return f"{text}; {transcode}"
    if any(other.type == "video" for other in stream.container.streams):
        return (
            f"{text}; convert the sound to AAC and leave the pictures as they are, or {transcode}"
        )
    return f"{text}; convert the sound to AAC"


def without_priming(template: TrackTemplate) -> TrackTemplate:
    """The same track, but not from its beginning: Opus says in `dOps` what to skip there."""
    at = template.descriptions.find(b"dOps")
    if at < 0:
        return template
    changed = bytearray(template.descriptions)
    changed[at + 6 : at + 8] = bytes(2)
    return replace(template, descriptions=bytes(changed))


def build_trak(
    template: TrackTemplate,
    number: int,
    *,
    timescale: int,
    media_ticks: int,
    edits: bytes,
    duration: int,
    tables: bytes,
) -> bytes:
    """The `trak` box of a chunk.

    Args:
        template: whose.
        number: track id, from 1.
        timescale: of the media, ticks a second.
        media_ticks: length of the media.
        edits: the `elst` box.
        duration: of the track, in the movie's ticks.
        tables: the `stbl`'s content but for the `stsd`.
    """
    header = full_box(b"tkhd", 1, 3, _TRACK.pack(0, 0, number, 0, duration), template.look)
    media_header = full_box(
        b"mdhd", 1, 0, _MEDIA.pack(0, 0, timescale, media_ticks, template.language)
    )
    information = box(
        b"minf", template.media_header, _HERE, box(b"stbl", template.descriptions, tables)
    )
    media = box(b"mdia", media_header, template.handler, information)
    return box(b"trak", header, box(b"edts", edits), media, template.user_data)


_TRACK, _MEDIA, _EDIT = struct.Struct(">QQIIQ"), struct.Struct(">QQIQ2sxx"), struct.Struct(">QqI")

_HERE = box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1)))
"""The media data is in this file."""


def build_edits(begin: float, hidden: int, span: float, timescale: int, movie_scale: int) -> bytes:
    """The `elst` box.

    Args:
        begin: where the chunk's zero is in the media, ticks; negative: so much later it begins.
        hidden: how much at the media's start has nothing to be shown or heard (the delay of
            reordered pictures, an encoder's priming), ticks. It has to be said as a delay:
            libav moves a track whose first picture comes after its edit's start.
        span: from the chunk's zero to the end of the track, seconds.
        timescale: the media's ticks a second.
        movie_scale: the movie's ticks a second.
    """
    first = max(begin, hidden)
    delay = round((first - begin) / timescale * movie_scale)
    played = max(ceil(span * movie_scale) - delay, 1)
    shown = _EDIT.pack(played, round(first), 0x10000)
    if not delay:
        return table(b"elst", 1, shown, 1)
    return table(b"elst", 2, _EDIT.pack(delay, -1, 0x10000) + shown, 1)
