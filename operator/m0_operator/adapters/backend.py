"""The backend's status mutations."""

from m0_wire.backend import Backend

from m0_operator.domain.actions import BackendStatus

_MUTATIONS = {
    "batch": "updateBatchVideoProcessingStatus",
    "live": "updateCamVideoProcessingStatus",
}


class GraphqlReporter:
    """Sets a video's status at the GraphQL backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def report(
        self, process_id: int | str, modality: str, status: BackendStatus, error: str | None
    ) -> None:
        """Set it and wait for the answer.

        Raises:
            BackendRejectedError, BackendUnavailableError: as `Backend.mutate` says.
        """
        variables = {"process_id": process_id, "status": status, "error": error}
        await self._backend.mutate(_MUTATIONS[modality], variables)
