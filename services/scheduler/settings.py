"""Settings of the scheduler."""

from pydantic import Field

from adapters.runtime.settings import ServiceSettings


class SchedulerSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of the scheduler."""

    key_window_s: float = Field(default=86_400, gt=0)
    """How long after a job its idempotency key stands for that job, by broker time in ``jobs``; used
    again later, it is a new job. The same for all schedulers of a pipeline, and best never changed."""

    gates_told_every: int = Field(default=10_000, ge=1)
    """Records of one gate after which who passed is written down."""
    known_keys_max_bytes: int = Field(default=1 << 30, ge=1)
    """Most memory of remembered ids and keys; above it the older ones go to a file and each look at them
    costs a look there. None is forgotten: its job would run twice."""
    spill_dir: str = ""
    """Directory of that file; that of temporary files by default, which must not be in memory itself."""
    gates_told_every_s: float = Field(default=60.0, gt=0)
    """Time after which it is although there were fewer, seconds."""
