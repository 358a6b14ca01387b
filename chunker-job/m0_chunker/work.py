"""Puts one request's parts together: source, cutter, stores, database, announcer."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import av
from m0_contract.errors import ErrorCode
from m0_contract.keys import cache_url, destination_url, parse_object_url
from m0_contract.outcome import Outcome
from m0_contract.request import VideoRequest

from m0_chunker.adapters.announcer import Announcer, BrokerAnnouncer, StdoutAnnouncer
from m0_chunker.adapters.database import Database, GraphqlDatabase, NoDatabase
from m0_chunker.chunk import Chunk
from m0_chunker.errors import ChunkerError
from m0_chunker.logs import event
from m0_chunker.media.feed import CopyFeed, PacketFeed
from m0_chunker.media.source import Film, check_end, open_film, wants_transcode
from m0_chunker.media.splitter import Splitter
from m0_chunker.media.writer import Spooling
from m0_chunker.pipeline import Pipeline, Places
from m0_chunker.plan import CutPlan
from m0_chunker.settings import Settings
from m0_chunker.storage.stores import Stores

if TYPE_CHECKING:
    from m0_chunker.storage.base import SourceFile


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
    async def open(cls, settings: Settings, request: VideoRequest, stack: AsyncExitStack) -> Self:
        """Connect to everything that is configured.

        Args:
            settings: the deployment's.
            request: a valid one.
            stack: closes what is opened here.

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
            _open_database(settings),
            await _open_announcer(settings, request, stack),
            uploads=settings.uploads,
            resource=settings.resource,
            attempt=settings.attempt,
        )
        return cls(settings, request, stores, pipeline)

    async def run(self) -> None:
        """Do it.

        Raises:
            ChunkerError: why it could not be done.
        """
        await self.pipeline.run(self._cut)

    def to_outcome(self, error: ChunkerError | None) -> Outcome:
        """The account, whatever way it ended."""
        file = self._file
        return self.pipeline.tally.to_outcome(
            error,
            source_bytes=file.size_bytes if file else None,
            bytes_read=file.bytes_read if file else None,
            libavformat=".".join(map(str, av.library_versions["libavformat"])),
        )

    def _cut(self) -> Iterator[Chunk]:
        """Open the film and cut it; runs in the cutter's thread."""
        source = parse_object_url(self._request.cloud_stream_path)
        if source is None:
            raise ChunkerError(
                ErrorCode.UNSUPPORTED_MEDIA, "live sources are not supported by this version"
            )
        file = self._file = self._stores.of(source.kind).open_source(source)
        try:
            self._check_places()
            film = open_film(file, str(source))
        except BaseException:
            file.close()
            raise
        try:
            yield from self._cut_film(film)
        finally:
            film.close()

    def _check_places(self) -> None:
        """Nothing is read of a film that can't be stored."""
        places, identity = self.pipeline.places, self._request.process_id
        places.store.check_container(places.destination)
        cached = cache_url(places.destination, places.cache_container, identity, 1)
        places.store.check_container(cached)

    def _cut_film(self, film: Film) -> Iterator[Chunk]:
        settings, wanted = self._settings, self._request.video_preprocessing
        tally = self.pipeline.tally
        tally.total_s = float(film.duration) if film.duration else None
        feed: PacketFeed = CopyFeed(film)
        tally.mode = "copy"
        if wants_transcode(film, wanted):
            from m0_chunker.media.transcode import Encoding, TranscodeFeed  # noqa: PLC0415

            tally.mode = "transcode"
            feed = TranscodeFeed(
                film,
                Encoding(wanted, settings.x264_preset, settings.x264_crf, settings.thread_count),
            )
        reference = film.streams[film.reference]
        event(
            "source opened",
            mode=tally.mode,
            size_bytes=film.file.size_bytes,
            duration_s=tally.total_s,
            container=film.container.format.name,
            codecs=",".join(stream.codec_context.name for stream in film.streams[:8]),
        )
        plan = CutPlan(
            Fraction(str(wanted.chunk_duration)),
            Fraction(str(settings.tail_fraction)),
            Fraction(reference.time_base) / 2,
        )
        spooling = Spooling(settings.scratch_dir, settings.spool_bytes)
        splitter = Splitter(feed, plan, spooling, check=self.pipeline.check_stop)
        yield from splitter.chunks()
        check_end(film, splitter.end)
        if splitter.certificate is not None:
            tally.integrity = splitter.certificate.check()


def _open_database(settings: Settings) -> Database:
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
    return GraphqlDatabase(backend.mutate)


async def _open_announcer(
    settings: Settings, request: VideoRequest, stack: AsyncExitStack
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
    )
