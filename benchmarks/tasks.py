"""The app of the measured pipeline: a task that does nothing, so that only the pipeline costs."""

from penstock.context import Context
from penstock.task import task

NOOP = "bench.noop"


@task(NOOP)
async def noop(_ctx: Context, _payload: object) -> None:
    """Return at once."""
