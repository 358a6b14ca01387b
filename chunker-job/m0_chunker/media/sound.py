"""The sound half of a transcode: decoded sound in, AAC packets out.

All sound lies on one grid of samples that begins at the film's start, in packets of 1024
that begin at multiples of 1024. So sound that starts late, has gaps or drifts keeps its
place beside the pictures, chunks never need an encoder of their own, and a run that is
taken up in the middle makes packets at the same times as one that was not interrupted.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import Any

import av
import av.filter
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame

from m0_chunker.media.encoder import Encoder, open_bench
from m0_chunker.media.packets import Packet

AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000})
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
"""What players of AAC know; all else becomes stereo."""

SLOT = 1024
"""Samples in an AAC packet."""

PREROLL_SLOTS = 24
"""Encoded before a boundary where a run is taken up, 0.5 s: an AAC packet overlaps the one
before, and the encoder's bit reservoir has to settle."""

DECODED_BEFORE_S = Fraction(1)
"""Decoded before such a boundary; the first packets of this are not heard."""

GAP_S = Fraction(15, 1000)
"""More than this between where sound is and where it says it is, is a gap, filled at once."""

DRIFT_S = Fraction(1, 2000)
DRIFT_PIECES = 10
"""Less is jitter of a coarse clock, until it has stayed on one side for so many pieces."""

SILENCE_S = 10
"""A longer gap is left out instead of being filled with silence."""


class SoundTrack:
    """See the module."""

    def __init__(self, source: Any, start: Fraction, resume_at: Fraction, notes: list[str]) -> None:
        """Args:
        source: the film's stream.
        start: the film's start in its own time stamps, seconds.
        resume_at: no packet before this time is given; seconds since the film's start.
        notes: takes plain sentences about what is done otherwise than asked.
        """
        self.source, self._notes = source, notes
        self._encoder = self._open()
        self.stream = self._encoder.stream
        self._rate = rate = self.stream.codec_context.sample_rate
        self._gap, self._drift = int(GAP_S * rate), int(DRIFT_S * rate)
        self._offset = round(start * rate)
        self._limit = round(resume_at / self.stream.time_base) if resume_at else None
        self._from = max(0, floor(resume_at * rate / SLOT) - PREROLL_SLOTS) * SLOT
        self._next: int | None = None
        self._drifts: list[int] = []
        self._shape: tuple[int, str, str] = (0, "", "")
        self._graph: Any = None  # none where the decoder gives what the encoder takes
        self._ticks = (2, 2)  # of pieces, in samples: twice the fraction's two numbers

    def take(self, frame: Any) -> Iterator[Packet]:
        """Decoded sound."""
        shape = (frame.sample_rate, frame.format.name, _layout_of(frame))
        if shape != self._shape:
            yield from self._flush()
            self._shape = shape
            context = self.stream.codec_context
            fit = (context.sample_rate, context.format.name, context.layout.name)
            self._graph = None if shape == fit else self._build(frame)
            tick = frame.time_base * self._rate if shape == fit else Fraction(1)
            self._ticks = (2 * tick.numerator, 2 * tick.denominator)
        if self._graph is None:
            yield from self._place(frame)
            return
        self._graph.push(frame)
        yield from self._pull()

    def finish(self) -> Iterator[Packet]:
        """No more comes."""
        yield from self._flush()
        if self._next is not None:
            yield from self._encoded(None)

    def _open(self) -> Encoder:
        context = self.source.codec_context
        rate = context.sample_rate if context.sample_rate in AAC_RATES else 48_000
        channels = context.layout.nb_channels
        layout = LAYOUTS.get(channels, "stereo")
        if rate != context.sample_rate:
            self._notes.append(f"Sound of {context.sample_rate} Hz was resampled to {rate} Hz.")
        if channels not in LAYOUTS:
            self._notes.append(f"Sound of {channels} channels was mixed down to stereo.")
        stream = open_bench().add_stream("aac", rate=rate, layout=layout)
        # The encoder's own, as plain ffmpeg's: 64 kbit/s a channel. With 96 it searched four
        # times as long (a pure tone, measured).
        stream.codec_context.bit_rate = 0
        stream.codec_context.time_base = stream.time_base = Fraction(1, rate)
        stream.metadata.update(self.source.metadata)
        return Encoder(stream)

    def _build(self, frame: Any) -> Any:
        """From what the decoder gives to what the encoder takes."""
        context = self.stream.codec_context
        graph = av.filter.Graph()
        source = (
            f"time_base={frame.time_base}:sample_rate={frame.sample_rate}:"
            f"sample_fmt={frame.format.name}:channel_layout={_layout_of(frame)}"
        )
        form = (
            f"sample_rates={context.sample_rate}:sample_fmts={context.format.name}:"
            f"channel_layouts={context.layout.name}"
        )
        nodes = [
            graph.add("abuffer", source),
            graph.add("aformat", form),
            graph.add("asettb", f"1/{context.sample_rate}"),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph

    def _flush(self) -> Iterator[Packet]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pull()
            self._graph = None

    def _pull(self) -> Iterator[Packet]:
        while True:
            try:
                piece = self._graph.pull()
            except (BlockingIOError, av.error.EOFError):
                return
            yield from self._place(piece)

    def _place(self, piece: Any) -> Iterator[Packet]:
        """Put a piece where it says it belongs."""
        at = self._next or 0
        if piece.pts is not None:
            factor, divisor = self._ticks
            at = (piece.pts * factor + divisor // 2) // divisor - self._offset
        if self._next is None:
            if at + piece.samples <= self._from:
                return
            self._next = max(self._from, at // SLOT * SLOT)
            shift = at - self._next
        else:
            shift = self._judge(at - self._next)
        if shift > SILENCE_S * self._rate:
            yield from self._silence(-self._next % SLOT)
            self._next = at // SLOT * SLOT
            shift = at - self._next
        if shift > 0:
            yield from self._silence(shift)
        elif shift < 0:
            piece = _cut_head(piece, -shift)
        if piece is not None:
            yield from self._append(piece)

    def _judge(self, drift: int) -> int:
        """By how many samples to correct a drift of so many."""
        if abs(drift) > self._gap:
            self._drifts.clear()
            return drift
        if abs(drift) <= self._drift or (self._drifts and drift * self._drifts[0] < 0):
            self._drifts.clear()
            return 0
        self._drifts.append(drift)
        if len(self._drifts) < DRIFT_PIECES:
            return 0
        least = min(self._drifts, key=abs)
        self._drifts.clear()
        return least

    def _silence(self, samples: int) -> Iterator[Packet]:
        while samples > 0:
            context = self.stream.codec_context
            piece = AudioFrame(context.format.name, context.layout.name, min(samples, SLOT))
            for plane in piece.planes:
                plane.update(bytes(plane.buffer_size))
            piece.sample_rate = self._rate
            samples -= piece.samples
            yield from self._append(piece)

    def _append(self, piece: Any) -> Iterator[Packet]:
        assert self._next is not None  # noqa: S101 - the caller saw to it
        piece.pts, piece.time_base = self._next, Fraction(1, self._rate)
        self._next += piece.samples
        yield from self._encoded(piece)

    def _encoded(self, piece: Any) -> Iterator[Packet]:
        for packet in self._encoder.encode(piece):
            if self._limit is None or packet.pts >= self._limit:
                yield packet


def _layout_of(frame: Any) -> str:
    """The layout's name; the usual one where the film only says how many channels."""
    name: str = frame.layout.name
    return LAYOUTS.get(frame.layout.nb_channels, name) if name.endswith("channels") else name


def _cut_head(piece: Any, samples: int) -> Any | None:
    """What is left of a piece without its first samples."""
    if samples >= piece.samples:
        return None
    fifo = AudioFifo()
    piece.pts = None
    fifo.write(piece)
    fifo.read(samples)
    return fifo.read()
