"""A film's packets: its beginning from libav, the rest read without it.

libav's packets are the measure. As many of them as it takes to see each track at work are
held against what a reader of ours makes of the same bytes; only if they are the same, to the
last byte and tick, does reading go on without libav. Where something turns up later that is
not of the ordinary kind, libav takes over again: it reads what was read once more, and goes
on after it.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NoReturn

from m0_contract.errors import ErrorCode

from m0_chunker.errors import ChunkerError
from m0_chunker.media.feed import CopyFeed
from m0_chunker.media.packets import Batch, Numbered, Packets, batched, make_batch
from m0_chunker.media.source import Film

PICTURES, SOUNDS = 32, 8
"""Packets of a track that are looked at, at least; of the reference also its second key frame."""

UNSETTLED = 4
"""So many first packets of a track may have odd times."""

PATIENCE, PATIENCE_BYTES = 1000, 8 * 2**20
"""Where that needs more, the film is left to libav."""

UNKNOWN = -(2**62)
"""A decoding time that can't be told, of the first pictures."""


class OddError(Exception):
    """This is for libav to judge; the message says why."""


class DirectFeed(CopyFeed):
    """The film's own packets, read without libav where that gives the same.

    Attributes:
        method: what the reader goes by, in a word.
        is_direct: whether it is used.
    """

    method: str

    def __init__(self, film: Film) -> None:
        """Look at the film's beginning.

        Raises:
            ChunkerError: SOURCE_*.
        """
        super().__init__(film)
        self._libav = super().packets()
        self._ahead: list[Numbered] = []
        self._position = 0
        self._rest: Iterator[Batch] = iter(())
        self._begin: Batch
        self.is_direct = (
            not (film.salvage or film.missing_bytes)
            and self.is_suitable()
            and self._look_ahead()
            and self._agree()
        )

    def is_suitable(self) -> bool:
        """Whether the film may be such; only its packets show whether it is."""
        raise NotImplementedError

    def read(self, ahead: Sequence[Numbered]) -> Iterator[Batch]:
        """All of the film's packets, from its first byte on.

        Args:
            ahead: those that libav gave of its beginning.

        Raises:
            OddError: what comes after those that were given is not of the ordinary kind.
        """
        raise NotImplementedError

    def packets(self) -> Iterator[Numbered]:
        """Libav's."""
        return chain(self._ahead, self._libav)

    def batches(self) -> Iterator[Batch]:
        """See `PacketFeed`."""
        return self._directly() if self.is_direct else super().batches()

    def _look_ahead(self) -> bool:
        """Have libav give packets until each track was seen at work."""
        left = [PICTURES if each.type == "video" else SOUNDS for each in self.templates]
        keys, size_bytes = 2, 0
        try:
            for number, packet in islice(self._libav, PATIENCE):
                self._ahead.append((number, packet))
                left[number] -= 1
                size_bytes += packet.size
                keys -= number == self.reference and packet.is_keyframe
                if size_bytes > PATIENCE_BYTES:
                    return False
                if keys <= 0 and max(left) <= 0:
                    return True
        except ChunkerError as error:  # it comes after the packets before it, as ever
            self._libav = _fail(error)
        return False

    def _agree(self) -> bool:
        """Whether the reader says what libav has said; then reading can go on behind that."""
        theirs = make_batch(self._ahead, self.normalise())
        counts = list(map(len, theirs.streams))
        self._position = self._film.file.tell()  # libav, should it read on, believes to be there
        try:
            batches = self.read(self._ahead)
            first = next(batches)
            while any(len(own) < count for own, count in zip(first.streams, counts, strict=True)):
                first.extend(next(batches))
        except (OddError, StopIteration):
            return False
        finally:
            self._film.file.seek(self._position)
        if not all(map(agree, first.streams, theirs.streams)):
            return False
        self._begin, self._rest = theirs, chain([first.after(counts)], batches)
        return True

    def _directly(self) -> Iterator[Batch]:
        given = [0] * len(self.templates)
        last = [Packets() for _ in given]
        yield self._begin
        del self._begin, self._ahead
        try:
            for batch in self._rest:
                if batch:
                    yield batch
                    for number, packets in enumerate(batch.streams):
                        if packets:
                            given[number] += len(packets)
                            last[number] = packets
        except OddError:
            yield from batched(self._by_libav(given, last), self.normalise)

    def _by_libav(self, given: Sequence[int], last: Sequence[Packets]) -> Iterator[Numbered]:
        """What comes after those that were given and libav was not asked for yet.

        Args:
            given: how many, of each stream.
            last: what ends with the last of them, of each stream.

        Raises:
            ChunkerError: INTEGRITY: libav does not know that one. SOURCE_*.
        """
        self._film.file.seek(self._position)
        left = list(given)
        for number, packet in self._libav:
            if not left[number]:
                yield number, packet
                continue
            left[number] -= 1
            if not left[number]:
                end = last[number].part(len(last[number]) - 1, len(last[number]))
                if not agree(end, Packets.of([packet], self.normalise()[number]), 0):
                    raise _differs()
        if any(left):
            raise _differs()


def agree(ours: Packets, theirs: Packets, unsettled: int = UNSETTLED) -> bool:
    """Whether packets that were read directly begin with libav's, of one stream.

    Args:
        ours: at least as many.
        theirs: libav's.
        unsettled: so many first ones may have other decoding times and durations: libav has
            not seen enough of the track then, and its own are taken.
    """
    count = len(theirs)
    times = zip(ours.dts[unsettled:count], theirs.dts[unsettled:], strict=False)
    return (
        list(map(bytes, theirs.payloads)) == ours.payloads[:count]
        and theirs.pts == ours.pts[:count]
        and list(map(bool, theirs.keys)) == list(map(bool, ours.keys[:count]))
        and theirs.durations[unsettled:] == ours.durations[unsettled:count]
        and all(mine in {dts, UNKNOWN} for mine, dts in times)
    )


def _differs() -> ChunkerError:
    return ChunkerError(ErrorCode.INTEGRITY, "the film is not what a first look at it said it is")


def _fail(error: ChunkerError) -> Iterator[NoReturn]:
    raise error
    yield
