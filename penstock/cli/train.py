"""``penstock train``: make a model of what became of jobs or failures, or of a recording, and judge it."""

import asyncio
import getpass
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import typer

from adapters.embedded.home import write_atomically
from adapters.learned.child import ChildMaker, Limits
from core.learning.enough import Enough
from penstock.cli.appending import APPEND_TIMEOUT_S, appending
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.main import package_version
from penstock.cli.reading import reading, require_topics
from penstock.cli.train_options import (
    KindOption,
    MemoryOption,
    OutOption,
    PromoteOption,
    PublishOption,
    PurposeOption,
    RowsOption,
    TraceOption,
)
from ports.model_shelf import ModelShelf
from ports.training import Found, Kind, MakingFailedError, Order, UnavailableError, When, is_promotable
from schemas.model_acts import Actor, command_of, promoted
from schemas.model_book import ModelBook
from schemas.model_fit import misfit_of
from schemas.model_signature import is_signed, signed
from schemas.models import BrokenModelError, ModelManifest, Purpose, Standing

ROWS_MAX = {Purpose.ORDER: 300_000, Purpose.RETRY: 50_000}
MEMORY_MB = 3_072
"""As the service has them by default."""
TIME_LIMIT_S = 6 * 3600.0
_SHOWN = {
    Purpose.ORDER: (
        ("failed_logloss", "log loss of failing"),
        ("failed_ece", "calibration error"),
        ("failed_pr_auc", "PR-AUC of failing"),
        ("run_spearman", "rank correlation of run times"),
        ("run_within_2x", "share within 2x"),
    ),
    Purpose.RETRY: (
        ("log_score", "log score of recoveries"),
        ("failures", "failures judged on"),
        ("jobs", "their jobs"),
    ),
}
_DOES = {Purpose.ORDER: "orders jobs", Purpose.RETRY: "times retries"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


@command
async def train(
    from_trace: TraceOption = None,
    kind: KindOption = Kind.BOOSTED,
    purpose: PurposeOption = Purpose.ORDER,
    rows: RowsOption = None,
    memory_mb: MemoryOption = MEMORY_MB,
    out: OutOption = None,
    publish: PublishOption = False,
    promote: PromoteOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make a model of what became of jobs, or of their failures, and judge it.

    It is judged on the newest ends, which it is not trained on, beside the champion and what there is without
    a model: the running mean, or the history of recoveries. Nothing is published without --publish or
    --promote.
    """
    _refuse_what_cannot_be(purpose, from_trace, kind, out)
    publish = publish or promote
    where = connections(data) if publish or from_trace is None else None
    if where is None:
        order = _order(ModelBook(purpose), from_trace, kind, rows)
        found, model = await _made(order, b"", memory_mb, None)
        _finish(found, model, out, as_json=as_json)
        return
    await require_topics(where.kafka, [where.routes.models])
    async with _shelf(where, purpose) as shelf:
        order = _order(await shelf.look(), from_trace, kind, rows)
        found, model = await _made(order, await _champion(shelf, order, where.model_key), memory_mb, where)
        made = _required(found)
        if publish:
            made = made if where.model_key is None else signed(made, where.model_key)
            await shelf.publish(made, model)
        said = await _promoted(shelf, made) if promote and is_promotable(made) else None
    _finish(found, model, out, as_json=as_json, published=publish, standing=said)
    if promote and said is None:
        fail(
            f"model {made.id} is not promoted: see its verdict; "
            f"`{command_of(purpose, 'promote', made.id)}` does it"
        )
    if said is not None and not said.enabled:
        enable = command_of(purpose, "enable")
        typer.echo(f"models are disabled: `{enable}` puts the champion in force", err=True)


def _refuse_what_cannot_be(purpose: Purpose, from_trace: Path | None, kind: Kind, out: Path | None) -> None:
    if purpose is Purpose.RETRY and from_trace is not None:
        fail(
            "--purpose retry learns from logged decisions about failures, which no recording has: "
            "leave --from-trace out",
            code=2,
        )
    if purpose is Purpose.RETRY and kind is not Kind.BOOSTED:
        fail(f"--kind {kind.value}: models that time retries are of one kind; leave --kind out", code=2)
    if out is not None and not out.absolute().parent.is_dir():
        fail(f"--out {out}: there is no directory {out.absolute().parent}", code=2)


def _order(book: ModelBook, trace: Path | None, kind: Kind, rows: int | None) -> Order:
    champion = None
    if book.standing is not None and book.standing.champion is not None:
        found = book.manifests.get(book.standing.champion)
        # One of other features cannot be asked about these vectors.
        champion = found if found is not None and misfit_of(found) is None else None
    return Order(
        now_ms=_now_ms(),
        by=_me(),
        when=When.NOW,
        code_version=package_version(),
        kind=kind,
        rows_max=ROWS_MAX[book.purpose] if rows is None else rows,
        enough=Enough(0, 0, 0),
        newest=book.newest,
        champion=champion,
        trace="" if trace is None else str(trace.resolve()),
        purpose=book.purpose,
    )


async def _made(
    order: Order, champion: bytes, memory_mb: int, where: Connections | None
) -> tuple[Found, bytes]:
    environment = dict(os.environ)
    if where is not None:
        environment["PENSTOCK_DATABASE_URL"] = where.database.conninfo
    maker = ChildMaker(Limits(memory_mb << 20, TIME_LIMIT_S, 10), environment, plain=True)
    try:
        return await maker.make(order, champion)
    except (UnavailableError, MakingFailedError) as error:
        fail(str(error))


def _required(found: Found) -> ModelManifest:
    if found.model is None:
        fail(f"no model was made: {found.waits_for}")
    return found.model


async def _champion(shelf: ModelShelf, order: Order, key: bytes | None) -> bytes:
    if order.champion is None:
        return b""
    if key is not None and not is_signed(order.champion, key):
        typer.echo("the champion is not judged beside it: it is not signed with our key", err=True)
        return b""
    try:
        return await shelf.bytes_of(order.champion)
    except BrokenModelError as error:
        typer.echo(f"the champion is not judged beside it: {error}", err=True)
        return b""


@asynccontextmanager
async def _shelf(where: Connections, purpose: Purpose) -> AsyncIterator[ModelShelf]:
    async with reading(where.kafka) as reader, appending(where) as appender:
        yield ModelShelf(reader, appender, where.routes, purpose=purpose)


async def _promoted(shelf: ModelShelf, made: ModelManifest) -> Standing:
    actor = Actor(_me(), _now_ms(), made.judged)
    async with asyncio.timeout(APPEND_TIMEOUT_S):
        return await shelf.act(lambda book: promoted(book, made.id, actor))


def _me() -> str:
    return f"cli:{getpass.getuser()}"


def _now_ms() -> int:
    return int(time.time() * 1000)


def _finish(
    found: Found,
    model: bytes,
    out: Path | None,
    *,
    as_json: bool,
    published: bool = False,
    standing: Standing | None = None,
) -> None:
    made = _required(found)
    if out is not None:
        write_atomically(out, model)
        write_atomically(out.with_name(f"{out.name}.json"), msgspec.json.format(msgspec.json.encode(made)))
    if as_json:
        show_json(_document(found, made, published=published, promoted=standing is not None))
        return
    purpose = Purpose(made.purpose)
    show_table(("", "model", *made.beside), [_row(made, name, words) for name, words in _SHOWN[purpose]])
    say(f"verdict: {made.judged}")
    say(
        f"trained on {made.rows} decisions from {_time(made.begin_ms)} to {_time(made.cut_ms)}, "
        f"judged on what came after; {made.size_bytes / 1e6:.1f} MB"
    )
    if standing is not None:
        say(f"model {made.id} is published and {_DOES[purpose]} from here on")
    elif published:
        say(f"model {made.id} is published; nothing asks it until it is promoted")
    else:
        say("nothing is published; --publish does, and --promote puts it in force if it may be")


def _row(made: ModelManifest, name: str, words: str) -> tuple[object, ...]:
    return (words, made.metrics.get(name), *(of.get(name) for of in made.beside.values()))


def _document(found: Found, made: ModelManifest, *, published: bool, promoted: bool) -> Mapping[str, Any]:
    return {
        "id": made.id,
        "kind": made.kind,
        "purpose": made.purpose,
        "verdict": made.judged,
        "may_be_promoted": is_promotable(made),
        "metrics": made.metrics,
        "beside": made.beside,
        "ends": found.ends,
        "failures": found.failures,
        "trained_rows": made.rows,
        "begin": _time(made.begin_ms),
        "cut": _time(made.cut_ms),
        "size_bytes": made.size_bytes,
        "sha256": made.sha256,
        "published": published,
        "promoted": promoted,
    }


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
