"""Films of every kind, as cases for a test: name, how they differ, and a length of chunks."""

from fractions import Fraction

import pytest

FILM = {"seconds": 5.4, "fps": 15}
"""Closed GOPs of 2 s, two B-frames, AAC; cases say how they differ."""

FRAGMENTED = (("movflags", "frag_keyframe+empty_moov"),)


def case(name: str, sentence: str, *, duration: float = 2, **features):
    return pytest.param(name, features, duration, id=sentence)


CONTAINERS = [
    case("last.mp4", "MP4, index last"),
    case("first.mp4", "MP4, index first", options=(("movflags", "faststart"),)),
    case("fragmented.mp4", "MP4, fragmented", options=FRAGMENTED),
    case("hybrid.mp4", "MP4, hybrid", options=(("movflags", "hybrid_fragmented"),)),
    case(
        "delayed.mp4",
        "MP4, fragmented, with an edit list",
        options=(("movflags", "frag_keyframe+delay_moov"),),
    ),
    case("apart.mp4", "MP4, all pictures, then all sound", interleave_s=float("inf")),
    case("coarse.mp4", "MP4, in runs of 1 s", interleave_s=1.0),
    case("coarser.mp4", "MP4, in runs of 5 s", interleave_s=5.0, seconds=12.0),
    case("film.mov", "MOV with timecode", timecode="01:00:00:00", audio_codec="pcm_s16le"),
    case("film.ts", "MPEG-TS"),
    case("later.ts", "MPEG-TS from 10 s on", options=(("output_ts_offset", "10"),)),
    case(
        "wrap.ts",
        "MPEG-TS whose clock wraps around",
        options=(("output_ts_offset", f"{2**33 / 90_000 - 3.5:.3f}"),),
    ),
    case("film.mkv", "MKV"),
    case("film.webm", "WebM", video_codec="libvpx-vp9", audio_codec="libopus"),
    case(
        "plain.avi", "AVI, no time stamps", video_codec="mpeg4", audio_codec="libmp3lame", bframes=0
    ),
    case("aac.avi", "AVI, H.264 and AAC"),
    case("film.flv", "FLV"),
]

CODECS = [
    case("hevc.mp4", "HEVC as hvc1", video_codec="libx265", tag="hvc1"),
    case("hevc.mkv", "HEVC in MKV", video_codec="libx265"),
    case("hevc.ts", "HEVC in MPEG-TS", video_codec="libx265"),
    case("cra.mp4", "HEVC, open GOPs", video_codec="libx265", open_gop=True),
    case("av1.mp4", "AV1 in MP4", video_codec="libsvtav1"),
    case("av1.mkv", "AV1 in MKV, with Opus", video_codec="libsvtav1", audio_codec="libopus"),
    case("vp9.mp4", "VP9 in MP4", video_codec="libvpx-vp9"),
    case("mpeg4.mp4", "MPEG-4 in MP4", video_codec="mpeg4"),
    case("bframes.avi", "MPEG-4 with B-frames in AVI", video_codec="mpeg4", audio_codec="ac3"),
    case("mpeg2.ts", "MPEG-2 in MPEG-TS", video_codec="mpeg2video", fps=25, audio_codec="mp2"),
    case("flac.mkv", "FLAC in MKV", audio_codec="flac"),
    case("mp3.mp4", "MP3 in MP4", audio_codec="libmp3lame"),
    case("mp3.mkv", "MP3 in MKV", audio_codec="libmp3lame"),
    case("mp3.ts", "MP3 in MPEG-TS", audio_codec="libmp3lame"),
    case("opus.mp4", "Opus in MP4", audio_codec="libopus"),
    case("ac3.mp4", "AC-3 in MP4", audio_codec="ac3"),
    case("ac3.ts", "AC-3 in MPEG-TS", audio_codec="ac3"),
    case("pcm.mkv", "PCM in MKV", audio_codec="pcm_s16le"),
    case("pcm24.mov", "PCM of 24 bits in MOV", audio_codec="pcm_s24le"),
    case("pcmbe.mov", "PCM, big-endian, in MOV", audio_codec="pcm_s16be"),
    case("pcm.avi", "PCM in AVI", audio_codec="pcm_s16le", video_codec="mpeg4", bframes=0),
]

TIMES = [
    case("vfr.mp4", "a varying rate", vfr=True),
    case("vfr.mkv", "a varying rate in MKV", vfr=True),
    case("open.mp4", "open GOPs", open_gop=True),
    case("open.ts", "open GOPs in MPEG-TS", open_gop=True),
    case("nob.mp4", "no B-frames", bframes=0),
    case(
        "pyramid.mkv",
        "a pyramid of B-frames",
        bframes=5,
        encoder=(("x264-params", "b-pyramid=normal:b-adapt=0"),),
    ),
    case("irregular.mp4", "irregular GOPs", key_frames=(0, 20, 52, 55, 70)),
    case("long.mp4", "GOPs of 25 s", seconds=60.0, fps=5, gop_seconds=25, duration=10),
    case("one.mp4", "one key frame only", gop_seconds=100),
    case("one.ts", "one key frame only in MPEG-TS", gop_seconds=100),
    case("short.mp4", "shorter than a chunk", seconds=1.3),
    case("tiny.mp4", "a single picture", seconds=1 / 15),
    case("lateaudio.mp4", "sound from 2 s on", audio_delay_s=2.0),
    case("lateaudio.ts", "sound from 2 s on in MPEG-TS", audio_delay_s=2.0),
    case("lateaudio.mkv", "sound from 2 s on in MKV", audio_delay_s=2.0),
    case("latevideo.mp4", "pictures from 1.3 s on", video_delay_s=1.3),
    case("latevideo.mkv", "pictures from 1.3 s on in MKV", video_delay_s=1.3),
    case("muchlater.mp4", "pictures from 3 s on", video_delay_s=3.0),
    case("negative.mp4", "from -0.5 s on, hidden by an edit list", start_s=-0.5),
    case(
        "offsets.mp4",
        "negative composition offsets",
        options=(("movflags", "negative_cts_offsets"),),
    ),
    case(
        "positive.mkv",
        "from 10 s on in MKV",
        start_s=10.0,
        options=(("avoid_negative_ts", "disabled"),),
    ),
    case("positive.mp4", "from 10 s on in MP4", start_s=10.0),
    case("gap.mp4", "100 s without anything", gap=(2.0, 100.0)),
    case("gap.mkv", "100 s without anything in MKV", gap=(2.0, 100.0)),
    case("gap.ts", "100 s without anything in MPEG-TS", gap=(2.0, 100.0)),
    case("longsound.mp4", "sound 3 s longer than the pictures", audio_seconds=8.0),
    case("shortsound.mp4", "sound 3 s shorter than the pictures", audio_seconds=2.0),
    case(
        "ntsc.mp4",
        "29.97 pictures a second and sound of 44.1 kHz",
        fps=Fraction(30_000, 1001),
        audio_rate=44_100,
        options=(("video_track_timescale", "90000"),),
    ),
    case("ntsc.mkv", "29.97 pictures a second in MKV", fps=Fraction(30_000, 1001)),
    case(
        "hours.mp4",
        "ten hours",
        seconds=36_000.0,
        fps=Fraction(1, 100),
        gop_seconds=2000,
        audio_codec=None,
        duration=7200,
    ),
    case("hours.mkv", "ten hours in, in MKV", start_s=36_000.0),
]

TRACKS = [
    case("silent.mp4", "pictures only", audio_codec=None),
    case("silent.ts", "pictures only in MPEG-TS", audio_codec=None),
    case("sound.m4a", "sound only", video_codec=None),
    case("sound.mp3", "sound only, MP3", video_codec=None, audio_codec="libmp3lame"),
    case("sound.wav", "sound only, WAV", video_codec=None, audio_codec="pcm_s16le"),
    case("sound.ogg", "sound only, Ogg", video_codec=None, audio_codec="libopus"),
    case("sound.flac", "sound only, FLAC", video_codec=None, audio_codec="flac"),
    case("tongues.mp4", "two languages", audio_tracks=2, languages=("fin", "swe")),
    case("tongues.mkv", "three languages in MKV", audio_tracks=3, languages=("fin", "swe", "eng")),
    case("tongues.ts", "two languages in MPEG-TS", audio_tracks=2, languages=("fin", "swe")),
    case("cover.mp4", "a cover", cover=True),
    case("soundcover.mp4", "sound with a cover", video_codec=None, cover=True),
    case("subtitles.mp4", "subtitles", subtitles="mov_text"),
    case("subtitles.mkv", "subtitles in MKV", subtitles="subrip"),
    case("data.ts", "a track of data", data=True),
    case("two.mp4", "two tracks of pictures", second_video="libx264"),
    case(
        "shape.mp4",
        "pixels that are not square, and colours",
        pixel_shape=Fraction(4, 3),
        colours=(9, 16, 9),
    ),
    case("shape.mkv", "pixels that are not square in MKV", pixel_shape=Fraction(4, 3)),
]
