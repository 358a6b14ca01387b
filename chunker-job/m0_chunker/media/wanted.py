"""Whether what is asked differs from what the film has: pure decisions, no libav.

A request for what is there already is a copy. "What is there" has two readings for a
film that is turned on display (a phone held upright): the size as coded and the size as
shown. Both count, since people name either.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from m0_contract.request import VideoPreprocessing

from m0_chunker.media.display import read_display_matrix, swaps_sides

if TYPE_CHECKING:
    from m0_chunker.media.source import Film

RATE_TOLERANCE = 5e-4
"""Of a frame rate: 29.97 asked of a 30000/1001 film is the same, 30 is not."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a film's pictures are like, as its header says.

    Attributes:
        width: as coded, pixels.
        height: as coded, pixels.
        turned: whether it is shown turned by a quarter.
        average_rate: pictures by duration, a second; None when unknown.
        nominal_rate: the rate whose grid all time stamps fit, a second; None when unknown.
    """

    width: int
    height: int
    turned: bool = False
    average_rate: Fraction | None = None
    nominal_rate: Fraction | None = None

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Those that are known, the nominal one first."""
        return tuple(rate for rate in (self.nominal_rate, self.average_rate) if rate)

    @property
    def is_steady(self) -> bool:
        """Whether pictures come at one rate, as far as the header can tell."""
        rates = self.rates
        return bool(rates) and is_rate(rates[0], rates[-1])


def is_rate(one: Fraction | float, other: Fraction | float) -> bool:
    """Whether two frame rates are the same for people."""
    return abs(float(one) / float(other) - 1) < RATE_TOLERANCE


def is_size(pictures: Pictures, wanted: VideoPreprocessing) -> bool:
    """Whether the sides that are asked for are the film's, in either reading."""
    sides = (pictures.width, pictures.height)
    readings = [sides, sides[::-1]] if pictures.turned else [sides]
    return any(
        wanted.width in {None, width} and wanted.height in {None, height}
        for width, height in readings
    )


def differs(pictures: Pictures, wanted: VideoPreprocessing) -> bool:
    """Whether anything asked for differs from what the film has.

    Who asks for a rate wants a constant one: of a film whose average and nominal rates
    differ (variable frame rate) every rate asked for is another one, even its average.
    """
    if not is_size(pictures, wanted):
        return True
    if wanted.fps is None:
        return False
    return not (pictures.is_steady and any(is_rate(rate, wanted.fps) for rate in pictures.rates))


def choose_rate(pictures: Pictures, fps: float) -> Fraction:
    """The exact rate that is meant by `fps`.

    The film's own where that is the same for people, or pictures would be dropped or
    doubled every now and then; 23.976, 29.97, 59.94 … are 24000/1001 and so on.
    """
    for rate in pictures.rates:
        if is_rate(rate, fps):
            return rate
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)
    if fps != round(fps) and abs(float(ntsc) / fps - 1) < RATE_TOLERANCE / 10:
        return ntsc
    return Fraction(fps).limit_denominator(1001)


def describe_pictures(stream: Any) -> Pictures:
    """A video stream's header in our words."""
    context = stream.codec_context
    return Pictures(
        context.width,
        context.height,
        turned=swaps_sides(read_display_matrix(stream)),
        average_rate=stream.average_rate or None,
        nominal_rate=stream.guessed_rate or None,
    )


def wants_transcode(film: "Film", wanted: VideoPreprocessing) -> bool:
    """Whether the film must be encoded anew for this request; never one without pictures."""
    return film.video is not None and differs(describe_pictures(film.video), wanted)
