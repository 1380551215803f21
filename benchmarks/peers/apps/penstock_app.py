"""The measured task on Penstock, of the type that the benchmarks count rows of.

``benchmarks.tasks`` declares the same type, so the two are never imported together.
"""

from benchmarks.peers.apps.effects import note
from penstock.context import Context
from penstock.task import task


@task("bench.noop")
async def noop(_ctx: Context, payload: object) -> None:
    """Note that it ran; jobs without a number only warm up."""
    if isinstance(payload, dict) and "number" in payload:
        note(int(payload["number"]))
