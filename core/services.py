"""The services of a pipeline: the one list that the supervisor, Compose and the CLI share."""

from typing import NamedTuple


class ServiceSpec(NamedTuple):
    """One service, started as ``python -m services.NAME``."""

    name: str
    summary: str
    """The question it answers."""
    replicas: int
    """Processes by default; more of them share the partitions."""


SERVICES: tuple[ServiceSpec, ...] = (
    ServiceSpec("ingest", "Is it valid?", 1),
    ServiceSpec("scheduler", "May it run now?", 1),
    ServiceSpec("prioritizer", "How soon?", 1),
    ServiceSpec("executor", "Run it.", 1),
    ServiceSpec("dlq_handler", "It failed: what now? Is its executor alive?", 1),
    ServiceSpec("materializer", "What happened?", 1),
    ServiceSpec("features", "What are jobs like?", 1),
    ServiceSpec("trainer", "What have we learned?", 1),
)
"""In the order in which a job meets them."""

LEARNING = ("features", "trainer")
"""Services that only learn from jobs: without them everything runs."""
JOB_SERVICES: tuple[str, ...] = tuple(spec.name for spec in SERVICES if spec.name not in LEARNING)
"""Those that jobs need."""
