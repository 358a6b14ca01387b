"""What an earlier attempt has done, found in the destination itself.

Every persistent chunk says in its metadata where it belongs, what it was cut from and how
(`plan`), by which run, and what the certificate was. As chunks are stored a bounded number at
a time and announced in order, a stored chunk also proves that those `window` before it were
announced. No journal is kept that could disagree with the store.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from m0_chunker.chunk import Chunk
from m0_chunker.plan import Resumption


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk that is in the destination.

    Attributes:
        chunk_id: from 1.
        start_s: seconds since the film's start.
        end_s: likewise.
        sha256: of its bytes.
        size_bytes: how many.
    """

    chunk_id: int
    start_s: float
    end_s: float
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Imprint:
    """What this attempt writes on its chunks, and knows those of its kind by.

    Attributes:
        plan: changes with the source's content, the request's wishes and this program.
        run: the resource's uid; None at a terminal.
        window: chunks between storing and announcing, at most.
    """

    plan: str
    run: str | None
    window: int

    def metadata(self, chunk: Chunk, mode: str | None) -> dict[str, str]:
        """What goes with the chunk's object; `mode` is how it was cut."""
        said = {
            "m0-sha256": chunk.sha256,
            "m0-start": repr(chunk.start_s),
            "m0-end": repr(chunk.end_s),
            "m0-next": chunk.next_start,
            "m0-plan": self.plan,
            "m0-run": self.run or "",
            "m0-window": str(self.window),
            "m0-certificate": chunk.certificate,
            "m0-mode": mode or "",
        }
        return {name: text for name, text in said.items() if text}


def make_plan_id(*parts: object) -> str:
    """One word for all that decides how the chunks come out."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Done:
    """What need not be done again.

    Attributes:
        resumption: where the cutter goes on.
        redo: stored, but perhaps not announced by this run: the last ones.
        same_run: it was this very run that did it, so that its cached copies are fresh.
        whole: the film's last chunk is among them: nothing is left to be cut.
        mode: how it was cut.
    """

    resumption: Resumption
    redo: tuple[StoredChunk, ...]
    same_run: bool = False
    whole: bool = False
    mode: str | None = None


NOTHING = Done(Resumption(), ())

Found = tuple[Mapping[str, str], int]
"""(metadata, size in bytes) of a persistent chunk."""

Head = Callable[[int], Found | None]
"""chunk_id → what is known of the persistent chunk; None: it is not there."""


def find_done(head: Head, imprint: Imprint) -> Done:
    """Ask the store, in about 2·log2(chunks) questions and one for each chunk to announce.

    The film's last chunk is only stored when the film has proved to be whole.
    """
    known: dict[int, Found | None] = {}

    def look(chunk_id: int) -> Found | None:
        if chunk_id not in known:
            found = head(chunk_id)
            known[chunk_id] = found if found is not None and _is_ours(found, imprint) else None
        return known[chunk_id]

    last = _last_in_a_row(look, _last_true(lambda chunk_id: look(chunk_id) is not None))
    found = look(last) if last else None
    if found is None:
        return NOTHING
    metadata, _ = found
    whole = "m0-next" not in metadata
    same_run = metadata.get("m0-run") == imprint.run
    if imprint.run is None and whole:
        same_run = False  # a person starts it again though it was done: they want it all
    again = max(1, last - int(metadata["m0-window"]) + 1) if same_run else 1
    stored = [(chunk_id, look(chunk_id)) for chunk_id in range(again, last + 1)]
    redo = [_stored(chunk_id, found) for chunk_id, found in stored if found is not None]
    if len(redo) < len(stored):
        return NOTHING  # somebody has deleted some: all are made anew
    end = Fraction(metadata["m0-end"] if whole else metadata["m0-next"])
    resumption = Resumption(last, end, metadata["m0-certificate"])
    return Done(resumption, tuple(redo), same_run, whole, metadata.get("m0-mode"))


def _is_ours(found: Found, imprint: Imprint) -> bool:
    return found[0].get("m0-plan") == imprint.plan and all(name in found[0] for name in NEEDED)


NEEDED = ("m0-sha256", "m0-start", "m0-end", "m0-certificate", "m0-window")
"""Metadata that every chunk has; all but a film's last have `m0-next` as well."""


def _last_true(holds: Callable[[int], bool]) -> int:
    """The last number, from 1, for which `holds`, where it holds for all up to some; else 0."""
    if not holds(1):
        return 0
    low, high = 1, 2
    while holds(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _last_in_a_row(look: Callable[[int], Found | None], last: int) -> int:
    """The last chunk without one missing before it.

    Chunks are stored side by side: a kill may leave one without the one before it.
    """
    found = look(last) if last else None
    if found is None:
        return 0
    for chunk_id in range(max(1, last - int(found[0]["m0-window"]) + 1), last):
        if look(chunk_id) is None:
            return chunk_id - 1
    return last


def _stored(chunk_id: int, found: Found) -> StoredChunk:
    metadata, size_bytes = found
    return StoredChunk(
        chunk_id,
        float(metadata["m0-start"]),
        float(metadata["m0-end"]),
        metadata["m0-sha256"],
        size_bytes,
    )
