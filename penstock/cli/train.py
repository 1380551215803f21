"""``penstock train``: make a model of what became of jobs, or of a recording, and judge it."""

import asyncio
import getpass
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from adapters.embedded.home import write_atomically
from adapters.learned.child import ChildMaker, Limits
from core.learning.enough import Enough
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, command, fail, say, show_json, show_table
from penstock.cli.main import package_version
from penstock.cli.reading import reading, require_topics
from penstock.cli.schedule_topic import APPEND_TIMEOUT_S, appending
from ports.model_shelf import ModelShelf
from ports.training import Found, Kind, MakingFailedError, Order, UnavailableError, When, is_promotable
from schemas.model_acts import Actor, promoted
from schemas.model_book import ModelBook
from schemas.model_features import misfit
from schemas.model_signature import is_signed, signed
from schemas.models import BrokenModelError, ModelManifest, Standing

ROWS_MAX = 300_000
MEMORY_MB = 3_072
"""As the service has them by default."""
TIME_LIMIT_S = 6 * 3600.0
_SHOWN = (
    ("failed_logloss", "log loss of failing"),
    ("failed_ece", "calibration error"),
    ("failed_pr_auc", "PR-AUC of failing"),
    ("run_spearman", "rank correlation of run times"),
    ("run_within_2x", "share within 2x"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


@command
async def train(
    from_trace: Annotated[
        Path | None,
        typer.Option(
            "--from-trace",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Learn from a recording (Google 2011 CSV, Standard Workload Format; packed or not) instead.",
        ),
    ] = None,
    kind: Annotated[Kind, typer.Option("--kind", help="Boosted trees, or one tree a head.")] = Kind.BOOSTED,
    rows: Annotated[int, typer.Option("--rows", min=100, help="Newest decisions to learn from.")] = ROWS_MAX,
    memory_mb: Annotated[
        int, typer.Option("--memory-mb", min=256, help="What the process that trains may map.")
    ] = MEMORY_MB,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the model there, and its manifest to FILE.json."),
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish/--dry-run", help="Publish it, or only say how good it is.")
    ] = False,
    promote: Annotated[
        bool, typer.Option("--promote", help="Publish it, and let it order jobs if its verdict allows that.")
    ] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make a model of what became of jobs, and judge it.

    It is judged on the newest ends, which it is not trained on, beside the running mean and the champion.
    Nothing is published without --publish or --promote.
    """
    if out is not None and not out.absolute().parent.is_dir():
        fail(f"--out {out}: there is no directory {out.absolute().parent}", code=2)
    publish = publish or promote
    where = connections(data) if publish or from_trace is None else None
    if where is None:
        found, model = await _made(_order(None, from_trace, kind, rows), b"", memory_mb, None)
        _finish(found, model, out, as_json=as_json)
        return
    await require_topics(where.kafka, [where.routes.models])
    async with _shelf(where) as shelf:
        order = _order(await shelf.look(), from_trace, kind, rows)
        found, model = await _made(order, await _champion(shelf, order, where.model_key), memory_mb, where)
        made = _required(found)
        if publish:
            made = made if where.model_key is None else signed(made, where.model_key)
            await shelf.publish(made, model)
        said = await _promoted(shelf, made) if promote and is_promotable(made) else None
    _finish(found, model, out, as_json=as_json, published=publish, standing=said)
    if promote and said is None:
        fail(f"model {made.id} is not promoted: see its verdict; `penstock models promote {made.id}` does it")
    if said is not None and not said.enabled:
        typer.echo("models are disabled: `penstock models enable` lets the champion order jobs", err=True)


def _order(book: ModelBook | None, trace: Path | None, kind: Kind, rows: int) -> Order:
    champion = None
    if book is not None and book.standing is not None and book.standing.champion is not None:
        found = book.manifests.get(book.standing.champion)
        # One of other features cannot be asked about these vectors.
        champion = found if found is not None and misfit(found.features) is None else None
    return Order(
        now_ms=_now_ms(),
        by=_me(),
        when=When.NOW,
        code_version=package_version(),
        kind=kind,
        rows_max=rows,
        enough=Enough(0, 0, 0),
        newest=None if book is None else book.newest,
        champion=champion,
        trace="" if trace is None else str(trace.resolve()),
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
async def _shelf(where: Connections) -> AsyncIterator[ModelShelf]:
    async with reading(where.kafka) as reader, appending(where) as appender:
        yield ModelShelf(reader, appender, where.routes)


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
    show_table(("", "model", *made.beside), [_row(made, name, words) for name, words in _SHOWN])
    say(f"verdict: {made.judged}")
    say(
        f"trained on {made.rows} decisions from {_time(made.begin_ms)} to {_time(made.cut_ms)}, "
        f"judged on what came after; {made.size_bytes / 1e6:.1f} MB"
    )
    if standing is not None:
        say(f"model {made.id} is published and orders from here on")
    elif published:
        say(f"model {made.id} is published; it orders nothing until it is promoted")
    else:
        say("nothing is published; --publish does, and --promote lets it order jobs if it may")


def _row(made: ModelManifest, name: str, words: str) -> tuple[object, ...]:
    return (words, made.metrics.get(name), *(of.get(name) for of in made.beside.values()))


def _document(found: Found, made: ModelManifest, *, published: bool, promoted: bool) -> Mapping[str, Any]:
    return {
        "id": made.id,
        "kind": made.kind,
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
