"""Small test films, made in process with PyAV; no ffmpeg binary, no network, no clock.

A film is what `Film` says; the container is the name's suffix. What libav's muxers do not
write (edit lists, matrices, several sample descriptions) `boxes.py` puts in afterwards.

Every picture shows its own number as a row of blocks and every audio packet its own
stretch of a rising tone, so that each packet's payload is unique and a payload's hash
identifies the packet.

    python tests/films.py --seconds 300 --out film.mp4 --width 1280 --height 720
"""

import argparse
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
from av.video.frame import VideoFrame

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 says its settings on stderr otherwise


@dataclass(frozen=True)
class Film:
    """What a test film is made of.

    Attributes:
        seconds: length.
        fps: pictures a second.
        gop_seconds: seconds between key frames.
        bframes: B-frames between reference frames; 0 for none.
        open_gop: key frames are followed by pictures shown before them, made from both sides.
        video_codec: encoder's name; None for a film without pictures.
        audio_codec: encoder's name; None for a silent film.
        audio_tracks: how many audio tracks.
        key_frames: pictures that are key frames, instead of `gop_seconds`.
        options: of the container, e.g. {"movflags": "faststart"}.
        start_s: time stamp of the film's start.
        video_delay_s, audio_delay_s: how much later than that each kind starts.
        gap: (film time, seconds): from there on everything is that much later.
        interleave_s: length of the runs in which tracks lie in the file; infinite for one
            track after the other.
        vfr: some pictures are left out, so that the rate varies.
        audio_seconds: length of the sound, where it is another one.
        languages: of the audio tracks.
        second_video: the encoder of one more track of pictures.
        subtitles: the codec of a track of text.
        cover: there is a cover picture.
        data: there is a track of data that is neither.
        timecode: of the first picture; MOV makes a track of it.
        encoder: more options of the pictures' encoder.
        pixel_shape, colours, tag: of the pictures; colours are (primaries, transfer, matrix).
    """

    seconds: float = 6.0
    width: int = 160
    height: int = 120
    fps: int | Fraction = 30
    gop_seconds: float = 2.0
    bframes: int = 2
    open_gop: bool = False
    video_codec: str | None = "libx264"
    audio_codec: str | None = "aac"
    audio_tracks: int = 1
    audio_rate: int = 48_000
    key_frames: tuple[int, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    start_s: float = 0.0
    video_delay_s: float = 0.0
    audio_delay_s: float = 0.0
    gap: tuple[float, float] | None = None
    interleave_s: float = 0.0
    vfr: bool = False
    audio_seconds: float | None = None
    languages: tuple[str, ...] = ()
    second_video: str | None = None
    subtitles: str | None = None
    cover: bool = False
    data: bool = False
    timecode: str | None = None
    encoder: tuple[tuple[str, str], ...] = ()
    pixel_shape: Fraction | None = None
    colours: tuple[int, int, int] | None = None
    tag: str | None = None
    threads: int = 1


Feed = Iterator[tuple[float, list[Any]]]
"""(film time, packets) of one track."""


def make_film(path: Path, film: Film = Film()) -> Path:
    """Write `film` to `path`; the container is chosen by the name's suffix."""
    options = dict(film.options)
    if film.interleave_s:
        options["max_interleave_delta"] = "1"  # as given, not as the muxer would have it
    with av.open(str(path), "w", options=options) as out:
        feeds = _feeds(out, film)
        heads = {index: next(feed) for index, feed in enumerate(feeds)}
        while heads:  # in time order, as cameras and editors write it, or in runs
            index = min(heads, key=lambda i: (_run(heads[i][0], film), i))
            out.mux(heads[index][1])
            following = next(feeds[index], None)
            if following is None:
                del heads[index]
            else:
                heads[index] = following
    return path


def _run(time: float, film: Film) -> float:
    return time // film.interleave_s if film.interleave_s else time


def _feeds(out, film: Film) -> list[Feed]:
    feeds = []
    if film.video_codec:
        feeds.append(_moved(_video(out, film, film.video_codec), film, film.video_delay_s))
    if film.second_video:
        feeds.append(_moved(_video(out, film, film.second_video), film, film.video_delay_s))
    if film.audio_codec:
        feeds += [
            _moved(_audio(out, film, track), film, film.audio_delay_s)
            for track in range(film.audio_tracks)
        ]
    if film.subtitles:
        feeds.append(_moved(_subtitles(out, film), film, 0))
    if film.data:
        feeds.append(_moved(_data(out, film), film, 0))
    if film.cover:
        feeds.append(_cover(out))
    return feeds


def _moved(feed: Feed, film: Film, delay_s: float) -> Feed:
    """The feed, at the times that the film wants."""
    late = film.start_s + delay_s
    for time, packets in feed:
        for packet in packets:
            shift = late
            if film.gap and packet.pts * packet.time_base >= film.gap[0]:
                shift += film.gap[1]
            if shift:
                ticks = round(Fraction(shift) / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        gone = film.gap[1] if film.gap and time >= film.gap[0] else 0
        yield time + late + gone, packets


ENCODER_OPTIONS = {
    "libx264": {"preset": "ultrafast", "crf": "28"},
    "libx265": {"preset": "ultrafast", "crf": "32"},
    "libsvtav1": {"preset": "12", "crf": "50"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "45"},
}


def _encoder_options(film: Film, codec: str, gop: int) -> dict[str, str]:
    options = {"g": str(gop)} | ENCODER_OPTIONS.get(codec, {})
    if codec == "libx265":
        options["x265-params"] = (
            f"keyint={gop}:min-keyint={gop}:bframes={film.bframes}:scenecut=0:log-level=none:"
            f"open-gop={int(film.open_gop)}:pools=none:frame-threads=1:info=0"
        )
    elif codec == "libsvtav1":
        options["svtav1-params"] = "lp=1"
    elif codec == "libx264":
        options |= {"bf": str(film.bframes), "sc_threshold": "0", "forced-idr": "1"}
        if film.open_gop:
            options["x264-params"] = "open-gop=1"
            del options["forced-idr"]
        else:
            options["flags"] = "+cgop"
    elif codec in {"mpeg4", "mpeg2video"}:
        options |= {"bf": str(film.bframes), "sc_threshold": "1000000000"}
    return options | dict(film.encoder)


def _video(out, film: Film, codec: str) -> Feed:
    gop = 100_000 if film.key_frames else round(film.gop_seconds * film.fps)
    stream = out.add_stream(codec, rate=film.fps, options=_encoder_options(film, codec, gop))
    stream.width, stream.height, stream.pix_fmt = film.width, film.height, "yuv420p"
    context, tick = stream.codec_context, 1 / Fraction(film.fps)
    stream.time_base = context.time_base = tick
    context.thread_count = film.threads
    if film.tag:
        context.codec_tag = film.tag
    if film.pixel_shape:
        context.sample_aspect_ratio = film.pixel_shape
    if film.colours:
        context.color_primaries, context.color_trc, context.colorspace = film.colours
    if film.timecode:
        stream.metadata["timecode"] = film.timecode
    picture = _Picture(film.width, film.height)
    total = round(film.seconds * film.fps)
    for number in range(total):
        if film.vfr and number % 60 and random.Random(number).random() < 0.3:
            continue
        frame = picture.frame(number)
        frame.pts, frame.time_base = number, tick
        if number in film.key_frames:
            frame.pict_type = av.video.frame.PictureType.I
        yield float(number * tick), stream.encode(frame)
    yield film.seconds, stream.encode(None)


class _Picture:
    """A grey ramp; in its top rows the picture's number in blocks, and a patch of noise.

    One frame is drawn over and over: libx264 copies its input, and at 720p fresh
    frames would cost more than the encoding.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.shared = VideoFrame(width, height, "yuv420p")
        ramp = bytes(40 + 120 * x // width for x in range(width))
        luma = self.shared.planes[0]
        luma.update((ramp + bytes(luma.line_size - width)) * height)
        for plane in self.shared.planes[1:]:
            plane.update(b"\x70" * plane.buffer_size)

    def frame(self, number: int) -> VideoFrame:
        block = max((self.width - 32) // 20, 2)
        digits = b"".join((b"\xe0" if number >> bit & 1 else b"\x20") * block for bit in range(20))
        noise = random.Random(number).randbytes(32 * 16)
        luma = self.shared.planes[0]
        pixels, stride = memoryview(luma), luma.line_size
        for row in range(16):
            line = noise[32 * row : 32 * row + 32] + digits
            pixels[row * stride : row * stride + min(self.width, len(line))] = line[: self.width]
        return self.shared


def _audio(out, film: Film, track: int) -> Feed:
    rate = film.audio_rate
    stream = out.add_stream(film.audio_codec, rate=rate, layout="mono")
    if film.audio_codec == "aac":
        stream.bit_rate = 64_000
    if film.languages:
        stream.metadata["language"] = film.languages[track]
    # Without this the encoder writes its own version into the payload's first packet.
    stream.codec_context.flags |= 0x800000
    tone = f"0.3*sin(2*PI*({200 + 150 * track}*t+3*t*t))+0.02*random({track})"
    graph = av.filter.Graph()
    length = film.audio_seconds or film.seconds
    source = graph.add("aevalsrc", f"{tone}:s={rate}:d={length}:n=1024")
    form = stream.codec_context.format.name
    shape = graph.add("aformat", f"sample_fmts={form}:channel_layouts=mono")
    graph.link_nodes(source, shape, graph.add("abuffersink")).configure()
    at = 0.0
    while True:
        try:
            frame = graph.pull()
        except (av.error.EOFError, BlockingIOError):
            break
        at = frame.pts / rate
        yield at, stream.encode(frame)
    yield at, stream.encode(None)


def _subtitles(out, film: Film) -> Feed:
    """A line of text every second."""
    stream = out.add_mux_stream(film.subtitles, time_base=Fraction(1, 1000))
    for second in range(int(film.seconds)):
        text = f"It is {second} o'clock.".encode()
        if film.subtitles == "mov_text":
            text = len(text).to_bytes(2, "big") + text
        yield second, [_packet(stream, text, second, 1)]


def _data(out, film: Film) -> Feed:
    stream = out.add_data_stream("klv")
    for second in range(int(film.seconds)):
        key = bytes.fromhex("060e2b34020b01010e01030101000000")
        yield second, [_packet(stream, key + b"\x04%04d" % second, second, 1)]


def _cover(out) -> Feed:
    stream = out.add_mux_stream("mjpeg", width=16, height=16)
    stream.disposition = av.stream.Disposition.attached_pic
    jpeg = av.CodecContext.create("mjpeg", "w")
    jpeg.width, jpeg.height, jpeg.pix_fmt = 16, 16, "yuvj420p"
    jpeg.time_base = Fraction(1, 25)
    content = bytes(jpeg.encode(VideoFrame(16, 16, "yuvj420p"))[0])
    yield 0, [_packet(stream, content, 0, 0)]


def _packet(stream, content: bytes, time_s: int, length_s: int):
    packet = av.Packet(content)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = 1000 * time_s
    packet.duration = 1000 * length_s
    packet.is_keyframe = True
    return packet


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--gop-seconds", type=float, default=2)
    parser.add_argument("--faststart", action="store_true", help="MP4: the index comes first")
    values = parser.parse_args()
    make_film(
        values.out,
        Film(
            seconds=values.seconds,
            width=values.width,
            height=values.height,
            fps=values.fps,
            gop_seconds=values.gop_seconds,
            options=(("movflags", "faststart"),) if values.faststart else (),
            threads=2,
        ),
    )


if __name__ == "__main__":
    main()
