"""Effects in the user's Postgres that happen once per job, whatever is repeated, killed or late.

An attempt that was cut off may have done anything, and the next one does it again. Here the effect and the
mark that it was done are one transaction, and the mark is unique per job: two attempts that overlap, a
redrive, a worker that was stopped and wakes up too late cannot both do it.

Needs psycopg 3, which comes with Penstock; the database may be any Postgres of the user's own.
"""

from collections.abc import Awaitable, Callable
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.types.json import Jsonb

from penstock.context import Context
from penstock.errors import PermanentError

EFFECTS_TABLE: LiteralString = """
CREATE TABLE IF NOT EXISTS penstock_effects (
    job_id uuid NOT NULL,
    name text NOT NULL,
    dispatch integer NOT NULL,
    result jsonb,
    done_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, name)
)
"""
"""What a migration of the user's database runs once.

Nothing here deletes rows: one that is older than any redrive may still come is of no use, so
``DELETE FROM penstock_effects WHERE done_at < now() - interval '90 days'`` is safe for whom that holds.
"""

_MARK: LiteralString = """
INSERT INTO penstock_effects (job_id, name, dispatch) VALUES (%s, %s, %s)
ON CONFLICT (job_id, name) DO NOTHING
"""
_FOUND: LiteralString = "SELECT dispatch, result FROM penstock_effects WHERE job_id = %s AND name = %s"
_KEEP: LiteralString = "UPDATE penstock_effects SET result = %s WHERE job_id = %s AND name = %s"


def once(
    connection: Connection[Any],
    ctx: Context,
    effect: Callable[[], object],
    *,
    name: str = "effect",
) -> Any:
    """Have the effect once for this job, and give what it returned, then or earlier.

    Parameters
    ----------
    connection
        To the database the effect writes to. Everything ``effect`` does on it is one transaction with the
        mark; inside a transaction that is open already, both are committed or lost with that one.
    effect
        Writes through ``connection`` and returns a JSON value. What it does elsewhere (mails, files, other
        databases) is not undone with the transaction, and so is *not* exactly once.
    name
        Tells several effects of one job apart.

    Returns
    -------
    object
        What this call returned, or what an earlier attempt's returned, as it comes back from JSON.

    Raises
    ------
    PermanentError
        A later attempt of the job has done it: this one was given up meanwhile, and whatever it does counts
        for nothing. Or the table ``EFFECTS_TABLE`` is missing.
    TypeError
        What the effect returned is no JSON value; nothing was done.
    psycopg.Error
        The database refuses or is away; nothing was done, and the next attempt does it. Two that meet under
        ``REPEATABLE READ`` or ``SERIALIZABLE`` get a serialization failure, as with any unique key.

    Notes
    -----
    Of two attempts that run at the same time the second waits until the first has committed or rolled back.
    """
    key = (ctx.job_id, name)
    with connection.transaction():
        try:
            marked = connection.execute(_MARK, (*key, ctx.dispatch)).rowcount
        except psycopg.errors.UndefinedTable as error:
            raise _no_table(error) from error
        if not marked:
            return _earlier(ctx, name, connection.execute(_FOUND, key).fetchone())
        result = effect()
        connection.execute(_KEEP, (Jsonb(result), *key))
        return result


async def once_async(
    connection: AsyncConnection[Any],
    ctx: Context,
    effect: Callable[[], Awaitable[object]],
    *,
    name: str = "effect",
) -> Any:
    """Have the effect once for this job: ``once`` for async handlers."""
    key = (ctx.job_id, name)
    async with connection.transaction():
        try:
            marked = (await connection.execute(_MARK, (*key, ctx.dispatch))).rowcount
        except psycopg.errors.UndefinedTable as error:
            raise _no_table(error) from error
        if not marked:
            return _earlier(ctx, name, await (await connection.execute(_FOUND, key)).fetchone())
        result = await effect()
        await connection.execute(_KEEP, (Jsonb(result), *key))
        return result


def _no_table(error: psycopg.Error) -> PermanentError:
    return PermanentError(
        f"{error.diag.message_primary}: run penstock.effects.EFFECTS_TABLE once in this database"
    )


def _earlier(ctx: Context, name: str, found: tuple[Any, ...] | None) -> Any:
    # Deleted between the two statements: only somebody's clean-up can do that.
    if found is None:
        raise psycopg.OperationalError(f"the mark of {name!r} of job {ctx.job_id} was deleted meanwhile")
    dispatch, result = found
    if dispatch > ctx.dispatch:
        raise PermanentError(f"{name!r} was done by a later attempt of this job: this one was given up")
    return result
