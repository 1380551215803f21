"""What a job says about the jobs it depends on, as it travels and as gates and notes read it."""

from enum import StrEnum

import msgspec


class OnParentFailure(StrEnum):
    """What becomes of a job when one of its parents ends without success."""

    SKIP = "skip"
    """It is skipped, and so are its children that say so too."""
    RUN = "run"
    """It runs once all its parents have ended, however they did."""
    WAIT = "wait"
    """It waits until the parent was tried again and has succeeded."""


class ParentGroup(msgspec.Struct, frozen=True, omit_defaults=True):
    """``depends_on`` of a job that waits for all jobs of a group."""

    group: str
    count: int | None = None
    """How many jobs the group has in the end: the first count said for a group seals it."""


DependsOn = tuple[str, ...] | ParentGroup
"""Job ids, or a group; both of the job's own workflow."""
