"""Whether what was learned is right: features equal the fold of the outcomes, models are whole."""

import asyncio

from adapters.kafka.appender import appending
from adapters.kafka.reader import reading
from core.log import Record, TopicPartition
from ports.model_shelf import ModelShelf
from schemas.model_book import ModelBook
from tests.chaos.rig.process import wait_until
from tests.chaos.scenario import Field
from tests.chaos.stack import Stack
from tests.support.feature_topics import expected, published

EQUAL_WITHIN_S = 90.0
"""A restart of the fold and a rebalance, while jobs still run."""


def wait_for_equal_features(field: Field) -> None:
    """Return once all outcomes there are now are folded, and what is published equals their fold.

    Jobs run on: what is published is compared with the outcomes it says it is made of.
    """
    routes = field.stack.routes
    least = expected(asyncio.run(_read(field.stack, routes.outcomes)), routes)[1]

    def are_equal() -> bool:
        features = published(asyncio.run(_read(field.stack, routes.features)))
        outcomes = asyncio.run(_read(field.stack, routes.outcomes))
        far = features[1]
        is_far = all(far.get(partition, 0) >= offset for partition, offset in least.items())
        return is_far and features == expected(outcomes, routes, far)

    wait_until(are_equal, "features equal to a fold that never stopped", EQUAL_WITHIN_S, 1.0)


def require_whole_models(field: Field) -> None:
    """Check that models were made, that each can be read whole, and that who orders is one of them."""
    book = asyncio.run(_models(field.stack))
    assert book.manifests, "no model was published"
    assert book.standing is not None, "models are published, and nothing says who orders"
    assert book.needed() <= book.manifests.keys(), "somebody orders, or watches, who was never published"


async def _models(stack: Stack) -> ModelBook:
    async with (
        reading(stack.kafka, client_id="chaos-models") as reader,
        appending(stack.kafka, client_id="chaos-models") as appender,
    ):
        shelf = ModelShelf(reader, appender, stack.routes)
        book = await shelf.look()
        for manifest in book.manifests.values():
            if book.has_bytes(manifest):
                await shelf.bytes_of(manifest)
        return book


async def _read(stack: Stack, topic: str) -> list[Record]:
    async with reading(stack.kafka, client_id="chaos-learned") as reader:
        places = [TopicPartition(topic, number) for number in range(stack.routes.learning_partitions)]
        ends = await reader.end_offsets(places)
        await reader.assign(await reader.start_offsets(places))
        records: list[Record] = []
        while any(reader.position(place) < end for place, end in ends.items()):
            records += await reader.poll(0.2)
        return records
