"""Every error has each mapping it needs; a new one without fails here."""

import pytest
from m0_operator import errors
from m0_wire import errors as wire


def leaves(kind: type[Exception]) -> set[type[Exception]]:
    below = kind.__subclasses__()
    return {kind} if not below else set().union(*(leaves(item) for item in below))


def test_every_error_is_tried_again_or_recorded_or_ends_the_process() -> None:
    everything = leaves(errors.OperatorError) | leaves(wire.WireError)
    mappings = (errors.TRY_AGAIN, errors.GIVE_UP, errors.STOP)
    for kind in everything:
        assert sum(issubclass(kind, mapping) for mapping in mappings) == 1, kind


def test_what_is_too_large_for_etcd_is_refused_again_however_often_it_is_tried() -> None:
    error = errors.error_from_status(500, "POST", "etcdserver: request is too large")
    assert isinstance(error, errors.ClusterRejectedError)


@pytest.mark.parametrize(
    ("status", "method", "kind"),
    [
        (404, "PATCH", errors.ClusterNotFoundError),
        (409, "POST", errors.AlreadyExistsError),
        (409, "PATCH", errors.ClusterConflictError),
        (410, "GET", errors.ClusterExpiredError),
        (400, "POST", errors.ClusterRejectedError),
        (413, "POST", errors.ClusterRejectedError),
        (422, "POST", errors.ClusterRejectedError),
        (401, "GET", errors.ClusterForbiddenError),
        (403, "POST", errors.ClusterForbiddenError),
        (429, "GET", errors.ClusterUnavailableError),
        (500, "GET", errors.ClusterUnavailableError),
        (504, "GET", errors.ClusterUnavailableError),
    ],
)
def test_each_answer_of_the_api_has_its_error(
    status: int, method: str, kind: type[Exception]
) -> None:
    assert type(errors.error_from_status(status, method, "text")) is kind
