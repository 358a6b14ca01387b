"""When a Job ends in a way that another Job may mend, and what that one is to be like.

A pod that fails for a while (a store that is down) is its Job's own matter, by the exit
code. Here is what no pod of the same Job could do better: too little memory, a node that
is gone, a Job that somebody deleted, a broker that is away for longer than a Job tries.
"""

from dataclasses import replace
from datetime import timedelta

from m0_contract.errors import ErrorCode

from m0_operator.domain.actions import CreateJob
from m0_operator.domain.job_template import JobTemplate
from m0_operator.domain.memory import more_memory
from m0_operator.domain.status import FailureStatus, JobRef

MAX_RETRIES = 3
"""Further Jobs for one video after ends that are held against it."""

MAX_ABSENCES = 12
"""Further Jobs for one video after ends by an absence; see `wait_before`."""

MAX_JOBS = 24
"""Jobs for one video, whatever their ends: none is started for ever."""

_PLATFORM = frozenset(
    {
        ErrorCode.BROKER_UNREACHABLE,
        ErrorCode.DATABASE_UNREACHABLE,
        ErrorCode.SECRETS_UNREACHABLE,
    }
)
"""What all videos need alike: its absence is no fault of any of them."""

FIRST_WAIT_S, WAIT_FACTOR, LONGEST_WAIT_S = 30, 4, 480
"""Half a minute, two, then eight each: with MAX_ABSENCES, one of 80 minutes is outlived.

Meanwhile the videos that wait keep their slots, and all others wait in the queue.
"""

_COUNTED = frozenset({ErrorCode.JOB_LOST, ErrorCode.KILLED, ErrorCode.OUT_OF_MEMORY})
_FREE = frozenset({ErrorCode.NODE_LOST})


def wait_before(ref: JobRef, failure: FailureStatus) -> timedelta:
    """How long the next Job after this failure is put off, from the end of the last one."""
    if failure.code not in _PLATFORM:
        return timedelta()
    return timedelta(seconds=min(FIRST_WAIT_S * WAIT_FACTOR**ref.absences, LONGEST_WAIT_S))


def next_job(ref: JobRef, failure: FailureStatus, template: JobTemplate) -> CreateJob | None:
    """The Job that may mend this failure of Job `ref`; None when the failure stands."""
    code, limit = failure.code, ref.memory or template.memory_limit
    why = f"{failure.message.rstrip('.')}; it is started again."
    following = CreateJob(ref.attempt + 1, ref.memory, ref.retries, ref.absences, why, code)
    if ref.attempt >= MAX_JOBS:
        return None
    if code is ErrorCode.OUT_OF_MEMORY and limit is not None:
        # More of the same would end the same: what bounds it is the cap.
        memory = more_memory(limit, template.memory_cap) if template.memory_cap else None
        why = f"{limit} of memory were too little; it is started again with {memory}."
        return replace(following, memory=memory, why=why) if memory else None
    if code in _PLATFORM and ref.absences < MAX_ABSENCES:
        return replace(following, absences=ref.absences + 1)
    if code in _COUNTED and ref.retries < MAX_RETRIES:
        return replace(following, retries=ref.retries + 1)
    return following if code in _FREE else None
