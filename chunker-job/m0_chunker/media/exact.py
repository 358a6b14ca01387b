"""Cuts at any picture without encoding the whole film: only groups of pictures with a cut are.

From the cut to the next closed group's start, pictures are encoded anew, with a key frame at
the cut; so are the few just before it that were predicted from one behind it. All other
packets stay the film's own. The two kinds of packets have a parameter set each, under
different ids, and the chunk's description holds both: H.264 lets a stream change from one to
the other at an IDR picture. What comes out is a feed like any other, with key frames at the
wanted times: the splitter cuts there as it always does.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from typing import Any

import av
from av.video.frame import PictureType

from m0_chunker.media.avc import ParameterSets, add_parameter_sets, is_idr
from m0_chunker.media.feed import CopyFeed, PlainFeed
from m0_chunker.media.mp4.template import TrackTemplate
from m0_chunker.media.normalise import lengths_for_start_codes
from m0_chunker.media.packets import Packet
from m0_chunker.media.source import Film
from m0_chunker.plan import CutPlan
from m0_chunker.settings import Settings

SECTION_BYTES = 64 * 2**20
"""A group of pictures is kept while it is open whether it has a cut; bigger ones are not cut."""

PIXEL_FORMATS = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le"})
PROFILES = {66: "baseline", 77: "main"}
"""H.264's profile_idc → libx264's name; all others are `high` and above."""

MAX_NOTES = 5
"""A film may have thousands of cuts with the same trouble."""

_KEYS_LOOKED_AT = 20


def unspliceable(film: Film) -> str | None:
    """Why a film can't be cut in this way; None: it can."""
    video = film.video
    if video is None:
        return "it has no pictures"
    context = video.codec_context
    if context.name != "h264":
        return f"{context.name} can't be spliced"
    if context.pix_fmt not in PIXEL_FORMATS:
        return f"pictures are {context.pix_fmt}"
    sets = ParameterSets.read(context.extradata)
    if sets is None:
        return "its parameter sets are not in its header"
    if sets.free_id() is None:
        return "its parameter sets leave no room for one more"
    closed = not film.is_mp4 or _is_closed(film, video)
    return None if closed else "its groups of pictures are open"


def _is_closed(film: Film, video: Any) -> bool:
    """Whether the film's first key frames are IDR pictures."""
    keys = [entry for entry in video.index_entries if entry.is_keyframe][1:_KEYS_LOOKED_AT]
    position = film.file.tell()
    try:
        for entry in keys:
            film.file.seek(entry.pos)
            if not is_idr(film.file.read(min(entry.size, 4096)), lengths=True):
                return False
    finally:
        film.file.seek(position)
    return True


class ExactFeed(PlainFeed):
    """See `PacketFeed`."""

    def __init__(self, film: Film, plan: CutPlan, resume_at: Fraction, settings: Settings) -> None:
        """Args:
        film: one that is not `unspliceable`.
        plan: where key frames are wanted.
        resume_at: what lies before is done; nothing is encoded there; seconds.
        settings: of the encoder.
        """
        self._copy = CopyFeed(film)
        self._film, self._plan, self._resume_at = film, plan, resume_at
        self.templates, self.reference = self._copy.templates, self._copy.reference
        self.start, self.notes = self._copy.start, self._copy.notes
        self.encoded: set[int] = set()
        self._video = film.streams[film.reference]
        self._base = Fraction(self._video.time_base)
        self._lengths = bool(self._video.codec_context.extradata[0] == 1)
        sets = ParameterSets.read(self._video.codec_context.extradata)
        assert sets is not None  # noqa: S101 - see unspliceable
        self._encoder = _Encoder(self._video, sets, settings)
        self._next = 1
        self._before: Fraction | None = None
        self._section: list[Packet] = []
        self._section_bytes = 0

    def adapt(self, number: int, template: TrackTemplate) -> TrackTemplate:
        """The reference's description holds the encoder's parameter sets as well."""
        if number != self.reference:
            return template
        return add_parameter_sets(template, self._encoder.sets)

    def packets(self) -> Iterator[tuple[int, Packet]]:
        """See `PacketFeed`."""
        reference = self.reference
        for number, packet in self._copy.packets():
            if number != reference:
                yield number, packet
                continue
            if packet.is_keyframe and is_idr(packet, lengths=self._lengths):
                for done in self._close_section(packet.pts):
                    yield reference, done
            self._section_bytes += packet.size
            self._section.append(packet)
            if self._section_bytes > SECTION_BYTES:  # not kept any longer, nor any that follow
                yield from ((reference, done) for done in self._section)
                self._section.clear()
        for done in self._close_section(None):
            yield reference, done

    def _close_section(self, next_pts: int | None) -> Iterator[Packet]:
        section, self._section = self._section, []
        size, self._section_bytes = self._section_bytes, 0
        if size > SECTION_BYTES:
            self._pass_by(next_pts)
        if not section:
            return
        cuts = self._cuts_within(section, next_pts)
        if not cuts:
            yield from section
            return
        yield from self._splice(section, cuts)

    def _pass_by(self, next_pts: int | None) -> None:
        """A group of pictures was too big: where it has a cut, that is at its own key frames."""
        first = self._next
        while next_pts is not None and self._wanted() < self._seconds(next_pts):
            self._pass(self._wanted())
        if self._next > first or next_pts is None:
            self._note(f"a group of pictures has more than {SECTION_BYTES >> 20} MiB", first)

    def _note(self, reason: str, number: int) -> None:
        """Say that the `number`th cut is not where it should be; often enough, not each time."""
        if len(self.notes) < MAX_NOTES:
            time = float(self._plan.wanted_key(number))
            self.notes.append(f"{reason}: not cut exactly at {time:.3f} s")
        elif len(self.notes) == MAX_NOTES:
            self.notes.append("there are more cuts that are not exact")

    def _wanted(self) -> Fraction:
        return self._plan.wanted_key(self._next, self._before)

    def _pass(self, time: Fraction) -> None:
        """The next key frame is the one after a picture of this time."""
        self._next, self._before = self._next + 1, time

    def _seconds(self, pts: int) -> Fraction:
        return pts * self._base - self.start

    def _cuts_within(self, section: list[Packet], next_pts: int | None) -> list[int]:
        """Times of the pictures at which a cut is wanted, ticks; without the first picture."""
        times = sorted(packet.pts for packet in section)
        last = section[-1]
        end = self._seconds(times[-1] + (last.duration or 1) if next_pts is None else next_pts)
        cuts = []
        while (wanted := self._wanted()) <= end + self._plan.tolerance:
            at = next((t for t in times if self._seconds(t) + self._plan.tolerance >= wanted), None)
            if at is None:
                if next_pts is None or wanted < end - self._plan.tolerance:
                    self._pass(end)
                    continue
                break
            boundary = wanted // self._plan.duration * self._plan.duration
            enough = next_pts is not None or self._plan.is_enough(boundary, end)
            self._pass(self._seconds(at))
            if at != times[0] and enough:
                cuts.append(at)
        # All or none: what is encoded after a cut depends on what was before it.
        is_done = bool(cuts) and self._seconds(cuts[-1]) < self._resume_at - self._plan.tolerance
        return [] if is_done else sorted(set(cuts))

    def _splice(self, section: list[Packet], cuts: list[int]) -> Iterator[Packet]:
        """Keep what comes, and is decoded, before the first cut; encode the rest."""
        times = [packet.pts for packet in section]
        highest = list(accumulate(times, max))
        lowest = list(accumulate(reversed(times), min))[::-1]
        kept = max(
            (
                n
                for n in range(1, len(times))
                if highest[n - 1] < lowest[n] and highest[n - 1] < cuts[0]
            ),
            default=0,
        )
        fresh = self._encoder.encode(section, lowest[kept], set(cuts), annexb=not self._lengths)
        if fresh is None:
            self._note("damaged or interlaced pictures", self._next - 1)
            yield from section
            return
        yield from section[:kept]
        replaced = section[kept:]
        durations = {packet.pts: packet.duration for packet in replaced}
        decoding = sorted(packet.dts for packet in replaced)
        for packet, dts in zip(fresh, decoding, strict=True):
            packet.dts = dts
            packet.duration = durations.get(packet.pts) or 1
            self.encoded.add(packet.pts)
            yield packet


class _Encoder:
    """Encodes a stretch of a group of pictures, the same way every time."""

    def __init__(self, video: Any, sets: ParameterSets, settings: Settings) -> None:
        self._video = video
        self._options = {
            "preset": settings.x264_preset,
            "crf": str(max(settings.x264_crf - 5, 0)),  # next to the film's own pictures
            "forced-idr": "1",
            "bf": "0",
            "profile": PROFILES.get(sets.profile, "high" if sets.profile <= 100 else ""),
            # mbtree is the one thing in libx264 that gives other bytes now and then.
            "x264-params": f"sps-id={sets.free_id()}:keyint=infinite:scenecut=0:mbtree=0",
        }
        if not self._options["profile"]:
            del self._options["profile"]
        self._threads = settings.thread_count
        opened = self._open()
        opened.open()
        own = ParameterSets.read(opened.extradata)
        assert own is not None  # noqa: S101 - libx264 always gives them
        self.sets = own

    def _open(self) -> Any:
        source = self._video.codec_context
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height = source.width, source.height
        encoder.pix_fmt = source.pix_fmt
        encoder.time_base = self._video.time_base
        encoder.framerate = self._video.average_rate or Fraction(25)
        if source.sample_aspect_ratio is not None:
            encoder.sample_aspect_ratio = source.sample_aspect_ratio
        for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
            setattr(encoder, name, getattr(source, name))
        encoder.flags |= av.codec.context.Flags.global_header
        encoder.thread_count = self._threads
        encoder.options = dict(self._options)
        return encoder

    def encode(
        self, section: list[Packet], since: int, cuts: set[int], *, annexb: bool
    ) -> list[Packet] | None:
        """Pictures from `since` on, key frames at it and at `cuts`; None: they can't be had."""
        encoder, fresh = self._open(), []
        wanted = sum(packet.pts >= since for packet in section)
        try:
            for frame in self._decode(section):
                if frame.pts is None or frame.pts < since:
                    continue
                if frame.interlaced_frame:
                    return None
                key = frame.pts in cuts or frame.pts == since
                frame.pict_type = PictureType.I if key else PictureType.NONE
                fresh.extend(encoder.encode(frame))
            fresh.extend(encoder.encode(None))
        except av.error.FFmpegError:
            return None
        if len(fresh) != wanted:
            return None
        return fresh if annexb else [self._rewrapped(packet) for packet in fresh]

    def _decode(self, section: list[Packet]) -> Iterator[Any]:
        decoder = av.CodecContext.create("h264", "r")
        decoder.extradata = self._video.codec_context.extradata
        decoder.thread_count = self._threads
        for packet in section:
            yield from decoder.decode(packet)
        yield from decoder.decode(None)

    def _rewrapped(self, packet: Packet) -> Packet:
        changed = av.Packet(lengths_for_start_codes(packet))
        changed.pts, changed.is_keyframe = packet.pts, packet.is_keyframe
        return changed
