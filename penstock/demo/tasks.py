"""The demo's app: eight task types whose work is made up but whose failures are real errors."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock.context import Context
from penstock.demo.effects import append_effect
from penstock.demo.orders_plan import NAP_TYPES
from penstock.errors import OverloadError, PermanentError, TransientError
from penstock.task import RetryRule, task

_QUICK = RetryRule(base="300ms", cap="2s")
"""Waits short enough for a demo of a minute."""
_CANCEL_CHECK_S = 0.05


class Work(BaseModel):
    """What one job pretends to do."""

    model_config = ConfigDict(extra="forbid")

    run_s: float = Field(ge=0, le=3600, description="Seconds to take.")
    cpu_s: float = Field(default=0, ge=0, le=10, description="Seconds of them spent computing.")
    outcome: Literal["ok", "permanent", "transient", "overload", "overrun"] = "ok"
    fail_attempts: int | None = Field(default=None, description="Only the first so many fail; null: all.")
    overrun_s: float = Field(default=0, ge=0, description="Seconds an overrunning attempt would take.")
    effects_file: str = Field(description="Where start and end are written.")

    def fails(self, attempt: int) -> bool:
        """Whether this attempt is one that fails."""
        return self.outcome != "ok" and (self.fail_attempts is None or attempt <= self.fail_attempts)

    def length_s(self, attempt: int) -> float:
        """How long this attempt takes when nobody stops it."""
        return self.overrun_s if self.outcome == "overrun" and self.fails(attempt) else self.run_s


@contextmanager
def witnessed(ctx: Context, path: str) -> Iterator[None]:
    """Write a start line, and an end line however the block ends (a killed process writes none)."""
    ending = "cancelled"
    append_effect(path, ctx.job_id, ctx.dispatch, ctx.attempt, "start")
    try:
        yield
        ending = "ok"
    except Exception as error:
        ending = type(error).__name__
        raise
    finally:
        append_effect(path, ctx.job_id, ctx.dispatch, ctx.attempt, "end", ending)


@task("email.send", payload=Work, retry=_QUICK, uses=["smtp"])
async def send_email(ctx: Context, work: Work) -> dict[str, object]:
    """Hand a letter to a mail server that is sometimes busy."""
    return await _perform(ctx, work)


@task("webhook.deliver", payload=Work, retry=_QUICK, uses=["webhooks"])
async def deliver_webhook(ctx: Context, work: Work) -> dict[str, object]:
    """Call a customer's address."""
    return await _perform(ctx, work)


@task("invoice.charge", payload=Work, retry=_QUICK, uses=["payments"])
async def charge_invoice(ctx: Context, work: Work) -> dict[str, object]:
    """Ask a payment provider for money."""
    return await _perform(ctx, work)


@task("etl.load", payload=Work, retry=_QUICK, uses=["warehouse"])
async def load_table(ctx: Context, work: Work) -> dict[str, object]:
    """Load a table; its run times have the longest tail."""
    return await _perform(ctx, work)


@task("search.index", payload=Work, retry=_QUICK)
async def index_documents(ctx: Context, work: Work) -> dict[str, object]:
    """Index documents."""
    return await _perform(ctx, work)


@task("report.build", payload=Work, retry=_QUICK)
async def build_report(ctx: Context, work: Work) -> dict[str, object]:
    """Build a report, computing now and then."""
    ctx.log.info("building", pages=int(work.run_s * 10))
    ctx.progress(0.1, "collecting figures")
    return await _perform(ctx, work)


@task("image.resize", payload=Work, retry=_QUICK)
def resize_image(ctx: Context, work: Work) -> dict[str, object]:
    """Resize an image: an ordinary function, run in a thread."""
    return _perform_in_thread(ctx, work)


@task("model.score", payload=Work, retry=_QUICK)
def score(ctx: Context, work: Work) -> dict[str, object]:
    """Score a record: an ordinary function, run in a thread."""
    return _perform_in_thread(ctx, work)


class Nap(BaseModel):
    """Work that only takes its time."""

    model_config = ConfigDict(extra="forbid")

    run_s: float = Field(ge=0, le=60, description="Seconds to take.")
    fails: bool = Field(default=False, description="Whether it ends in an error.")
    text: str = Field(default="", description="What it is about; longer ones take longer.")


def _napping(type_: str) -> None:
    @task(type_, payload=Nap)
    async def nap(_ctx: Context, work: Nap) -> None:
        await asyncio.sleep(work.run_s)
        if work.fails:
            raise PermanentError("slept badly")


for _type in NAP_TYPES:
    _napping(_type)


async def _perform(ctx: Context, work: Work) -> dict[str, object]:
    with witnessed(ctx, work.effects_file):
        _compute(work.cpu_s)
        await asyncio.sleep(work.length_s(ctx.attempt))
        _conclude(ctx, work)
    return {"attempt": ctx.attempt, "run_s": work.run_s}


def _perform_in_thread(ctx: Context, work: Work) -> dict[str, object]:
    with witnessed(ctx, work.effects_file):
        _compute(work.cpu_s)
        until_s = time.monotonic() + work.length_s(ctx.attempt)
        while (left_s := until_s - time.monotonic()) > 0:
            ctx.raise_if_cancelled()
            time.sleep(min(left_s, _CANCEL_CHECK_S))
        _conclude(ctx, work)
    return {"attempt": ctx.attempt, "run_s": work.run_s}


def _compute(cpu_s: float) -> None:
    until_s = time.thread_time() + cpu_s
    while time.thread_time() < until_s:
        sum(range(500))


def _conclude(ctx: Context, work: Work) -> None:
    if not work.fails(ctx.attempt):
        return
    match work.outcome:
        case "permanent":
            raise PermanentError("the address does not exist")
        case "transient":
            raise TransientError("connection reset by peer")
        case "overload":
            raise OverloadError("too many requests", retry_after_s=1.0)
        case "overrun" | "ok":
            return
