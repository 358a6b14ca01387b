"""What an attempt finds of those before it, for every history of stores, kills and restarts."""

import io
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from m0_chunker.chunk import Chunk, ChunkBody
from m0_chunker.media.certificate import Certificate, ChunkFacts
from m0_chunker.resume import NOTHING, Done, Imprint, find_done, make_plan_id

FILM = "plan of this film"


@dataclass
class World:
    """Stores and broker, as they are when all processes are dead.

    Attributes:
        total: chunks of the film.
        stored: chunk → metadata of its persistent object.
        announced: chunks by run, in order, as often as they were.
    """

    total: int
    stored: dict[int, dict[str, str]] = field(default_factory=dict)
    announced: dict[str | None, list[int]] = field(default_factory=dict)

    def put(self, chunk_id: int, window: int, run: str | None, plan: str = FILM) -> None:
        self.stored[chunk_id] = {
            "m0-plan": plan,
            "m0-run": run or "",
            "m0-window": str(window),
            "m0-sha256": f"{chunk_id:064x}",
            "m0-start": str(chunk_id - 1.0),
            "m0-end": str(float(chunk_id)),
            "m0-certificate": f"after {chunk_id}",
        } | ({"m0-next": str(chunk_id)} if chunk_id < self.total else {})
        if run is None:
            del self.stored[chunk_id]["m0-run"]

    def find(self, window: int, run: str | None) -> Done:
        def head(chunk_id: int):
            metadata = self.stored.get(chunk_id)
            return None if metadata is None else (metadata, 1000 + chunk_id)

        return find_done(head, Imprint(FILM, run, window))

    def attempt(self, window: int, run: str | None, chance: Random, steps: int) -> Done:
        """The pipeline: up to `window` chunks between cutter and broker; killed after `steps`."""
        done = self.find(window, run)
        told = self.announced.setdefault(run, [])
        again = [chunk.chunk_id for chunk in done.redo]
        waiting = [*again, *range(done.resumption.chunks + 1, self.total + 1)]
        line: list[int] = []
        ready: set[int] = set()
        for _ in range(steps):
            moves = [("store", chunk_id) for chunk_id in line if chunk_id not in ready]
            if waiting and len(line) < window:
                moves.append(("start", waiting[0]))
            if line and line[0] in ready:
                moves.append(("announce", line[0]))
            if not moves:
                break
            move, chunk_id = chance.choice(moves)
            if move == "start":
                line.append(waiting.pop(0))
            elif move == "store":
                ready.add(chunk_id)
                if chunk_id not in again:
                    self.put(chunk_id, window, run)
            else:
                told.append(line.pop(0))
        return done


@settings(deadline=None, max_examples=150)
@given(chance=st.randoms(use_true_random=False), total=st.integers(1, 40), data=st.data())
def test_no_chunk_is_skipped_and_none_that_was_announced_is_cut_again(chance, total, data):
    world = World(total)
    run = data.draw(st.sampled_from(["a", None]))
    for _ in range(data.draw(st.integers(1, 6))):
        window = data.draw(st.integers(1, 6))
        before = set(world.announced.get(run, []))
        done = world.attempt(window, run, chance, data.draw(st.integers(0, 60)))
        first = done.redo[0].chunk_id if done.redo else done.resumption.chunks + 1
        assert before >= set(range(1, first)), "chunks that nobody will be told of"
        assert done.resumption.chunks >= min(max(before, default=0), total - 1), "cut once more"
        in_flight = [chunk for chunk in world.stored if chunk > done.resumption.chunks]
        assert len(in_flight) <= total
        assert [chunk.chunk_id for chunk in done.redo] == list(
            range(first, done.resumption.chunks + 1)
        )
    world.attempt(3, run, chance, 10_000)
    told = world.announced[run]
    assert set(told) == set(range(1, total + 1))
    new = [chunk for at, chunk in enumerate(told) if chunk not in told[:at]]
    assert new == sorted(new), "a chunk was announced before one that comes before it"


@settings(deadline=None, max_examples=60)
@given(chance=st.randoms(use_true_random=False), total=st.integers(1, 20), data=st.data())
def test_another_run_announces_all_again(chance, total, data):
    world = World(total)
    world.attempt(data.draw(st.integers(1, 5)), "a", chance, data.draw(st.integers(0, 60)))
    for _ in range(3):
        world.attempt(data.draw(st.integers(1, 5)), "b", chance, data.draw(st.integers(0, 40)))
    world.attempt(2, "b", chance, 10_000)
    assert set(world.announced["b"]) == set(range(1, total + 1))


def test_a_person_who_starts_it_again_gets_all_of_it():
    world = World(5)
    world.attempt(2, None, Random(1), 10_000)
    world.attempt(2, None, Random(1), 10_000)
    assert world.announced[None] == [*range(1, 6), *range(1, 6)]


def test_a_chunk_that_is_missing_between_stored_ones_costs_only_what_follows():
    """Killed while it stored several side by side, the second of them first."""
    world = World(9)
    for chunk_id in (1, 2, 3, 5):
        world.put(chunk_id, 3, "a")
    done = world.find(3, "a")
    assert done.resumption.chunks == 3
    assert done.resumption.certificate == "after 3"
    assert [chunk.chunk_id for chunk in done.redo] == [1, 2, 3]


@pytest.mark.parametrize("name", ["m0-sha256", "m0-start", "m0-end", "m0-certificate", "m0-window"])
def test_a_chunk_that_lost_its_metadata_is_cut_again(name):
    world = World(9)
    for chunk_id in range(1, 6):
        world.put(chunk_id, 2, "a")
    del world.stored[5][name]
    assert world.find(2, "a").resumption.chunks == 4
    del world.stored[4][name]
    world.put(5, 2, "a")
    assert world.find(2, "a").resumption.chunks in {3, 0}


def test_chunks_of_another_plan_are_nobodys():
    world = World(9)
    for chunk_id in range(1, 6):
        world.put(chunk_id, 2, "a", plan="another")
    assert world.find(2, "a") == NOTHING
    world.put(1, 2, "a")
    assert world.find(2, "a").resumption.chunks == 1


def test_the_store_is_asked_little():
    world, asked = World(10_000), []
    for chunk_id in range(1, 5001):
        world.put(chunk_id, 4, "a")

    def head(chunk_id: int):
        asked.append(chunk_id)
        found = world.stored.get(chunk_id)
        return found and (found, 1)

    assert find_done(head, Imprint(FILM, "a", 4)).resumption.chunks == 5000
    assert len(asked) == len(set(asked)) < 36


def test_a_plan_id_tells_all_its_parts_apart():
    words = [("a", "b"), ("ab",), ("a", "b", ""), ("a", ("b",)), (1,), ("1",), (1.0,)]
    assert len({make_plan_id(*parts) for parts in words}) == len(words)


def test_what_is_said_of_a_chunk_fits_into_a_stores_metadata():
    """S3 takes 2 KiB of names and values; here 100 streams, and numbers of a year of film."""
    packets = [10**9 + number for number in range(100)]
    certificate = Certificate("a" * 100)
    certificate.add(
        ChunkFacts(
            packets, packets, [0] * 100, 10**15, bytes(32), 33_333.25, 33_333.125, 10**7, 10**8
        ),
        1,
    )
    text = certificate.dump()
    assert len(text) <= 1536
    chunk = Chunk(
        99_999, 1e6 / 3, 1e6 / 7, "f" * 64, ChunkBody(b"", io.BytesIO(), 0, 0),
        "12345678901234/1234567", text,
    )  # fmt: skip
    said = Imprint(make_plan_id("any"), "8b7b1bd4-9d3b-4a71-8f0f-111111111111", 16).metadata(
        chunk, "transcode"
    )
    assert sum(len(name) + len(value) for name, value in said.items()) <= 2048
    assert all(value.isascii() and value.isprintable() for value in said.values())
    assert Certificate.load(said["m0-certificate"]) == certificate
