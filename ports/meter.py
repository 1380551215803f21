"""Every metric once, with kind, unit and labels; a misspelt one does not type-check.

Names follow the Prometheus conventions (base units, ``_total`` for counters). A job id, tenant or
any other unbounded value is never a label.
"""

from enum import Enum
from typing import NamedTuple, Protocol


class Kind(Enum):
    """What a metric does."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Definition(NamedTuple):
    """One metric as it is exposed."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metric(Enum):
    """All metrics of all services."""

    ACCEPTED = Definition(
        "penstock_jobs_accepted_total", Kind.COUNTER, "Records accepted as jobs.", ("pool",)
    )
    REJECTED = Definition(
        "penstock_jobs_rejected_total", Kind.COUNTER, "Records sent to jobs.rejected.", ("reason",)
    )
    REPEATED = Definition(
        "penstock_jobs_repeated_total", Kind.COUNTER, "Records naming a job that is known.", ("conflict",)
    )
    KNOWN_KEYS = Definition(
        "penstock_known_keys", Kind.GAUGE, "Supplied ids and idempotency keys the gates remember."
    )
    KNOWN_KEYS_BYTES = Definition(
        "penstock_known_keys_bytes", Kind.GAUGE, "Memory of the ids and keys the gates remember."
    )
    SPILLED_KEYS = Definition(
        "penstock_spilled_keys", Kind.GAUGE, "Ids and keys the gates remember on disk: memory is too small."
    )
    DELAYED = Definition(
        "penstock_wheel_hops_total", Kind.COUNTER, "Records put into a wheel tier.", ("tier",)
    )
    WHEEL_LATENESS = Definition(
        "penstock_wheel_lateness_seconds",
        Kind.HISTOGRAM,
        "Time between due and released.",
        (),
        (0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300),
    )
    GATED = Definition(
        "penstock_gated_jobs_total",
        Kind.COUNTER,
        "Jobs a gate made wait, let pass, skipped or refused.",
        ("gate", "outcome"),
    )
    SCHEDULES = Definition("penstock_schedules", Kind.GAUGE, "Schedules this scheduler follows.")
    TICKS = Definition("penstock_schedule_ticks_total", Kind.COUNTER, "Ticks of schedules fired as jobs.")
    TICK_LATENESS = Definition(
        "penstock_schedule_lateness_seconds",
        Kind.HISTOGRAM,
        "Time between a tick and its job, jitter not counted.",
        (),
        _SECONDS,
    )
    QUEUED = Definition(
        "penstock_jobs_queued_total", Kind.COUNTER, "Dispatches put into a bucket.", ("pool", "bucket")
    )
    WAITING = Definition(
        "penstock_queue_waiting_records",
        Kind.GAUGE,
        "Dispatches fetched, not yet claimed.",
        ("pool", "bucket"),
    )
    OLDEST_WAITING = Definition(
        "penstock_queue_oldest_waiting_seconds",
        Kind.GAUGE,
        "Age of the oldest dispatch at the head of a bucket.",
        ("pool", "bucket"),
    )
    WAIT = Definition(
        "penstock_job_wait_seconds", Kind.HISTOGRAM, "Ready until started.", ("pool", "bucket"), _SECONDS
    )
    RUN = Definition(
        "penstock_job_run_seconds", Kind.HISTOGRAM, "Run time of one attempt.", ("pool", "outcome"), _SECONDS
    )
    PARKED = Definition(
        "penstock_jobs_held_total",
        Kind.COUNTER,
        "Dispatches put into jobs.held, by who found them and why.",
        ("stage", "cause"),
    )
    HANDED_ON = Definition(
        "penstock_jobs_handed_on_total", Kind.COUNTER, "Dispatches handed on from jobs.held.", ("cause",)
    )
    CIRCUITS = Definition(
        "penstock_circuits", Kind.GAUGE, "Circuits that are not closed, by state.", ("state",)
    )
    CIRCUIT_CHANGES = Definition(
        "penstock_circuit_changes_total",
        Kind.COUNTER,
        "Circuits that came into a state, as said by this instance.",
        ("state",),
    )
    EXCUSED = Definition(
        "penstock_failures_excused_total",
        Kind.COUNTER,
        "Failures that use up no attempt: the circuit of what was called was open.",
    )
    RETRIES_DELAYED = Definition(
        "penstock_retries_delayed_total", Kind.COUNTER, "Retries that had to wait for a retry budget."
    )
    RETRY_CHOICES = Definition(
        "penstock_retry_choices_total",
        Kind.COUNTER,
        "Decisions about failures written by this instance, by who decided and which arm was asked.",
        ("policy", "arm"),
    )
    HELD_JOBS = Definition(
        "penstock_held_jobs", Kind.GAUGE, "Jobs in owned partitions of jobs.held.", ("cause",)
    )
    LIMITED_WAITING = Definition(
        "penstock_queue_limited_records",
        Kind.GAUGE,
        "Dispatches in an executor's memory that wait for a token of a rate limit.",
        ("pool",),
    )
    CLAIMS = Definition(
        "penstock_claims_total",
        Kind.COUNTER,
        "Claims by whose partition they were made in (own, stolen) and what became of them.",
        ("pool", "source", "result"),
    )
    FOLLOWED = Definition(
        "penstock_steal_partitions",
        Kind.GAUGE,
        "Partitions of others that this executor follows to take work from.",
        ("pool",),
    )
    LOST = Definition(
        "penstock_dispatches_lost_total", Kind.COUNTER, "Dispatches declared lost.", ("reason",)
    )
    RETRIES = Definition("penstock_retries_total", Kind.COUNTER, "Decisions to try again.", ("error_class",))
    DEAD = Definition("penstock_jobs_dead_total", Kind.COUNTER, "Jobs given up.", ("error_class",))
    DEADLINES = Definition(
        "penstock_deadlines_total",
        Kind.COUNTER,
        "Jobs with a deadline that succeeded or died, by whether it was met or missed.",
        ("outcome",),
    )
    LEASE_LAPSES = Definition("penstock_lease_lapses_total", Kind.COUNTER, "Leases this executor lost.")
    SLOTS_BUSY = Definition("penstock_executor_slots_busy", Kind.GAUGE, "Dispatches running now.", ("pool",))
    ROWS = Definition("penstock_rows_written_total", Kind.COUNTER, "Rows upserted.", ("table",))
    BATCH = Definition(
        "penstock_batch_records", Kind.HISTOGRAM, "Records handled in one batch.", ("stage",), _SIZES
    )
    LAG = Definition(
        "penstock_lag_records", Kind.GAUGE, "Records of owned partitions not taken yet.", ("topic",)
    )
    LAG_SECONDS = Definition(
        "penstock_lag_seconds", Kind.GAUGE, "Age of the newest record handled.", ("topic",)
    )
    CLOCK_SKEW = Definition(
        "penstock_wall_clock_skew_seconds", Kind.GAUGE, "Wall clock of this service minus broker time."
    )
    OUTCOMES_DROPPED = Definition(
        "penstock_outcomes_dropped_total",
        Kind.COUNTER,
        "Outcomes nobody will learn from: the log took none for too long, or refused them.",
    )
    OUTCOMES = Definition(
        "penstock_outcomes_total",
        Kind.COUNTER,
        "Outcomes folded into features, by whether they came on time, late (their second was closed, so they "
        "count in the next) or again.",
        ("came",),
    )
    FEATURE_KEYS = Definition(
        "penstock_feature_keys", Kind.GAUGE, "Tenants, types and pairs of them whose history is known."
    )
    FEATURE_LAG = Definition(
        "penstock_features_lag_seconds",
        Kind.GAUGE,
        "How much older what is known of tenants and types is than the newest outcome.",
    )
    TRAININGS = Definition(
        "penstock_trainings_total",
        Kind.COUNTER,
        "Models that were to be made, by purpose (order, retry) and what came of it: made, failed, or "
        "unavailable (the database).",
        ("purpose", "came"),
    )
    DRIFT = Definition(
        "penstock_model_drift",
        Kind.GAUGE,
        "How the predictions of a purpose's champion compare with what happened since; docs/training.md has "
        "the measures.",
        ("purpose", "measure"),
    )
    MODELS_TRIED = Definition(
        "penstock_models_tried_total",
        Kind.COUNTER,
        "Models tried out before use, by purpose (order, retry) and what came of it: good, or refused.",
        ("purpose", "result"),
    )
    SCORED = Definition(
        "penstock_scored_total",
        Kind.COUNTER,
        "Dispatches scored, by whose expectation orders them: rule, ewma, or a model.",
        ("model",),
    )
    MODEL_FAILURES = Definition(
        "penstock_model_failures_total",
        Kind.COUNTER,
        "Batches a model could not predict; jobs went by the running mean.",
        ("model",),
    )
    MODEL_TRUSTED = Definition(
        "penstock_model_trusted", Kind.GAUGE, "1 while the champion orders jobs, 0 while it is on trial."
    )
    MODEL_LEAD = Definition(
        "penstock_model_lead",
        Kind.GAUGE,
        "Kendall's tau of the champion's order of run times, less that of the running mean.",
    )
    PREEMPT_MODE = Definition(
        "penstock_preempt_mode",
        Kind.GAUGE,
        "1 for the mode in force: on falls back to watch while the champion has no point.",
        ("mode",),
    )
    FORESEEN = Definition(
        "penstock_foreseen_failures_total",
        Kind.COUNTER,
        "Dispatches above their model's point, by what was done: diverted; or run, because nothing is "
        "diverted (watched), that costs less (cheap), they were drawn (sampled), or enough was diverted "
        "(budget).",
        ("way",),
    )
    FORESEEN_ENDS = Definition(
        "penstock_foreseen_ends_total",
        Kind.COUNTER,
        "Ends of those that ran: succeeded ones were false alarms.",
        ("way", "outcome"),
    )
    PREEMPTIONS = Definition(
        "penstock_preemptions_total",
        Kind.COUNTER,
        "Decisions about diverted dispatches: dead, hold, or released from a hold.",
        ("arm",),
    )
    MODELS_READY = Definition(
        "penstock_models_ready",
        Kind.GAUGE,
        "Whether a model is in use for this purpose (order, retry) in this place (champion, shadow): 0 or 1.",
        ("purpose", "role"),
    )
    TRIMMED = Definition(
        "penstock_trimmed_records_total",
        Kind.COUNTER,
        "Records deleted because nobody needs them.",
        ("topic",),
    )
    KEPT = Definition(
        "penstock_kept_records", Kind.GAUGE, "Records of owned partitions there are.", ("topic",)
    )
    HELD = Definition(
        "penstock_held_records",
        Kind.GAUGE,
        "Records of owned partitions that may not be trimmed, by what holds the oldest of them.",
        ("topic", "reason"),
    )
    LEDGER_BYTES = Definition(
        "penstock_ledger_bytes", Kind.GAUGE, "Size on disk of an owned ledger partition.", ("partition",)
    )


class Meter(Protocol):
    """Where measurements go."""

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        ...

    def gauge(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        ...
