"""A transport stream's packets, without libav."""

from collections.abc import Iterator, Sequence
from typing import Any

from m0_chunker.media.direct import DirectFeed
from m0_chunker.media.packets import Batch, Numbered
from m0_chunker.media.ts.reader import CODECS, read_transport


class UnitFeed(DirectFeed):
    """The film's own pictures and frames of sound, where each PES packet holds whole ones."""

    method = "units"

    def is_suitable(self) -> bool:
        """See `DirectFeed`."""
        return set(map(_codec, self.templates)) <= CODECS.keys()

    def read(self, ahead: Sequence[Numbered]) -> Iterator[Batch]:
        """See `DirectFeed`."""
        durations = [0] * len(self.templates)
        for number, packet in ahead:
            durations[number] = packet.duration or 0
        streams = [(stream.id, _codec(stream)) for stream in self.templates]
        return read_transport(self._film.file, streams, durations)


def _codec(stream: Any) -> str:
    return str(stream.codec_context.codec.canonical_name)
