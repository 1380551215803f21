"""The measured points that a simulation is made of and held against, as docs/performance.md has them."""

from benchmarks.scale.costs import BatchCosts, Measured
from core.planning.measured import BATCH_US, BROKER_BATCH_US, BROKER_READ_US

PUBLISHED = Measured(
    commit="6f83440",
    cores=2,
    backlog_jobs_per_s=2740.0,
    backlog_us={
        "executor": 144,
        "materializer": 126,
        "kafka": 82,
        "dlq_handler": 74,
        "postgres": 70,
        "ingest": 45,
        "prioritizer": 38,
        "workers": 23,
        "client": 17,
        "scheduler": 2,
    },
    alone_per_s=50.0,
    at_percent={
        50.0: {
            "kafka": 45,
            "materializer": 28,
            "executor": 23,
            "dlq_handler": 17,
            "postgres": 16,
            "ingest": 10,
            "prioritizer": 9,
            "workers": 2,
        },
        500.0: {
            "kafka": 43,
            "materializer": 18,
            "executor": 19,
            "dlq_handler": 16,
            "postgres": 12,
            "ingest": 17,
            "prioritizer": 15,
            "workers": 3,
        },
    },
    idle_percent={
        "kafka": 5.6,
        "materializer": 0.3,
        "executor": 1.3,
        "dlq_handler": 0.6,
        "ingest": 0.4,
        "prioritizer": 0.7,
        "workers": 0.7,
    },
    latency_ms={
        50.0: {
            "acknowledged": (5, 25),
            "claimed": (20, 99),
            "started": (24, 127),
            "closed in the ledger": (29, 152),
            "terminal row": (54, 194),
        },
        500.0: {
            "acknowledged": (21, 220),
            "claimed": (122, 486),
            "started": (152, 547),
            "closed in the ledger": (182, 616),
            "terminal row": (273, 713),
        },
    },
)
"""Medians of four runs on two cores that other work used, too (load 1 to 5). The least disturbed run had at
50/s: acknowledged 2 / 16, claimed 10 / 32, closed 14 / 47, terminal row 26 / 82."""
BATCHES = BatchCosts(BATCH_US, BROKER_BATCH_US, BROKER_READ_US)
