"""Chooses how a film is cut: by its index, packet by packet, spliced, or encoded anew."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from m0_contract.errors import ErrorCode
from m0_contract.outcome import Integrity
from m0_contract.request import VideoPreprocessing

from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.media.certificate import Certificate
from m0_chunker.media.feed import CopyFeed, PacketFeed
from m0_chunker.media.mp4.boxes import read_exactly
from m0_chunker.media.mp4.index import UnsuitableIndexError, is_quicktime, read_index
from m0_chunker.media.mp4.template import TrackTemplate, borrow_template, read_template
from m0_chunker.media.mp4.track import TrackIndex
from m0_chunker.media.slicer import Slicer
from m0_chunker.media.source import Film, Limits, check_end, no_pictures
from m0_chunker.media.splitter import Splitter
from m0_chunker.media.spool import Spooling
from m0_chunker.media.wanted import wants_transcode
from m0_chunker.plan import CutPlan, Resumption
from m0_chunker.settings import Settings

if TYPE_CHECKING:
    from m0_chunker.media.direct import DirectFeed


@dataclass
class Cutter:
    """Cuts one film.

    Attributes:
        film: open.
        wanted: what the request says of it.
        settings: the deployment's.
        limits: of the deployment.
        spooling: where chunks are kept.
        check: called now and then; raises when nobody wants the chunks any more.
        mode: `copy` or `transcode`.
        method: how: by the `index`, by `blocks`, by `units`, by `packets`, `spliced`,
            `encoded`.
        notes: what a person should know of the way it was done; plain sentences.
    """

    film: Film
    wanted: VideoPreprocessing
    settings: Settings
    limits: Limits
    spooling: Spooling
    check: Callable[[], None]
    mode: str = "copy"
    method: str = "packets"
    notes: list[str] = field(default_factory=list)

    def chunks(self, resumption: Resumption) -> Iterator[Chunk]:
        """The chunks that an earlier attempt has not done, in order; chooses the way at once.

        Raises:
            ChunkerError: why it can't be cut, or INTEGRITY if something got lost on the way.
        """
        self._certificate = Certificate()
        if resumption.certificate:
            self._certificate = Certificate.load(resumption.certificate)
        return self._certified(self._choose(resumption), resumption)

    def _certified(self, source: Slicer | Splitter, resumption: Resumption) -> Iterator[Chunk]:
        before = list(self._certificate.written)
        for chunk, facts in source.chunks(resumption):
            if chunk.chunk_id > self.limits.chunks:
                chunk.body.close()
                raise ChunkerError(
                    ErrorCode.LIMIT_EXCEEDED,
                    f"the film would become more than {self.limits.chunks} chunks",
                )
            if self.film.video is not None and not facts.read[self._reference]:
                chunk.body.close()
                raise no_pictures(self.film)
            self._certificate.kinds = source.kinds
            self._certificate.add(facts, chunk.chunk_id)
            if not chunk.next_start:  # the last chunk, in a store, proves that the film was whole
                check_end(self.film, source.end)
                self._certificate.check(source.delivered, before if self._skips else None)
                self._end = source.end
            yield replace(chunk, certificate=self._certificate.dump())

    def certify(self) -> Integrity:
        """The certificate of the whole film; after the last chunk."""
        film_s = None if self.film.duration is None else float(self.film.duration)
        notes = self.film.notes + self.notes + (self._feed.notes if self._feed else [])
        integrity = self._certificate.to_integrity(
            float(self._end),
            film_s,
            source=self._feed.source_counts() if self._feed else None,
            notes=notes or None,
        )
        missing_s = round(float(self.film.missing_s), 3)  # of sound, where the pictures go on
        if missing_s > integrity.model_dump()["missing_s"]:
            integrity = integrity.model_copy(update={"missing_s": missing_s})
        return integrity

    @property
    def _skips(self) -> bool:
        return self._feed is not None and self._feed.skips

    def _choose(self, resumption: Resumption) -> Slicer | Splitter:
        plan = self._plan()
        self._feed: PacketFeed | None = None
        feed = self._choose_feed(plan, resumption)
        if isinstance(feed, CopyFeed) and self.film.is_mp4 and not self.film.missing_bytes:
            with suppress(UnsuitableIndexError):
                slicer = self._slicer(plan)
                self.method = "index"
                return slicer
        self._feed = feed
        return Splitter(feed, plan, self.spooling, check=self.check)

    @property
    def _reference(self) -> int:
        return self._feed.reference if self._feed else self.film.reference

    def _plan(self) -> CutPlan:
        reference = self.film.streams[self.film.reference]
        return CutPlan(
            Fraction(str(self.wanted.chunk_duration)),
            Fraction(str(self.settings.tail_fraction)),
            Fraction(reference.time_base) / 2,
            Fraction(str(self.wanted.overlap)),
        )

    def _slicer(self, plan: CutPlan) -> Slicer:
        film, file = self.film, self.film.file
        if sum(stream.type == "video" for stream in film.streams) > 1:
            raise UnsuitableIndexError("it has several video tracks")
        position = file.tell()
        try:
            tracks = read_index(file, file.size_bytes, [each.id for each in film.streams])
            foreign = is_quicktime(file, file.size_bytes)
            templates = [
                self._borrow(stream, track) if foreign else read_template(track.trak)
                for stream, track in zip(film.streams, tracks, strict=True)
            ]
        finally:
            file.seek(position)  # libav, should it read on, believes to be there
        return Slicer(film, tracks, templates, plan, self.spooling, check=self.check)

    def _borrow(self, stream: Any, track: TrackIndex) -> TrackTemplate:
        """What QuickTime's words for a track are in MP4, from its first packet."""
        file = self.film.file
        first = av.Packet(read_exactly(file, track.runs.offsets[0], track.sizes[0]))
        first.duration = track.deltas.values[0]
        return borrow_template(stream, first)

    def _copy(self) -> CopyFeed:
        """The film's own packets, by the quickest way that there is."""
        name = self.film.container.format.name
        feed: DirectFeed
        # Imported only where there are any.
        if "matroska" in name:
            from m0_chunker.media.mkv.feed import BlockFeed  # noqa: PLC0415

            feed = BlockFeed(self.film)
        elif name == "mpegts":
            from m0_chunker.media.ts.feed import UnitFeed  # noqa: PLC0415

            feed = UnitFeed(self.film)
        else:
            return CopyFeed(self.film)
        if feed.is_direct:
            self.method = feed.method
        return feed

    def _choose_feed(self, plan: CutPlan, resumption: Resumption) -> PacketFeed:
        film, wanted = self.film, self.wanted
        transcode = wants_transcode(film, wanted)
        if not transcode and wanted.precision == "exact" and film.video is not None:
            from m0_chunker.media.exact import ExactFeed, unspliceable  # noqa: PLC0415

            reason = unspliceable(film)
            if reason is None:
                self.method = "spliced"
                return ExactFeed(film, plan, resumption.end, self.settings)
            self.notes.append(f"cut exactly by transcoding: {reason}")
            transcode = True
        if not transcode:
            return self._copy()
        from m0_chunker.media.transcode import Encoding, TranscodeFeed  # noqa: PLC0415

        self.mode, self.method = "transcode", "encoded"
        encoding = Encoding(
            wanted,
            self.settings.x264_preset,
            self.settings.x264_crf,
            self.settings.thread_count,
        )
        return TranscodeFeed(film, encoding, plan.wanted_key, resumption.end)
