"""Cuts a film by its index alone: no packet is touched, only ranges of bytes are moved.

For progressive MP4 and MOV. Boundaries, contents and times are the general path's
(`splitter`), found by looking up instead of by reading.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import compress, count, islice, pairwise, repeat
from operator import add, lt, ne, sub

from m0_contract.errors import ErrorCode

from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.media.certificate import ChunkFacts
from m0_chunker.media.clock import Clock
from m0_chunker.media.mp4.build import ChunkTrack
from m0_chunker.media.mp4.index import UnsuitableIndexError
from m0_chunker.media.mp4.lookup import KeyFrames, Stretch, runs_between
from m0_chunker.media.mp4.template import TrackTemplate, without_priming
from m0_chunker.media.mp4.track import REORDER, TrackIndex
from m0_chunker.media.seal import Head, make_head, seal
from m0_chunker.media.source import Film
from m0_chunker.media.splitter import OUTLAST
from m0_chunker.media.spool import Spool, Spooling
from m0_chunker.plan import CutPlan, Resumption, late

_READ_BYTES = 2**20

Span = tuple[int, int]
"""(offset in the film, length), bytes."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A chunk to be.

    Attributes:
        chunk_id: from 1.
        start: seconds since the film's start.
        end: likewise.
        next_start: likewise; None for the last.
        shift: how far `start` is behind its nominal time, seconds.
        parts: (first sample, sample after the last) of each track.
        repeated: how many samples of each track are in the next chunk as well.
    """

    chunk_id: int
    start: Fraction
    end: Fraction
    next_start: Fraction | None
    shift: Fraction
    parts: tuple[tuple[int, int], ...]
    repeated: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A chunk without its media data.

    Attributes:
        part: what it consists of.
        spans: what is to be read of the film.
        head: what comes before it.
        facts: what it adds to the certificate, but for its size and hash.
    """

    part: Slice
    spans: list[Span]
    head: Head
    facts: partial[ChunkFacts]


GROUP_SAMPLES = 2000
"""Small chunks are drafted several at a time, of so many samples together: code that runs again
at once finds itself in the processor's caches, where moving a chunk's bytes leaves nothing."""


def grouped(slices: Sequence[Slice]) -> Iterator[list[Slice]]:
    """Consecutive ones that are drafted together."""
    group: list[Slice] = []
    samples = 0
    for part in slices:
        own = sum(after - first for first, after in part.parts)
        if group and samples + own > GROUP_SAMPLES:
            yield group
            group, samples = [], 0
        group.append(part)
        samples += own
    if group:
        yield group


class Slicer:
    """A film's chunks, by its index."""

    def __init__(
        self,
        film: Film,
        tracks: Sequence[TrackIndex],
        templates: Sequence[TrackTemplate],
        plan: CutPlan,
        spooling: Spooling,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        film: its bytes, its start, and which stream is the reference.
        tracks: of its streams, in their order.
        templates: likewise.
        plan: where to cut.
        spooling: where chunks are kept.
        check: called now and then; raises when nobody wants the chunks any more.

        Raises:
            UnsuitableIndexError: times go back and forth where they must not.
        """
        self._film, self._tracks, self._templates = film, tracks, templates
        self._plan, self._spooling, self._check = plan, spooling, check
        self._reference = tracks[film.reference]
        self._keys = KeyFrames(self._reference)
        self._clocks = [_clock_of(track, film.start) for track in tracks]
        self._clock = self._clocks[film.reference]
        for number, track in enumerate(tracks):
            if number != film.reference and track.offsets is not None:
                raise UnsuitableIndexError("its sound is not in order")
        self.end = self._find_end()

    @property
    def kinds(self) -> str:
        """`v` or `a` for each stream."""
        return "".join(stream.type[0] for stream in self._film.streams)

    @property
    def delivered(self) -> list[int]:
        """Packets of each stream in the film."""
        return [track.samples for track in self._tracks]

    def chunks(self, resumption: Resumption) -> Iterator[tuple[Chunk, ChunkFacts]]:
        """Chunks, in order, after those that are done already; the taker closes their bodies."""
        slices = self.slices()
        if resumption.chunks and (
            resumption.chunks >= len(slices) or slices[resumption.chunks].start != resumption.end
        ):
            raise ChunkerError(ErrorCode.INTEGRITY, "the film is not cut as an earlier attempt did")
        for group in grouped(slices[resumption.chunks :]):
            for draft in list(map(self._draft, group)):
                self._check()
                yield self._fill(draft)

    def slices(self) -> list[Slice]:
        """What each chunk will consist of."""
        cuts = self._cuts()
        slices = []
        for at, (start, nominal, parts) in enumerate(cuts):
            following = None
            end, until, repeated = self.end, self.delivered, [0] * len(parts)
            if at + 1 < len(cuts):
                following, _, next_parts = cuts[at + 1]
                end, until = following, next_parts
                if self._plan.overlap:
                    end, until = self._reach(following)
                repeated = [b - a for a, b in zip(next_parts, until, strict=True)]
            spans = tuple(zip(parts, until, strict=True))
            shift = late(start, nominal)
            slices.append(Slice(at + 1, start, end, following, shift, spans, tuple(repeated)))
        return slices

    def _cuts(self) -> list[tuple[Fraction, Fraction, list[int]]]:
        """(boundary, nominal time, first sample of each track) of each chunk."""
        plan, cuts = self._plan, [(Fraction(0), Fraction(0), [0] * len(self._tracks))]
        while True:
            nominal = plan.next_nominal(cuts[-1][0])
            sample = self._key_at(nominal)
            if sample == 0:  # pictures that begin late: no chunk is to be without
                sample = self._keys.first_at(self._reference.pts(0) + 1)
            if sample is None:
                return cuts
            time = self._clock.time(self._reference.pts(sample))
            if not plan.is_enough(time, self.end):
                return cuts
            cuts.append((time, nominal, self._samples_at(time, sample)))

    def _reach(self, boundary: Fraction) -> tuple[Fraction, list[int]]:
        """Where the chunk before `boundary` ends: there, or after the overlap."""
        sample = self._key_at(boundary + self._plan.overlap)
        if sample is None:
            return self.end, self.delivered
        time = self._clock.time(self._reference.pts(sample))
        return time, self._samples_at(time, sample)

    def _key_at(self, time: Fraction) -> int | None:
        """The first key frame at or after `time`, seconds since the film's start."""
        return self._keys.first_at(self._clock.first_from(time - self._plan.tolerance))

    def _samples_at(self, time: Fraction, key_frame: int) -> list[int]:
        """The first sample of each track that belongs after a boundary."""
        return [
            key_frame if track is self._reference else track.first_at(clock.first_from(time))
            for track, clock in zip(self._tracks, self._clocks, strict=True)
        ]

    def _find_end(self) -> Fraction:
        ends = [
            clock.time(track.longest(0, track.samples))
            for track, clock in zip(self._tracks, self._clocks, strict=True)
        ]
        own = ends[self._film.reference]
        return max(ends) if max(ends) > own + OUTLAST else own

    def _draft(self, part: Slice) -> Draft:
        """All of a chunk but its media data."""
        used = [number for number, (first, after) in enumerate(part.parts) if after > first]
        runs = [runs_between(self._tracks[number], *part.parts[number]) for number in used]
        spans, places = lay_out(runs)
        shown = [self._first_shown(number, *part.parts[number]) for number in used]
        tracks = list(map(self._describe, repeat(part), used, shown, runs, places))
        head = make_head(part.chunk_id, tracks, sum(length for _, length in spans))
        leading = 0
        if part.parts[self._film.reference][0] and self._film.reference in used:
            leading = _count_leading(shown[used.index(self._film.reference)])
        return Draft(part, spans, head, self._state_facts(part, used, head, leading))

    def _fill(self, draft: Draft) -> tuple[Chunk, ChunkFacts]:
        """Put the media data to it."""
        part, head = draft.part, draft.head
        spool = self._spooling.open(head.payload_bytes)
        try:
            self._fetch(draft.spans, spool)
            chunk = seal(
                part.chunk_id, part.start, part.end, part.next_start, head=head, spool=spool
            )
        except BaseException:
            spool.close()
            raise
        return chunk, draft.facts(size_bytes=chunk.size_bytes, sha256=bytes.fromhex(chunk.sha256))

    def _fetch(self, spans: Sequence[tuple[int, int]], spool: Spool) -> None:
        file = self._film.file
        for offset, length in spans:
            file.seek(offset)
            left = length
            while left:
                data = file.read(min(left, _READ_BYTES))
                if not data:
                    raise self._film.cut_off()
                spool.write(data)
                left -= len(data)
            self._check()

    def _describe(
        self,
        part: Slice,
        number: int,
        shown: Sequence[int],
        runs: Stretch,
        places: Sequence[int],
    ) -> ChunkTrack:
        track, (first, after) = self._tracks[number], part.parts[number]
        clock, start = self._clocks[number], track.dts(first)
        sync, hidden = track.sync, 0 if first else track.hidden
        if shown:
            hidden = min(shown) - start
        if sync is not None:
            low, high = bisect_left(sync, first), bisect_left(sync, after)
            sync = array("I", map(sub, sync[low:high], repeat(first)))
        template, deltas = self._templates[number], track.deltas.between(first, after)
        return ChunkTrack(
            template=without_priming(template) if first else template,
            timescale=track.timescale,
            sizes=track.sizes[first:after],
            deltas=deltas,
            duration=deltas.total,
            offsets=track.offsets.between(first, after) if track.offsets else None,
            sync=sync,
            run_counts=runs.counts,
            run_places=places,
            run_descriptions=runs.descriptions,
            begin=clock.ticks_between(start, part.start),
            hidden=hidden,
            span=clock.seconds_between(part.start, track.longest(first, after)),
        )

    def _first_shown(self, number: int, first: int, after: int) -> Sequence[int]:
        """When the first pictures are shown, ticks; nothing where none are reordered."""
        track = self._tracks[number]
        return () if track.offsets is None else track.shown(first, min(first + REORDER, after))

    def _state_facts(
        self, part: Slice, used: Sequence[int], head: Head, leading: int
    ) -> partial[ChunkFacts]:
        written = [0] * len(part.parts)
        for number, track in zip(used, head.tracks, strict=True):
            expected = self._tracks[number].ends
            first, after = part.parts[number]
            whole = track.size_bytes == expected[after] - expected[first]
            written[number] = track.samples if whole else 0
        reference, (first, after) = self._reference, part.parts[self._film.reference]
        return partial(
            ChunkFacts,
            read=[after - first for first, after in part.parts],
            written=written,
            repeated=part.repeated,
            gap_s=max(reference.deltas.between(first, after).values) / reference.timescale,
            shift_s=float(part.shift),
            leading=leading,
        )


def lay_out(tracks: Sequence[Stretch]) -> tuple[list[Span], list[list[int]]]:
    """Keep samples in the film's own order, without what lies between.

    Args:
        tracks: whose samples; none over another.

    Returns:
        What is to be read of the film; and where each track's runs are in that.
    """
    starts: list[int] = []
    ends: list[int] = []
    for track in tracks:
        starts += track.offsets
        ends += map(add, track.offsets, track.lengths)
    starts.sort()
    ends.sort()
    gaps = compress(count(1), map(ne, islice(starts, 1, None), ends))
    spans: list[Span] = []
    places: list[list[int]] = [[] for _ in tracks]
    read = 0
    for first, after in pairwise([0, *gaps, len(starts)]):
        begin, end = starts[first], ends[after - 1]
        spans.append((begin, end - begin))
        for track, found in zip(tracks, places, strict=True):
            known = len(found)
            inside = track.offsets[known : bisect_left(track.offsets, end, known)]
            found.extend(map(sub, inside, repeat(begin - read)))
        read += end - begin
    return spans, places


def _clock_of(track: TrackIndex, start: Fraction) -> Clock:
    """The clock of `track` in a film that starts at `start`."""
    tick = Fraction(1, track.timescale)
    return Clock.of(start - track.shift * tick, tick)


def _count_leading(shown: Sequence[int]) -> int:
    """Pictures that come after a boundary's key frame and are shown before it."""
    return sum(map(lt, shown, repeat(shown[0]))) if shown else 0
