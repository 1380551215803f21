"""``penstock models``: what is trained, what is in force, and the switch that takes models out of it."""

import asyncio
import getpass
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from adapters.learned.canary import Canary
from penstock.cli.appending import appending
from penstock.cli.connect import Connections, DataOption, connections
from penstock.cli.console import JsonOption, cell_text, command, fail, say, show_json, show_table
from penstock.cli.models_preempt import preempt
from penstock.cli.models_show import (
    POOL_COLUMNS,
    cells_of,
    columns_of,
    difference_of,
    metric_rows,
    model_of,
    pool_rows,
    standing_of,
    standing_text,
)
from penstock.cli.reading import reading, require_topics, stretch
from penstock.errors import PenstockError
from ports.model_shelf import Act, ModelShelf
from ports.model_watch import RefusedModelError
from schemas.model_acts import (
    ActError,
    Actor,
    UnchangedError,
    named,
    promoted,
    rolled_back,
    shadowed,
    switched,
    trains,
    usable,
    without,
)
from schemas.model_book import ModelBook
from schemas.models import BrokenModelError, ModelManifest, Purpose, Standing, place_of_models

ACT_TIMEOUT_S = 120.0
"""Reading the topic, a trial, and an append that is read back; longer than a trial may take."""

Model = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Its id, the beginning or the end of it, newest, champion, previous or shadow."
    ),
]
PurposeOption = Annotated[
    Purpose, typer.Option("--purpose", help="What models are for: to order jobs, or to time retries.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; stands beside who did it.")]


class ModelError(PenstockError):
    """What was asked for about models cannot be done."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Show trained models, and say which are in force.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("diff")(diff)
    group.command("promote")(promote)
    group.command("shadow")(shadow)
    group.command("rollback")(rollback)
    group.command("disable")(disable)
    group.command("enable")(enable)
    group.command("preempt")(preempt)
    app.add_typer(group, name="models")


@command
async def list_(
    purpose: PurposeOption = Purpose.ORDER, as_json: JsonOption = False, data: DataOption = None
) -> None:
    """List the models there are, newest first, and which is in force."""
    book = await read_book(connections(data), purpose)
    manifests = [book.manifests[one] for one in sorted(book.manifests, reverse=True)]
    if as_json:
        show_json(
            {
                "standing": standing_of(book.standing),
                "models": [model_of(book, manifest) for manifest in manifests],
                "pools": pool_rows(book),
            }
        )
        return
    say(standing_text(book.standing, purpose))
    if not manifests:
        say(f"There are no models; {trains(purpose)} makes one.")
        return
    show_table(columns_of(purpose), [cells_of(book, manifest, time.time()) for manifest in manifests])
    if book.laws:
        rows = [tuple(row[name] for name in POOL_COLUMNS) for row in pool_rows(book)]
        show_table(POOL_COLUMNS, rows, title="Costs that the buckets of a pool cover")


@command
async def show(
    model: Model = "champion",
    purpose: PurposeOption = Purpose.ORDER,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show all that is known of one model: what it was trained on, and how it was judged."""
    book = await read_book(connections(data), purpose)
    manifest = _found(lambda: named(book, model))
    members = model_of(book, manifest)
    if as_json:
        show_json(members | {"features": list(manifest.features)})
        return
    for name, value in members.items():
        if name not in ("metrics", "beside"):
            say(f"{name:<14}{cell_text(value)}".rstrip())
    beside = sorted(manifest.beside)
    show_table(
        ("metric", "model", *beside), metric_rows([manifest.metrics, *(manifest.beside[b] for b in beside)])
    )


@command
async def diff(
    model: Model,
    other: Annotated[
        str, typer.Argument(metavar="[OTHER]", help="What it is compared with, named likewise.")
    ] = "champion",
    purpose: PurposeOption = Purpose.ORDER,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Compare two models: metrics side by side, data, and features added or removed.

    Metrics of two models are each of their own newest slice: only what was judged on the same data compares.
    """
    book = await read_book(connections(data), purpose)
    one, two = _found(lambda: named(book, model)), _found(lambda: named(book, other))
    found = difference_of(one, two)
    if as_json:
        show_json(found)
        return
    show_table(("", one.id, two.id), [(name, *values) for name, values in found["about"].items()])
    show_table(("metric", one.id, two.id, "difference"), [tuple(row.values()) for row in found["metrics"]])
    for name in ("features_added", "features_removed"):
        say(f"{name.replace('_', ' ')}: {', '.join(found[name]) or 'none'}")


@command
async def promote(
    model: Model,
    reason: Reason = "",
    untried: Annotated[bool, typer.Option("--untried", help="Do not try it out here first.")] = False,
    purpose: PurposeOption = Purpose.ORDER,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Let a model order jobs, or time retries, from now on.

    `ewma` stands for no model that orders jobs: the running mean does. `history` stands for none that times
    retries: what each dlq_handler saw does. A model is tried out here first, in a process apart, as every
    service does before it uses one.
    """
    async with open_shelf(connections(data), purpose) as (where, shelf):
        if model == without(purpose):
            await _act(shelf, lambda book, actor: promoted(book, model, actor), reason, as_json=as_json)
            return
        book = await shelf.look()
        # What is tried out is promoted, also when another model is the newest by then.
        manifest = _found(lambda: usable(book, named(book, model)))
        if not untried:
            await _try_out(where, shelf, manifest)
        await _act(shelf, lambda book, actor: promoted(book, manifest.id, actor), reason, as_json=as_json)
        if not as_json and manifest.judged:
            say(f"Its verdict was: {manifest.judged}")


@command
async def shadow(
    model: Annotated[str, typer.Argument(metavar="ID", help="As for promote; none: nobody.")],
    reason: Reason = "",
    purpose: PurposeOption = Purpose.ORDER,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Let a model predict beside the champion and decide nothing, so that the two can be compared."""
    async with open_shelf(connections(data), purpose) as (_, shelf):
        name = None if model == "none" else model
        await _act(shelf, lambda book, actor: shadowed(book, name, actor), reason, as_json=as_json)


@command
async def rollback(
    reason: Reason = "",
    purpose: PurposeOption = Purpose.ORDER,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Put the champion before this one in force again; once more undoes that."""
    async with open_shelf(connections(data), purpose) as (_, shelf):
        await _act(shelf, rolled_back, reason, as_json=as_json)


@command
async def disable(
    reason: Reason = "",
    purpose: PurposeOption = Purpose.ORDER,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Take all models of a purpose out of force at once, as if there were none.

    Jobs are then ordered by the rule; retries are timed by what each dlq_handler saw.
    """
    async with open_shelf(connections(data), purpose) as (_, shelf):
        await _act(shelf, lambda book, actor: switched(book, actor, enabled=False), reason, as_json=as_json)


@command
async def enable(
    reason: Reason = "",
    purpose: PurposeOption = Purpose.ORDER,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Put models in force again, the champion as it stands."""
    async with open_shelf(connections(data), purpose) as (_, shelf):
        await _act(shelf, lambda book, actor: switched(book, actor, enabled=True), reason, as_json=as_json)


async def _act(
    shelf: ModelShelf, decide: Callable[[ModelBook, Actor], Standing], reason: str, *, as_json: bool
) -> None:
    """Say what is in force. What is so already is said, and no failure: a switch may be thrown twice."""
    actor = Actor(f"cli:{getpass.getuser()}", int(time.time() * 1000), reason)
    act: Act = lambda book: decide(book, actor)  # noqa: E731 - with its type
    try:
        standing: Standing | None = await shelf.act(act)
    except UnchangedError as error:
        standing = (await shelf.look()).standing
        if not as_json:
            say(str(error))
            return
    except ActError as error:
        raise ModelError(str(error)) from error
    if as_json:
        show_json(standing_of(standing))
    else:
        say(standing_text(standing, shelf.purpose))


async def _try_out(where: Connections, shelf: ModelShelf, manifest: ModelManifest) -> None:
    try:
        await Canary(where.model_key).check(manifest, await shelf.bytes_of(manifest))
    except (RefusedModelError, BrokenModelError) as error:
        raise ModelError(f"model {manifest.id} is refused, and nothing was changed: {error}") from error


def _found(find: Callable[[], ModelManifest]) -> ModelManifest:
    try:
        return find()
    except ActError as error:
        fail(str(error))


async def read_book(where: Connections, purpose: Purpose = Purpose.ORDER) -> ModelBook:
    """Read the topic to its end; asks no service and no database."""
    await require_topics(where.kafka, [where.routes.models])
    book = ModelBook(purpose)
    async with reading(where.kafka) as reader:
        async for record in stretch(reader, [place_of_models(where.routes)]):
            book.take(record)
    return book


@asynccontextmanager
async def open_shelf(
    where: Connections, purpose: Purpose = Purpose.ORDER
) -> AsyncIterator[tuple[Connections, ModelShelf]]:
    """Reach the topic of models, to read and to write."""
    await require_topics(where.kafka, [where.routes.models])
    async with (
        asyncio.timeout(ACT_TIMEOUT_S),
        reading(where.kafka) as reader,
        appending(where) as appender,
    ):
        yield where, ModelShelf(reader, appender, where.routes, purpose=purpose)
