"""What is asked against what is there; sizes, turns and pixels. All pure."""

from fractions import Fraction

import pytest
from m0_chunker.errors import ChunkerError
from m0_chunker.media.display import build_turns, compute_target
from m0_chunker.media.wanted import Pictures, choose_rate, differs
from m0_contract.request import VideoPreprocessing

NTSC = Fraction(30_000, 1001)
FILM = Pictures(1920, 1080, average_rate=Fraction(30), nominal_rate=Fraction(30))
PHONE = Pictures(1920, 1080, turned=True, average_rate=NTSC, nominal_rate=NTSC)
VARIABLE = Pictures(1920, 1080, average_rate=Fraction(29), nominal_rate=Fraction(30))
UNKNOWN = Pictures(1920, 1080)

ONE = 1 << 16
TURNS = {
    "quarter clockwise": ((0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30), [("transpose", "clock")]),
    "quarter back": ((0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), [("transpose", "cclock")]),
    "half": ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30), [("hflip", None), ("vflip", None)]),
    "mirrored": ((-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), [("hflip", None)]),
    "upside down": ((ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30), [("vflip", None)]),
    "as it is": ((ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), []),
}
CLOCKWISE = TURNS["quarter clockwise"][0]


def ask(**wanted) -> VideoPreprocessing:
    return VideoPreprocessing(chunk_duration=10, **wanted)


@pytest.mark.parametrize(
    ("film", "wanted", "expected"),
    [
        pytest.param(FILM, {}, False, id="nothing"),
        pytest.param(FILM, {"fps": 30, "width": 1920, "height": 1080}, False, id="what is there"),
        pytest.param(FILM, {"fps": 29.97}, True, id="29.97 of 30"),
        pytest.param(FILM, {"height": 720}, True, id="another height"),
        pytest.param(FILM, {"width": 1080, "height": 1920}, True, id="turned, of one that isn't"),
        pytest.param(PHONE, {"fps": 29.97}, False, id="29.97 of 30000/1001"),
        pytest.param(PHONE, {"fps": 30}, True, id="30 of 30000/1001"),
        pytest.param(PHONE, {"width": 1920, "height": 1080}, False, id="a phone's, as coded"),
        pytest.param(PHONE, {"width": 1080, "height": 1920}, False, id="a phone's, as shown"),
        pytest.param(PHONE, {"width": 1080}, False, id="a phone's width as shown"),
        pytest.param(PHONE, {"width": 1080, "height": 1080}, True, id="half of each reading"),
        pytest.param(VARIABLE, {"fps": 29}, True, id="a variable rate's average"),
        pytest.param(VARIABLE, {"fps": 30}, True, id="a variable rate's nominal"),
        pytest.param(VARIABLE, {"width": 1920}, False, id="a variable rate, none asked"),
        pytest.param(UNKNOWN, {"fps": 30}, True, id="a rate that nobody knows"),
    ],
)
def test_differs(film, wanted, expected):
    assert differs(film, ask(**wanted)) is expected


@pytest.mark.parametrize(
    ("film", "fps", "rate"),
    [
        pytest.param(PHONE, 29.97, NTSC, id="the film's own"),
        pytest.param(FILM, 29.97, NTSC, id="television's"),
        pytest.param(FILM, 23.976, Fraction(24_000, 1001), id="the cinema's on television"),
        pytest.param(FILM, 10, Fraction(10), id="whole"),
        pytest.param(FILM, 12.5, Fraction(25, 2), id="half"),
        pytest.param(FILM, 0.1, Fraction(1, 10), id="slow"),
    ],
)
def test_rate(film, fps, rate):
    assert choose_rate(film, fps) == rate


@pytest.mark.parametrize("name", TURNS)
def test_turns(name):
    matrix, filters = TURNS[name]
    assert build_turns(matrix) == filters


@pytest.mark.parametrize(
    ("film", "wanted", "size", "aspect"),
    [
        pytest.param((160, 120, 1, None), {}, (160, 120), 1, id="nothing asked"),
        pytest.param((161, 121, 1, None), {}, (160, 120), 1, id="odd: cut"),
        pytest.param((160, 120, 1, None), {"width": 81, "height": 61}, (80, 60), 1, id="odd asked"),
        pytest.param((160, 120, 1, None), {"width": 80}, (80, 60), 1, id="width alone"),
        pytest.param((160, 120, 1, None), {"height": 50}, (66, 50), 1, id="height alone"),
        pytest.param(
            (160, 120, 1, None),
            {"width": 160, "height": 90},
            (160, 90),
            Fraction(3, 4),
            id="squeezed",
        ),
        pytest.param((720, 576, Fraction(16, 11), None), {"height": 576}, (1048, 576), 1, id="PAL"),
        pytest.param(
            (720, 576, Fraction(16, 11), None), {}, (720, 576), Fraction(16, 11), id="PAL kept"
        ),
        pytest.param(
            (720, 576, Fraction(16, 11), None),
            {"width": 360, "height": 576},
            (360, 576),
            Fraction(32, 11),
            id="PAL halved",
        ),
        pytest.param((160, 120, 1, CLOCKWISE), {}, (120, 160), 1, id="turned"),
        pytest.param((160, 120, 1, CLOCKWISE), {"width": 60}, (60, 80), 1, id="turned, width"),
        pytest.param(
            (160, 120, 1, CLOCKWISE), {"width": 160, "height": 120}, (120, 160), 1, id="as coded"
        ),
        pytest.param(
            (160, 120, Fraction(4, 3), CLOCKWISE),
            {},
            (120, 160),
            Fraction(3, 4),
            id="turned pixels",
        ),
    ],
)
def test_target(film, wanted, size, aspect):
    width, height, pixel, matrix = film
    target = compute_target(width, height, Fraction(pixel), matrix, ask(**wanted))
    assert (target.width, target.height) == size
    assert target.aspect == aspect


@pytest.mark.parametrize("size", [(16_384, 16_384), (16_386, 64), (8192, 4400)])
def test_more_than_h264_can_hold(size):
    with pytest.raises(ChunkerError, match="smaller"):
        compute_target(*size, Fraction(1), None, ask(fps=1))
