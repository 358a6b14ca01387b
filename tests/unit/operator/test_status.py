"""The status model: conditions, patches and what is worth an event."""

from datetime import UTC, datetime
from typing import Any

from fakes.cluster import merge
from hypothesis import given
from hypothesis import strategies as st
from m0_contract.errors import ErrorCode
from m0_operator.domain.status import (
    SENTENCES,
    ConditionType,
    Reason,
    Status,
    announcements,
    build_failure,
    build_merge_patch,
)

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

leaf = st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
trees = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(leaf, lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, min_size=1)),
)


@given(trees, trees)
def test_a_patch_takes_the_old_to_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merge(old, build_merge_patch(old, new)) == new


@given(trees)
def test_equal_status_makes_no_patch(tree: dict[str, Any]) -> None:
    assert build_merge_patch(tree, tree) == {}


def test_the_transition_time_moves_only_when_the_condition_flips() -> None:
    kind = ConditionType.BACKEND_REPORTED
    status = Status().with_condition(kind, "True", Reason.STATUS_CONFIRMED, EARLY, "QUEUED")
    same = status.with_condition(kind, "True", Reason.STATUS_CONFIRMED, LATE, "PROCESSING")
    assert same.conditions[0].last_transition_time == "2026-01-01T00:00:00Z"
    assert same.conditions[0].message == "PROCESSING"
    flipped = same.with_condition(kind, "False", Reason.BACKEND_UNAVAILABLE, LATE)
    assert flipped.conditions[0].last_transition_time == "2026-01-02T00:00:00Z"


def test_every_reason_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Reason)


def test_every_code_makes_a_failure_with_a_remedy() -> None:
    for code in ErrorCode:
        assert build_failure(code, "why").remedy


def test_an_event_is_for_a_flip_not_for_each_look() -> None:
    kind = ConditionType.BACKEND_REPORTED
    away = Status().with_condition(kind, "False", Reason.BACKEND_UNAVAILABLE, EARLY)
    assert [item.reason for item in announcements(Status(), away)] == ["BackendUnavailable"]
    still = away.with_condition(kind, "False", Reason.BACKEND_UNAVAILABLE, LATE, "still")
    assert list(announcements(away, still)) == []
