"""Publishing to the real RabbitMQ, mutations at the real backend."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from devstack import DevStack
from m0_wire.backend import Backend
from m0_wire.broker import Broker
from m0_wire.errors import BackendRejectedError, BrokerUnavailableError, UnroutableError

QUEUE = "M0_RESULTS_QUEUE"
CHUNK = {
    "chunk_hash": "ab" * 32, "chunk_id": 1, "chunk_duration": 4.0, "start_time": 0.0,
    "end_time": 4.0, "time_offset": 0.0, "cloud_path": "s3://b/k", "cache_path": "s3://c/k",
}  # fmt: skip


@pytest.fixture
def body(stack: DevStack) -> Iterator[bytes]:
    unique = uuid.uuid4().hex.encode()
    yield unique
    stack.messages(QUEUE, lambda message: message.body == unique, take=True)


@pytest.fixture
def process_id(stack: DevStack) -> Iterator[int]:
    unique = uuid.uuid4().int % 2**62
    yield unique
    for table in ("batch_chunk", "live_chunk", "processing_status"):
        stack.query(f"DELETE FROM {table} WHERE process_id = %s", [unique])


async def test_a_confirmed_message_is_in_the_queue(stack: DevStack, body: bytes) -> None:
    async with Broker(stack.env["M0_AMQP_URL"], name="test") as broker:
        assert broker.connected
        await broker.publish(QUEUE, body, headers={"a": 1}, priority=3)


def test_what_was_published_is_persistent_and_whole(stack: DevStack, body: bytes) -> None:
    async def send() -> None:
        async with Broker(stack.env["M0_AMQP_URL"], name="test") as broker:
            await broker.publish(QUEUE, body, headers={"a": 1}, priority=3)

    asyncio.run(send())
    (found,) = stack.messages(QUEUE, lambda message: message.body == body)
    assert (found.headers["a"], found.priority, found.delivery_mode) == (1, 3, 2)


async def test_a_queue_that_does_not_exist_is_noticed(stack: DevStack) -> None:
    async with Broker(stack.env["M0_AMQP_URL"], name="test") as broker:
        with pytest.raises(UnroutableError):
            await broker.publish(f"no-such-{uuid.uuid4().hex}", b"x")
        # The channel outlives a returned message.
        with pytest.raises(UnroutableError):
            await broker.publish(f"no-such-{uuid.uuid4().hex}", b"x")


def test_a_message_that_is_forbidden_at_the_last_instant_does_not_go_out(
    stack: DevStack, body: bytes
) -> None:
    class TooLateError(Exception):
        pass

    def forbid() -> None:
        raise TooLateError

    async def send() -> None:
        async with Broker(stack.env["M0_AMQP_URL"], name="test") as broker:
            with pytest.raises(TooLateError):
                await broker.publish(QUEUE, body, before_send=forbid)
            # The channel is as good as before.
            await broker.publish(QUEUE, body, headers={"second": True})

    asyncio.run(send())
    found = stack.messages(QUEUE, lambda message: message.body == body)
    assert [message.headers for message in found] == [{"second": True}]


async def test_wrong_credentials_are_said_without_repeating_them(stack: DevStack) -> None:
    url = stack.env["M0_AMQP_URL"].replace("m0-dev-password", "wrong-secret")
    assert "wrong-secret" in url
    with pytest.raises(BrokerUnavailableError) as caught:
        await Broker(url, name="test", timeout_s=5).connect()
    assert "wrong-secret" not in str(caught.value)


async def test_a_repeated_row_is_one_row(stack: DevStack, process_id: int) -> None:
    backend = Backend(stack.env["M0_GRAPHQL_URL"])
    for _ in range(2):
        await backend.mutate("createBatchChunk", {**CHUNK, "process_id": process_id})
    assert len(stack.rows(process_id)) == 1
    await backend.mutate("createLiveChunk", {**CHUNK, "process_id": process_id})
    assert len(stack.rows(process_id, "live_chunk")) == 1


async def test_a_repeated_status_is_one_row(stack: DevStack, process_id: int) -> None:
    backend = Backend(stack.env["M0_GRAPHQL_URL"])
    for status, error in (("QUEUED", None), ("QUEUED", None), ("FAILED", "X: y")):
        variables = {"process_id": process_id, "status": status, "error": error}
        await backend.mutate("updateCamVideoProcessingStatus", variables)
    assert stack.statuses(process_id) == [("QUEUED", None), ("FAILED", "X: y")]


async def test_what_the_backend_refuses_is_a_rejection(stack: DevStack) -> None:
    with pytest.raises(BackendRejectedError, match="integer"):
        await Backend(stack.env["M0_GRAPHQL_URL"]).mutate(
            "createBatchChunk", {**CHUNK, "process_id": "not a number"}
        )
