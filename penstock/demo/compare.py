"""Whether the whole table is a fresh fold of the whole ledger, at one moment known to both."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from adapters.postgres.comparison import compare
from adapters.postgres.refold import TableImage, fold_ledger, read_table
from penstock.demo.logscan import partitions_of
from ports.log import PartitionReader
from schemas.topics import RouteMap

CATCH_UP_S = 60.0
"""The table has this long to reach the ledger's end; it follows within milliseconds when all is well."""
_LOOK_AGAIN_S = 0.2


class Comparison(NamedTuple):
    """Differences in words; None when there was nothing to compare, with the reason in ``problem``.

    ``problem`` beside differences (or none) says what was left out because the ledger was trimmed.
    """

    differences: Sequence[str] | None
    problem: str = ""


async def compare_table_with_log(
    reader: PartitionReader, conninfo: str, routes: RouteMap, epoch: str
) -> Comparison:
    """Fold the ledger from its first record there is up to where the table says it is, and compare every row.

    The table must reach the end the ledger has now. The ledger may grow meanwhile; what comes after
    the moment the table was read at is not compared.

    Parameters
    ----------
    reader
        Left assigned to the ledger; use it for nothing else afterwards.
    """
    partitions = partitions_of(routes.ledger, routes.partitions)
    ends = await reader.end_offsets(partitions)
    deadline_s = time.monotonic() + CATCH_UP_S
    table = await read_table(conninfo, epoch)
    while behind := [tp.partition for tp in partitions if table.positions.get(tp.partition, 0) < ends[tp]]:
        if time.monotonic() > deadline_s:
            problem = f"after {CATCH_UP_S:.0f} s the table is still behind the ledger on partitions {behind}"
            return Comparison(None, problem)
        await asyncio.sleep(_LOOK_AGAIN_S)
        table = await read_table(conninfo, epoch)
    return await _compared(reader, routes, epoch, table)


async def _compared(reader: PartitionReader, routes: RouteMap, epoch: str, table: TableImage) -> Comparison:
    fresh = await fold_ledger(reader, routes, epoch, until=table.positions)
    compared = await asyncio.to_thread(compare, *fresh, table.rows, routes.partitions)
    return Comparison(compared.differences, compared.omission)
