"""Small test films, made in process with PyAV; no ffmpeg binary, no network, no clock.

Every picture shows its own number as a row of blocks and every audio packet its own
stretch of a rising tone, so that each packet's payload is unique and a payload's hash
identifies the packet.

    python tests/films.py --seconds 300 --out film.mp4 --width 1280 --height 720
"""

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.filter
from av.video.frame import VideoFrame


@dataclass(frozen=True)
class Film:
    """What a test film is made of.

    Attributes:
        seconds: length.
        fps: pictures a second.
        gop_seconds: seconds between key frames.
        bframes: B-frames between reference frames; 0 for none.
        video_codec: encoder's name; None for a film without pictures.
        audio_codec: encoder's name; None for a silent film.
        audio_tracks: how many audio tracks.
        key_frames: pictures that are key frames, instead of `gop_seconds`.
        options: of the container, e.g. {"movflags": "faststart"}.
    """

    seconds: float = 6.0
    width: int = 160
    height: int = 120
    fps: int = 30
    gop_seconds: float = 2.0
    bframes: int = 2
    video_codec: str | None = "libx264"
    audio_codec: str | None = "aac"
    audio_tracks: int = 1
    key_frames: tuple[int, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    threads: int = 1


def make_film(path: Path, film: Film = Film()) -> Path:
    """Write `film` to `path`; the container is chosen by the name's suffix."""
    with av.open(str(path), "w", options=dict(film.options)) as out:
        feeds = []
        if film.video_codec:
            feeds.append(_video(out, film))
        if film.audio_codec:
            feeds += [_audio(out, film, track) for track in range(film.audio_tracks)]
        heads = {index: next(feed) for index, feed in enumerate(feeds)}
        while heads:  # in time order, as cameras and editors write it
            index = min(heads, key=lambda i: heads[i][0])
            out.mux(heads[index][1])
            following = next(feeds[index], None)
            if following is None:
                del heads[index]
            else:
                heads[index] = following
    return path


def _video(out, film: Film) -> Iterator[tuple[float, list]]:
    options = {"bf": str(film.bframes), "sc_threshold": "0", "flags": "+cgop"}
    if film.video_codec == "libx264":
        options |= {"preset": "ultrafast", "crf": "28", "forced-idr": "1"}
    gop = 100_000 if film.key_frames else round(film.gop_seconds * film.fps)
    stream = out.add_stream(film.video_codec, rate=film.fps, options=options | {"g": str(gop)})
    stream.width, stream.height, stream.pix_fmt = film.width, film.height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, film.fps)
    stream.codec_context.thread_count = film.threads
    picture = _Picture(film.width, film.height)
    total = round(film.seconds * film.fps)
    for number in range(total):
        frame = picture.frame(number)
        frame.pts, frame.time_base = number, Fraction(1, film.fps)
        if number in film.key_frames:
            frame.pict_type = av.video.frame.PictureType.I
        yield number / film.fps, stream.encode(frame)
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


def _audio(out, film: Film, track: int) -> Iterator[tuple[float, list]]:
    rate = 48_000
    stream = out.add_stream(film.audio_codec, rate=rate, layout="mono")
    if film.audio_codec == "aac":
        stream.bit_rate = 64_000
    # Without this the encoder writes its own version into the payload's first packet.
    stream.codec_context.flags |= 0x800000
    tone = f"0.3*sin(2*PI*({200 + 150 * track}*t+3*t*t))+0.02*random({track})"
    graph = av.filter.Graph()
    source = graph.add("aevalsrc", f"{tone}:s={rate}:d={film.seconds}:n=1024")
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


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--gop-seconds", type=float, default=2)
    values = parser.parse_args()
    make_film(
        values.out,
        Film(
            seconds=values.seconds,
            width=values.width,
            height=values.height,
            fps=values.fps,
            gop_seconds=values.gop_seconds,
            threads=2,
        ),
    )


if __name__ == "__main__":
    main()
