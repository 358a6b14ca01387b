"""Puts one request's parts together: source, cutter, stores, database, announcer."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import av
from m0_contract.errors import ErrorCode
from m0_contract.keys import destination_url, parse_object_url
from m0_contract.outcome import Outcome
from m0_contract.request import VideoRequest
from m0_wire import crash

from m0_chunker.adapters.announcer import Announcer, BrokerAnnouncer, StdoutAnnouncer
from m0_chunker.adapters.database import Database, GraphqlDatabase, NoDatabase
from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.logs import event
from m0_chunker.media.certificate import Certificate
from m0_chunker.media.cutter import Cutter
from m0_chunker.media.source import Film, Limits, open_film
from m0_chunker.media.spool import Spooling
from m0_chunker.pipeline import Pipeline, Places
from m0_chunker.plan import Resumption
from m0_chunker.resume import Done, Imprint, find_done, make_plan_id
from m0_chunker.settings import Settings
from m0_chunker.storage.stores import Stores
from m0_chunker.tracing import UNTRACED, Trace

if TYPE_CHECKING:
    from m0_chunker.storage.base import SourceFile


CUT_VERSION = 1
"""Counts the changes to how chunks come out: chunks of another version are not gone on from."""


READ_AGAIN = 8
"""Reading counts as getting on until a film was read so many times; ordinary ones: once."""


class Work:
    """One request, from its source to its outcome."""

    def __init__(
        self, settings: Settings, request: VideoRequest, stores: Stores, pipeline: Pipeline
    ) -> None:
        """Use `open`."""
        self._settings, self._request, self._stores = settings, request, stores
        self.pipeline = pipeline
        self._file: SourceFile | None = None

    @classmethod
    async def open(
        cls,
        settings: Settings,
        request: VideoRequest,
        stack: AsyncExitStack,
        trace: Trace = UNTRACED,
    ) -> Self:
        """Connect to everything that is configured.

        Args:
            settings: the deployment's.
            request: a valid one.
            stack: closes what is opened here.
            trace: is told what is done.

        Raises:
            ChunkerError: BAD_CONFIGURATION, BROKER_UNREACHABLE.
        """
        stores = Stores(settings)
        destination = destination_url(
            parse_object_url(request.cloud_stream_path), request.destination_prefix
        )
        if destination is None:  # validated already: the contract says where chunks go
            raise ChunkerError(ErrorCode.INVALID_REQUEST, "destination_prefix: no place to store")
        pipeline = Pipeline(
            request,
            Places(
                destination,
                request.cache_container_name,
                stores.of(destination.kind),
                settings.cache_ttl_hours,
            ),
            _open_database(settings, trace),
            await _open_announcer(settings, request, stack, trace),
            uploads=settings.uploads,
            spooling=Spooling(settings.scratch_dir, settings.spool_bytes),
            stall_s=settings.stall_s,
            resource=settings.resource,
            attempt=settings.attempt,
            trace=trace,
        )
        return cls(settings, request, stores, pipeline)

    async def run(self) -> None:
        """Do it.

        Raises:
            ChunkerError: why it could not be done.
        """
        done = await asyncio.to_thread(self._prepare)
        pipeline, file = self.pipeline, self._file
        assert file is not None  # noqa: S101 - it was prepared
        if done.resumption.chunks:
            pipeline.tally.resumed_at = done.resumption.chunks
            event("resumed", chunks=done.resumption.chunks, again=len(done.redo))
            self._take_over(done)
        await pipeline.run(
            lambda: self._cut(done.resumption),
            done,
            # Who reads a film over and over gets nowhere.
            lambda: min(file.bytes_read, READ_AGAIN * file.size_bytes),
        )

    def _take_over(self, done: Done) -> None:
        """Count what earlier attempts have done, but for what is about to be announced again."""
        tally = self.pipeline.tally
        certificate = Certificate.load(done.resumption.certificate)
        again = sum(chunk.size_bytes for chunk in done.redo)
        tally.chunks = done.resumption.chunks - len(done.redo)
        tally.size_bytes = certificate.size_bytes - again
        if done.whole:
            tally.mode = done.mode
            tally.integrity = certificate.to_integrity(float(done.resumption.end))

    def to_outcome(self, error: ChunkerError | None) -> Outcome:
        """The account, whatever way it ended."""
        file = self._file
        return self.pipeline.tally.to_outcome(
            error,
            source_bytes=file.size_bytes if file else None,
            bytes_read=file.bytes_read if file else None,
            libavformat=_libavformat(),
        )

    def _prepare(self) -> Done:
        """Open the source, look whether the destination is there and what is in it already."""
        source = parse_object_url(self._request.cloud_stream_path)
        if source is None:
            raise ChunkerError(
                ErrorCode.UNSUPPORTED_MEDIA, "live sources are not supported by this version"
            )
        store = self._stores.of(source.kind)
        file = self._file = store.open_source(source, self._request.cloud_stream_version_id)
        try:
            return self._look_around(str(source), file.identity)
        except BaseException:
            file.close()
            raise

    def _look_around(self, source: str, identity: str) -> Done:
        settings, pipeline = self._settings, self.pipeline
        places = pipeline.places
        for url in pipeline.urls(1):
            places.store.check_container(url)
        plan = make_plan_id(
            source,
            identity,
            self._request.video_preprocessing.model_dump_json(exclude_defaults=True),
            (settings.tail_fraction, settings.x264_preset, settings.x264_crf),
            (settings.thread_count, settings.salvage, _libavformat(), CUT_VERSION),
        )
        pipeline.imprint = Imprint(plan, settings.run, settings.uploads)

        def head(chunk_id: int) -> tuple[Mapping[str, str], int] | None:
            found = places.store.head(pipeline.urls(chunk_id)[0])
            return None if found is None else (found.metadata, found.size_bytes)

        return find_done(head, pipeline.imprint)

    def _cut(self, resumption: Resumption) -> Iterator[Chunk]:
        """Probe the film and cut it; runs in the cutter's thread."""
        settings, file = self._settings, self._file
        assert file is not None  # noqa: S101 - it was prepared
        limits = Limits(
            settings.max_streams,
            settings.max_pixels,
            settings.max_duration_hours * 3600,
            settings.max_chunks,
        )
        name = self._request.cloud_stream_path
        film = None
        try:
            film = open_film(file, name, limits, salvage=settings.salvage)
            yield from self._cut_film(film, limits, resumption)
        finally:
            file.close() if film is None else film.close()

    def _cut_film(self, film: Film, limits: Limits, resumption: Resumption) -> Iterator[Chunk]:
        settings, tally = self._settings, self.pipeline.tally
        tally.total_s = float(film.duration) if film.duration else None
        cutter = Cutter(
            film,
            self._request.video_preprocessing,
            settings,
            limits,
            Spooling(settings.scratch_dir, settings.spool_bytes),
            self.pipeline.check_stop,
        )
        chunks = cutter.chunks(resumption)
        tally.mode = cutter.mode
        event(
            "source opened",
            mode=cutter.mode,
            by=cutter.method,
            size_bytes=film.file.size_bytes,
            duration_s=tally.total_s,
            container=film.container.format.name,
            codecs=",".join(stream.codec_context.name for stream in film.streams[:8]),
        )
        crash.point("source.opened")
        yield from chunks
        tally.integrity = cutter.certify()


def _libavformat() -> str:
    return ".".join(map(str, av.library_versions["libavformat"]))


def _open_database(settings: Settings, trace: Trace) -> Database:
    if settings.graphql_url is None:
        return NoDatabase()
    from m0_wire.light_backend import LightBackend  # noqa: PLC0415 - only where there is a backend
    from m0_wire.mutations import read_documents  # noqa: PLC0415

    try:
        documents = read_documents(settings.graphql_documents)
    except ValueError as error:
        raise ChunkerError(ErrorCode.BAD_CONFIGURATION, str(error)) from error
    token = settings.graphql_token
    backend = LightBackend(
        settings.graphql_url,
        documents=documents,
        token=token.get_secret_value() if token else None,
    )
    return GraphqlDatabase(backend.mutate, trace)


async def _open_announcer(
    settings: Settings, request: VideoRequest, stack: AsyncExitStack, trace: Trace
) -> Announcer:
    if settings.amqp_url is None:
        return StdoutAnnouncer(request)
    from m0_wire.broker import Broker  # noqa: PLC0415 - 0.2 s of CPU
    from m0_wire.errors import BrokerUnavailableError  # noqa: PLC0415

    name = f"m0-chunker {settings.resource or request.process_id}"
    try:
        broker = await stack.enter_async_context(
            Broker(settings.amqp_url.get_secret_value(), name=name)
        )
    except BrokerUnavailableError as error:
        raise ChunkerError(ErrorCode.BROKER_UNREACHABLE, str(error)) from error
    return BrokerAnnouncer(
        broker,
        request,
        results_queue=settings.results_queue,
        progress_queue=settings.progress_queue,
        trace=trace,
    )
