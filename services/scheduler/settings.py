"""Settings of the scheduler."""

from pydantic import Field

from adapters.runtime.settings import ServiceSettings
from services.scheduler.decide import OnDead


class SchedulerSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of the scheduler."""

    key_window_s: float = Field(default=86_400, gt=0)
    """How long after a job its idempotency key stands for that job, by broker time in ``jobs``; used
    again later, it is a new job. The same for all schedulers of a pipeline, and best never changed."""

    order_on_dead: OnDead = OnDead.RELEASE
    """What a dead job does to its ordering key: ``release`` lets the next one run, ``block`` waits for a
    redrive that ends well, or for ``penstock order release``. Holds for deaths from then on."""
    workflow_unknown_wait_s: float = Field(default=3600.0, ge=1)
    """How long a job waits for jobs it depends on that nobody has submitted, while no other job of its
    workflow is on its way; then it is refused."""
    workflow_keep_s: float = Field(default=86_400.0, ge=0)
    """How long a workflow is remembered after its last job has ended, seconds: so long others may be added
    that depend on its jobs. About 500 bytes a job."""
    gates_cache_max_bytes: int = Field(default=33_554_432, ge=0)
    """Waiting jobs kept in memory; what does not fit is read again from the log when it may go on."""
    gates_snapshot_every: int = Field(default=200_000, ge=1)
    """Records of the logs of one partition number after which the state of its gates is written down."""
    gates_snapshot_every_s: float = Field(default=600.0, gt=0)
    """Time after which it is although there were fewer, seconds."""
    gates_snapshot_not_before_s: float = Field(default=60.0, ge=0)
    """Time between two of one partition number at least, seconds."""

    gates_told_every: int = Field(default=10_000, ge=1)
    """Records of one gate after which who passed is written down; likewise of ``jobs.held`` after which it is
    how far that is handed on."""
    known_keys_max_bytes: int = Field(default=1 << 30, ge=1)
    """Most memory of remembered ids and keys; above it the older ones go to a file and each look at them
    costs a look there. None is forgotten: its job would run twice."""
    spill_dir: str = ""
    """Directory of that file; that of temporary files by default, which must not be in memory itself."""
    gates_told_every_s: float = Field(default=60.0, gt=0)
    """Time after which it is although there were fewer, seconds."""
