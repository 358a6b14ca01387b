"""When a Job ends in a way that another Job may mend, and what that one is to be like.

A pod that fails for a while (a store that is down) is its Job's own matter, by the exit
code. Here is what no pod of the same Job could do better: too little memory, a node that
is gone, a Job that somebody deleted, a broker that is away for longer than a Job tries.
"""

from datetime import timedelta

from m0_contract.errors import ErrorCode

from m0_operator.domain.actions import CreateJob
from m0_operator.domain.job_template import JobTemplate
from m0_operator.domain.memory import more_memory
from m0_operator.domain.status import FailureStatus, JobRef

MAX_RETRIES = 3
"""Further Jobs for one video after ends that are held against it."""

MAX_JOBS = 12
"""Jobs for one video, whatever their ends: none is started for ever."""

_PLATFORM = frozenset({ErrorCode.BROKER_UNREACHABLE, ErrorCode.DATABASE_UNREACHABLE})
"""What all videos need alike: its absence is no fault of any of them."""

FIRST_WAIT_S, WAIT_FACTOR = 30, 4
"""Half a minute, two, eight: with the pods' own tries, an absence of ten minutes is outlived."""

_COUNTED = _PLATFORM | {ErrorCode.JOB_LOST, ErrorCode.KILLED, ErrorCode.OUT_OF_MEMORY}
_FREE = frozenset({ErrorCode.NODE_LOST})


def wait_before(ref: JobRef, failure: FailureStatus) -> timedelta:
    """How long the next Job after this failure is put off, from the end of the last one."""
    seconds = FIRST_WAIT_S * WAIT_FACTOR**ref.retries if failure.code in _PLATFORM else 0
    return timedelta(seconds=seconds)


def next_job(ref: JobRef, failure: FailureStatus, template: JobTemplate) -> CreateJob | None:
    """The Job that may mend this failure of Job `ref`; None when the failure stands."""
    attempt = ref.attempt + 1
    if attempt > MAX_JOBS:
        return None
    memory, why = ref.memory, f"{failure.message.rstrip('.')}; it is started again."
    limit = ref.memory or template.memory_limit
    if failure.code is ErrorCode.OUT_OF_MEMORY and limit is not None:
        # More of the same would end the same: what bounds it is the cap.
        memory = more_memory(limit, template.memory_cap) if template.memory_cap else None
        if memory is None:
            return None
        why = f"{limit} of memory were too little; it is started again with {memory}."
        return CreateJob(attempt, memory, ref.retries, why, failure.code)
    if failure.code in _FREE:
        return CreateJob(attempt, memory, ref.retries, why, failure.code)
    if failure.code in _COUNTED and ref.retries < MAX_RETRIES:
        return CreateJob(attempt, memory, ref.retries + 1, why, failure.code)
    return None
