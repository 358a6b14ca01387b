"""Every line about a video says which; none says a secret."""

import json
import logging
from collections.abc import Iterator

import pytest
from m0_operator.logs import JsonFormatter, TextFormatter, about, note
from m0_operator.services.workqueue import WorkQueue

from .conftest import World, request_body

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Kept(logging.Handler):
    """Formats each record when it comes, as the program does."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, object]] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, root = Kept(), logging.getLogger("m0_operator")
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


async def test_lines_about_a_video_say_which_and_its_trace(world: World, kept: Kept) -> None:
    await world.send(request_body(), headers={"traceparent": TRACE})
    taken = next(line for line in kept.lines if line["message"] == "Request taken")
    assert taken["process_id"] == 101
    assert taken["trace_id"] == TRACE.split("-")[1]
    queue = WorkQueue()

    async def work(key: str) -> None:
        world.cluster.fail("create_job")
        queue.stop()
        await world.reconciler.reconcile(key)

    queue.add("video-101")
    await queue.run_worker(work)
    failed = next(line for line in kept.lines if line["message"].startswith("Reconcile failed"))
    assert failed["resource"] == "video-101"
    assert failed["process_id"] == 101
    assert failed["trace_id"] == TRACE.split("-")[1]


def test_what_is_noted_ends_with_its_scope(kept: Kept) -> None:
    logger = logging.getLogger("m0_operator.test")
    with about(resource="a"):
        note(process_id=1)
        logger.info("inside")
    note(process_id=2)
    logger.info("outside")
    inside, outside = kept.lines
    assert (inside["resource"], inside["process_id"]) == ("a", 1)
    assert "process_id" not in outside


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter("%(message)s")])
def test_a_line_hides_what_it_quotes(formatter: logging.Formatter) -> None:
    url = "https://a.blob.core.windows.net/c/f?sv=1&sig=SECRET1"
    record = logging.makeLogRecord(
        {"msg": url, "reason": f"GET {url}", "error": OSError("Authorization: Bearer SECRET2")}
    )
    error = OSError("amqp://me:SECRET3@host/")
    record.exc_info = (OSError, error, None)
    line = formatter.format(record)
    assert "SECRET" not in line
    assert line.count("[hidden]") >= 3
