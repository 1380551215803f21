"""How far behind what is known of tenants and types is, for ``penstock services`` and ``penstock doctor``."""

import math
from collections.abc import Mapping

from adapters.embedded.checks import Check, Outcome
from core.log import Record, TopicPartition
from penstock.cli.connect import Connections
from penstock.cli.reading import existing_topics, reading
from schemas.codec import decode_outcome
from schemas.features import FoldProgress, read_feature
from schemas.outcomes import told_ms

LATE_S = 15.0
"""Seconds are closed 2 s late and published within another; a restart of the fold takes ten."""
REMEDY = (
    "see that the service features runs (`penstock services`, its log); until then what is known gets older, "
    "and jobs run as they did"
)


async def features_lag_s(where: Connections) -> float:
    """Give how much older the newest published features are than the newest outcome, seconds.

    0 when there is nothing to learn from; infinite when nothing was published of what there is.
    """
    topics = (where.routes.outcomes, where.routes.features)
    if set(topics) - await existing_topics(where.kafka):
        return 0.0
    numbers = range(where.routes.learning_partitions)
    async with reading(where.kafka) as reader:
        places = [TopicPartition(topic, number) for topic in topics for number in numbers]
        ends = await reader.end_offsets(places)
        await reader.assign({place: max(0, end - 1) for place, end in ends.items()})
        last: dict[str, dict[int, Record]] = {topic: {} for topic in topics}
        while any(reader.position(place) < end for place, end in ends.items()):
            for record in await reader.poll(0.5):
                last[record.topic][record.partition] = record
    outcomes, features = last.values()
    return lag_s(outcomes, features)


def lag_s(outcomes: Mapping[int, Record], features: Mapping[int, Record]) -> float:
    """Compare the last record of each partition of both topics."""
    worst_s = 0.0
    for partition, record in outcomes.items():
        last = features.get(partition)
        progress = None if last is None else read_feature(last)
        if not isinstance(progress, FoldProgress):
            return math.inf
        end_ms = told_ms(decode_outcome(record), record.timestamp_ms)
        worst_s = max(worst_s, (end_ms - progress.end_ms) / 1000)
    return worst_s


def describe_lag(seconds: float) -> str:
    """Write it for people."""
    if math.isinf(seconds):
        return "nothing was ever learned from the outcomes there are"
    return f"features are {seconds:.0f} s older than the newest outcome"


def check_features(seconds: float) -> Check:
    """Say whether who decides knows what there is to know."""
    if seconds <= LATE_S:
        return Check("features", Outcome.GOOD, describe_lag(seconds))
    return Check("features", Outcome.WARNING, describe_lag(seconds), REMEDY)
