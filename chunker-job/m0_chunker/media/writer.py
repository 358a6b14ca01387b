"""One chunk on its way: a muxer over a spool, then the finished file."""

import hashlib
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
from m0_contract.errors import ErrorCode, Stage

from m0_chunker.chunk import Chunk, ChunkBody
from m0_chunker.errors import ChunkerError, from_os_error
from m0_chunker.media.certificate import Certificate
from m0_chunker.media.feed import Packet
from m0_chunker.media.mp4 import read_layout

BUFFER_BYTES = 256 * 1024
_HASH_BYTES = 2**20


@dataclass(frozen=True)
class Spooling:
    """Where chunks are kept while they are made and stored.

    Attributes:
        directory: for chunks too big for memory; None takes the system's.
        memory_bytes: a chunk up to this size never touches a disk.
    """

    directory: Path | None
    memory_bytes: int

    def open(self) -> IO[bytes]:
        """A file without a name: whatever becomes of the process, nothing is left."""
        # What is opened here is closed by the chunk's owner.
        return tempfile.SpooledTemporaryFile(
            max_size=self.memory_bytes, dir=str(self.directory) if self.directory else None
        )


class ChunkWriter:
    """Muxes one chunk; its time stamps start at zero at the chunk's start."""

    def __init__(
        self,
        chunk_id: int,
        start: Fraction,
        origin: Fraction,
        templates: list[Any],
        spooling: Spooling,
    ) -> None:
        """Args:
        chunk_id: from 1.
        start: seconds since the film's start.
        origin: the time stamp, in seconds, that becomes the chunk's zero.
        templates: the streams to make room for.
        spooling: where the bytes go.

        Raises:
            ChunkerError: UNSUPPORTED_MEDIA.
        """
        self.chunk_id, self.start = chunk_id, start
        self.packets = [0] * len(templates)
        self._spool = spooling.open()
        self._shift = [round(origin / template.time_base) for template in templates]
        self._last_dts: list[int | None] = [None] * len(templates)
        self._muxer = av.open(
            self._spool,
            "w",
            format="mp4",
            container_options={"fflags": "+bitexact"},
            buffer_size=BUFFER_BYTES,
        )
        try:
            self._streams = [_add_stream(self._muxer, template) for template in templates]
        except BaseException:
            self.discard()
            raise

    def mux(self, number: int, packet: Packet) -> None:
        """Add a packet of stream `number`; takes the packet over."""
        shift = self._shift[number]
        dts, pts = packet.dts - shift, packet.pts - shift
        last = self._last_dts[number]
        if last is not None and dts <= last:  # damaged time stamps: keep the payload all the same
            dts = last + 1
        self._last_dts[number] = dts
        packet.dts, packet.pts = dts, max(pts, dts)
        packet.stream = self._streams[number]
        self.packets[number] += 1
        try:
            self._muxer.mux_one(packet)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._explain(error) from error

    def finish(self, end: Fraction, certificate: Certificate) -> Chunk:
        """Write the index, count what was written, hash it.

        Raises:
            ChunkerError: CHUNK_FAILED, DISK_FULL, INTEGRITY.
        """
        try:
            self._muxer.close()
            layout = read_layout(self._spool)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._explain(error) from error
        # A stream without a packet here has no track in the file.
        written = [number for number, count in enumerate(self.packets) if count]
        if len(written) != len(layout.tracks):
            raise ChunkerError(
                ErrorCode.INTEGRITY,
                f"{len(layout.tracks)} tracks were written instead of {len(written)}",
                chunk_id=self.chunk_id,
            )
        for number, track in zip(written, layout.tracks, strict=True):
            certificate.count_out(number, track, self._spool)
        body = ChunkBody(layout.head, self._spool, layout.body_offset, layout.body_bytes)
        return Chunk(self.chunk_id, float(self.start), float(end), _digest(body), body)

    def discard(self) -> None:
        """Throw the chunk away."""
        self._spool.close()

    def _explain(self, error: Exception) -> ChunkerError:
        doing = f"writing chunk {self.chunk_id}"
        if (
            isinstance(error, OSError)
            and error.errno
            and not isinstance(error, av.error.FFmpegError)
        ):
            return from_os_error(error, doing, Stage.CHUNK)
        reason = getattr(error, "strerror", None) or str(error)
        return ChunkerError(ErrorCode.CHUNK_FAILED, f"{doing}: {reason}", chunk_id=self.chunk_id)


def _add_stream(muxer: Any, template: Any) -> Any:
    """A stream like `template`; PyAV's own copy forgets language and HEVC's tag."""
    name = template.codec_context.name
    try:
        stream = muxer.add_stream_from_template(template, opaque=True)
    except ValueError as error:
        raise ChunkerError(
            ErrorCode.UNSUPPORTED_MEDIA,
            f"the film's {template.type} codec {name} can't be put into an MP4 file as it is; "
            "ask for another fps, width or height to have it transcoded",
        ) from error
    if template.codec_context.codec_tag == "hvc1":
        stream.codec_context.codec_tag = "hvc1"
    language = template.metadata.get("language")
    if language:
        stream.metadata["language"] = language
    return stream


def _digest(body: ChunkBody) -> str:
    sha256 = hashlib.sha256()
    body.seek(0)
    while data := body.read(_HASH_BYTES):
        sha256.update(data)
    return sha256.hexdigest()
