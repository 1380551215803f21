"""Failpoints: named places between two effects, where a test can have a process killed, stopped or blocked.

A step says that it came by; unless something is armed that is one look at an empty dictionary (about
80 ns, per batch, not per job). What stands between which effects: ``ports/failpoint_list.py``. Arming
belongs to the frame of a service (``adapters/runtime/failpoints.py``).
"""

from collections.abc import Callable, Mapping
from enum import StrEnum, unique


@unique
class Failpoint(StrEnum):
    """One name for one kind of place; a service has each of its own at most once."""

    # Every service: start and end of the process, and each produce request.
    CONNECTED = "connected"
    ANNOUNCED = "announced"
    JOINED = "joined"
    BATCH_ACKNOWLEDGED = "batch_acknowledged"
    LEFT = "left"
    # Members of a group: from records to the commit of their offsets.
    POLLED = "polled"
    WORKED = "worked"
    COMMITTED = "committed"
    STOPPING = "stopping"
    LAST_COMMITTED = "last_committed"
    # Ingest and prioritizer.
    TOLD = "told"
    DECIDED = "decided"
    DIVERSION_APPENDED = "diversion_appended"
    APPENDED = "appended"
    # Whoever reports outcomes, and the fold of them.
    OUTCOMES_TAKEN = "outcomes_taken"
    OUTCOMES_APPENDED = "outcomes_appended"
    OUTCOMES_READ = "outcomes_read"
    SECONDS_CLOSED = "seconds_closed"
    STATES_KEPT = "states_kept"
    FEATURES_TAKEN = "features_taken"
    FEATURES_APPENDED = "features_appended"
    # Trainer.
    TRAINING_DUE = "training_due"
    TRAINED = "trained"
    MODEL_CUT = "model_cut"
    MODEL_CHUNK_APPENDED = "model_chunk_appended"
    MODEL_MANIFEST_APPENDED = "model_manifest_appended"
    MODEL_READ_BACK = "model_read_back"
    MODELS_REMOVED = "models_removed"
    MODEL_PUBLISHED = "model_published"
    STANDING_DUE = "standing_due"
    STANDING_TOLD = "standing_told"
    LAWS_DUE = "laws_due"
    LAWS_TOLD = "laws_told"
    # Who keeps the circuits.
    CIRCUITS_DUE = "circuits_due"
    CIRCUITS_TOLD = "circuits_told"
    # Scheduler.
    ADMITTED = "admitted"
    DUE = "due"
    OPENING = "opening"
    OPENED = "opened"
    TICK_DUE = "tick_due"
    TICKED = "ticked"
    ADMITTED_APPENDED = "admitted_appended"
    RELEASED_APPENDED = "released_appended"
    PASSAGES_DUE = "passages_due"
    PASSAGES_APPENDED = "passages_appended"
    TICKS_DUE = "ticks_due"
    TICKS_APPENDED = "ticks_appended"
    TICKS_SETTLED = "ticks_settled"
    HELD_TAKEN = "held_taken"
    HELD_HANDED_ON = "held_handed_on"
    HELD_TOLD = "held_told"
    HELD_MARKS_DUE = "held_marks_due"
    HELD_MARKS_APPENDED = "held_marks_appended"
    # Executor.
    HEARTBEAT_DUE = "heartbeat_due"
    HEARTBEAT_APPENDED = "heartbeat_appended"
    LEASE_RENEWED = "lease_renewed"
    LAPSED = "lapsed"
    WORKERS_KILLED = "workers_killed"
    PARKING = "parking"
    PARKED = "parked"
    DEMAND_DUE = "demand_due"
    DEMAND_APPENDED = "demand_appended"
    CLAIM_DECIDED = "claim_decided"
    CLAIM_APPENDED = "claim_appended"
    CLAIM_READ_BACK = "claim_read_back"
    STARTED = "started"
    STOP_READ = "stop_read"
    STOP_PASSED_ON = "stop_passed_on"
    NOTES_TAKEN = "notes_taken"
    NOTES_APPENDED = "notes_appended"
    TASK_ENDED = "task_ended"
    FAILURE_APPENDED = "failure_appended"
    SPAWNED_APPENDED = "spawned_appended"
    CLOSURE_APPENDED = "closure_appended"
    DRAINING = "draining"
    DRAINED = "drained"
    HANDING_BACK = "handing_back"
    HANDED_BACK = "handed_back"
    GOODBYE_SAID = "goodbye_said"
    # dlq_handler: decisions, losses, snapshots.
    SIGNATURES_DUE = "signatures_due"
    SIGNATURES_TOLD = "signatures_told"
    CLOSURE_READ = "closure_read"
    DECISION_READ_BACK = "decision_read_back"
    DECISION_APPENDED = "decision_appended"
    RETRY_APPENDED = "retry_appended"
    DEAD_LETTER_APPENDED = "dead_letter_appended"
    SILENCE_SEEN = "silence_seen"
    PROBE_APPENDED = "probe_appended"
    LOSS_PROVEN = "loss_proven"
    LOST_ATTEMPT_APPENDED = "lost_attempt_appended"
    LOST_APPENDED = "lost_appended"
    HOLDS_KNOWN = "holds_known"
    HOLDS_ENDED = "holds_ended"
    IMAGE_TAKEN = "image_taken"
    CHUNK_APPENDED = "chunk_appended"
    MANIFEST_APPENDED = "manifest_appended"
    SNAPSHOT_READ_BACK = "snapshot_read_back"
    TOMBSTONES_APPENDED = "tombstones_appended"
    MARKS_KNOWN = "marks_known"
    TRIMMED = "trimmed"
    # Materializer.
    POSITIONS_WANTED = "positions_wanted"
    POSITIONS_ENSURED = "positions_ensured"
    TABLE_OPEN = "table_open"
    POSITIONS_MOVED = "positions_moved"
    ROWS_MERGED = "rows_merged"
    TABLE_COMMITTED = "table_committed"
    CANCEL_UNNAMED = "cancel_unnamed"
    CANCEL_NAMED = "cancel_named"
    SCHEDULES_OPEN = "schedules_open"
    SCHEDULES_MOVED = "schedules_moved"
    SCHEDULES_MERGED = "schedules_merged"
    SCHEDULES_COMMITTED = "schedules_committed"
    MODELS_OPEN = "models_open"
    MODELS_MOVED = "models_moved"
    MODELS_MERGED = "models_merged"
    MODELS_COMMITTED = "models_committed"
    DESK_OPEN = "desk_open"
    DESK_MOVED = "desk_moved"
    DESK_MERGED = "desk_merged"
    DESK_COMMITTED = "desk_committed"
    SIGNATURES_OPEN = "signatures_open"
    SIGNATURES_MOVED = "signatures_moved"
    SIGNATURES_MERGED = "signatures_merged"
    SIGNATURES_COMMITTED = "signatures_committed"


_armed: dict[Failpoint, Callable[[], None]] = {}


def reached(point: Failpoint, *, when: object = True) -> None:
    """Say that this place was reached; does nothing unless it is armed.

    Parameters
    ----------
    when
        Falsy: the effect this place stands beside had nothing to do this time, so it was not reached.
    """
    if _armed and when and point in _armed:
        _armed[point]()


def arm(actions: Mapping[Failpoint, Callable[[], None]]) -> None:
    """Replace what is armed in this process. Called once, before anything runs; tests empty it again."""
    _armed.clear()
    _armed.update(actions)
