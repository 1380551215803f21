"""The one list of failpoints: in which services each stands, and between which effects."""

from typing import NamedTuple

from core.services import SERVICES
from ports.failpoints import Failpoint


class Place(NamedTuple):
    """One failpoint of one service."""

    service: str
    point: Failpoint
    between: str
    """What has happened, and what has not yet."""

    @property
    def name(self) -> str:
        """The name a specification uses."""
        return f"{self.service}.{self.point}"


_FRAME = {
    Failpoint.CONNECTED: "connected and the epoch checked; nothing is written",
    Failpoint.ANNOUNCED: "its presence is in the log; it is in no group",
    Failpoint.JOINED: "it is a member of its group; nothing is polled",
    Failpoint.BATCH_ACKNOWLEDGED: "one partition of an append is acknowledged; others of it may not be",
    Failpoint.LEFT: "it has left its group; it is still connected",
}
_COMMIT = {
    Failpoint.WORKED: "all outputs of some records are acknowledged; their offsets are not committed",
    Failpoint.COMMITTED: "offsets are committed; the next records are not taken",
}
_LOOP = {
    Failpoint.POLLED: "records are taken; nothing is done about them",
    **_COMMIT,
    Failpoint.STOPPING: "told to stop, the work is done; the last commit is not made",
    Failpoint.LAST_COMMITTED: "the last commit is made; it is still in its group",
}
_REPORTER = {
    Failpoint.OUTCOMES_TAKEN: "what became of dispatches in a second is taken; it is not appended",
    Failpoint.OUTCOMES_APPENDED: "it is appended; the next second begins",
}
_FEATURES = {
    Failpoint.OUTCOMES_READ: "a record of outcomes is read; it is not folded",
    Failpoint.SECONDS_CLOSED: "the seconds it closes are folded; the states are not in the changelog",
    Failpoint.STATES_KEPT: "the states are in the changelog; no offset is let go of for that",
    Failpoint.FEATURES_TAKEN: "states that changed are taken; they are not published",
    Failpoint.FEATURES_APPENDED: "they are published; the next round has not begun",
}
_TRAINER = {
    Failpoint.TRAINING_DUE: "all models are read; nobody has begun to look at rows or to train",
    Failpoint.TRAINED: "a model is made and judged; it is not published",
    Failpoint.MODEL_CUT: "it is signed and cut into chunks; none is appended",
    Failpoint.MODEL_CHUNK_APPENDED: "one chunk is appended; others, or the manifest, are not",
    Failpoint.MODEL_MANIFEST_APPENDED: "chunks and manifest are appended; the model is not read back",
    Failpoint.MODEL_READ_BACK: "the model is read back whole; what nobody needs is not removed",
    Failpoint.MODELS_REMOVED: "old models, or chunks that somebody left, are removed",
    Failpoint.MODEL_PUBLISHED: "it is published whole; nothing says whether it orders",
    Failpoint.STANDING_DUE: "who orders is decided; it is not appended",
    Failpoint.STANDING_TOLD: "it is appended; it is not read back",
    Failpoint.LAWS_DUE: "what pools cost has moved; it is not appended",
    Failpoint.LAWS_TOLD: "it is appended; the next round has not begun",
}
_HAND_OVER = {
    Failpoint.DECIDED: "everything about a batch is decided; nothing is appended",
    Failpoint.APPENDED: "all outputs of a batch are acknowledged; it is not counted as done",
}
_INGEST = _HAND_OVER | {
    Failpoint.TOLD: "that jobs that wait for others are accepted is in the ledger; nothing else is appended",
}
_PRIORITIZER = _HAND_OVER | {
    Failpoint.DIVERSION_APPENDED: "what is not to be queued is in `jobs.dlq`; nothing else is appended",
}
_SCHEDULER = {
    Failpoint.OPENING: "jobs that wait for others are accepted; neither that nor anything else is appended",
    Failpoint.OPENED: "that such jobs are accepted is in the ledger; they have entered no gate",
    Failpoint.TICK_DUE: "something in a workflow gate waits for the time; the gate is not told",
    Failpoint.TICKED: "a workflow gate is told the time; it has not read it",
    Failpoint.ADMITTED: "the gates have answered; neither jobs nor refusals are appended",
    Failpoint.DUE: "jobs have left the wheel's memory; their next hop or release is not appended",
    Failpoint.ADMITTED_APPENDED: "what the gates let on is appended; it is not counted as handed over",
    Failpoint.RELEASED_APPENDED: "hops and releases are appended; they are not counted as handed over",
    Failpoint.PASSAGES_DUE: "who passed a gate is gathered; it is not written down",
    Failpoint.PASSAGES_APPENDED: "who passed is in the log; the gate may be trimmed up to there",
    Failpoint.TICKS_DUE: "ticks of schedules are due; their jobs are not appended",
    Failpoint.TICKS_APPENDED: "the jobs of ticks are in `jobs`; nothing says that these ticks have fired",
    Failpoint.TICKS_SETTLED: "ticks are said to have fired; the next are not looked for",
    Failpoint.HELD_TAKEN: "held jobs that may go on are read again; they are not handed on",
    Failpoint.HELD_HANDED_ON: "held jobs are ready again; nothing says so in `jobs.held`",
    Failpoint.HELD_TOLD: "what was handed on stands in `jobs.held`; it is not read back",
    Failpoint.HELD_MARKS_DUE: "how far `jobs.held` is handed on is known; it is not written down",
    Failpoint.HELD_MARKS_APPENDED: "it is in the log; `jobs.held` may be trimmed up to there",
}
_SNAPSHOTS = {
    Failpoint.IMAGE_TAKEN: "the image of a fold is encoded; no chunk of it is appended",
    Failpoint.CHUNK_APPENDED: "one chunk is appended; others, or the manifest, are not",
    Failpoint.MANIFEST_APPENDED: "chunks and manifest are appended; the snapshot is not read back",
    Failpoint.SNAPSHOT_READ_BACK: "the snapshot is read back whole; older ones are not removed",
    Failpoint.TOMBSTONES_APPENDED: "older snapshots are removed; the next is not begun",
}
_EXECUTOR = {
    Failpoint.HEARTBEAT_DUE: "the list of what is held is taken; the heartbeat is not appended",
    Failpoint.HEARTBEAT_APPENDED: "the heartbeat is in the log; the lease is not renewed here",
    Failpoint.LEASE_RENEWED: "the workers know of the longer lease; nothing is claimed under it",
    Failpoint.LAPSED: "the lease has lapsed; workers still live",
    Failpoint.WORKERS_KILLED: "the workers are dead; what was held is still listed, under the old id",
    Failpoint.PARKING: "queued dispatches are to be held; they are not in `jobs.held`",
    Failpoint.PARKED: "they are in `jobs.held`; no offset is done",
    Failpoint.DEMAND_DUE: "what is wanted of limited subjects is known; it is not appended",
    Failpoint.DEMAND_APPENDED: "it is in the log; nobody has made parts of it",
    Failpoint.CLAIM_DECIDED: "dispatches are taken from the queue; their claims are not appended",
    Failpoint.CLAIM_APPENDED: "claims are in the log; nothing is read back, no offset is done",
    Failpoint.CLAIM_READ_BACK: "a claim is read back as holding; the job is not started",
    Failpoint.STARTED: "the job is handed to a worker; nothing says so in the log",
    Failpoint.STOP_READ: "a cancel or a loss of a running job is read; its worker is not told",
    Failpoint.STOP_PASSED_ON: "the worker is told to stop; the job has not ended",
    Failpoint.NOTES_TAKEN: "a job's log lines or progress left its worker; they are not appended",
    Failpoint.NOTES_APPENDED: "log lines or progress are appended; the next are not taken",
    Failpoint.TASK_ENDED: "a task has ended with all its effects; nothing says so in the log",
    Failpoint.FAILURE_APPENDED: "the failed attempt is in `jobs.dlq`; its closure is not appended",
    Failpoint.SPAWNED_APPENDED: "the jobs a task added are in `jobs`; its closure is not appended",
    Failpoint.CLOSURE_APPENDED: "the closure is in the log; heartbeats still list the dispatch",
    Failpoint.DRAINING: "told to stop: nothing is claimed any more; the workers still run",
    Failpoint.DRAINED: "the workers have stopped; claims not started are not handed back",
    Failpoint.HANDING_BACK: "claims that will not run here are chosen; RELEASED is not appended",
    Failpoint.HANDED_BACK: "RELEASED is in the log; heartbeats still list the dispatches",
    Failpoint.GOODBYE_SAID: "the goodbye is in the log; it is still in its group",
}
_DLQ_HANDLER = {
    Failpoint.SIGNATURES_DUE: "a failure of a new kind is read; what it teaches is not in `signatures`",
    Failpoint.SIGNATURES_TOLD: "what it teaches is in `signatures`; it is not read back, nothing is decided",
    Failpoint.CLOSURE_READ: "a closure without a decision is read; nothing is decided",
    Failpoint.DECISION_READ_BACK: "a decision is read back as holding; it is not carried out",
    Failpoint.DECISION_APPENDED: "a decision is in the log; it is not read back",
    Failpoint.RETRY_APPENDED: "the next dispatch is in the wheel or ready; no offset is committed",
    Failpoint.DEAD_LETTER_APPENDED: "the dead letter is in `jobs.dead`; no offset is committed",
    Failpoint.SILENCE_SEEN: "an executor is silent for a lease; the probe is not appended",
    Failpoint.PROBE_APPENDED: "the probe is in the log; it is not read back",
    Failpoint.LOSS_PROVEN: "a loss is proven; nothing about the dispatch is appended",
    Failpoint.LOST_ATTEMPT_APPENDED: "the lost attempt is in `jobs.dlq`; LOST is not appended",
    Failpoint.LOST_APPENDED: "LOST is in the log; it is not read back",
    Failpoint.HOLDS_KNOWN: "which holds are over is known; no decision about them is appended",
    Failpoint.HOLDS_ENDED: "the decisions are in the log; they are not read back",
    Failpoint.CIRCUITS_DUE: "how circuits stand from now on is decided; it is not appended",
    Failpoint.CIRCUITS_TOLD: "it is appended; it is not read back",
    Failpoint.MARKS_KNOWN: "how far topics may be trimmed is known; nothing is trimmed",
    Failpoint.TRIMMED: "topics are trimmed; the next turn has not begun",
}
_MATERIALIZER = {
    Failpoint.POSITIONS_WANTED: "connected to Postgres; its positions are not ensured",
    Failpoint.POSITIONS_ENSURED: "positions stand in the table and are known; nothing is folded on them",
    Failpoint.TABLE_OPEN: "a transaction is open; nothing is changed in it",
    Failpoint.POSITIONS_MOVED: "inside the transaction positions are moved; rows are not merged",
    Failpoint.ROWS_MERGED: "inside the transaction one table is merged; others, or the end, are not",
    Failpoint.TABLE_COMMITTED: "rows and positions are committed in Postgres; offsets in Kafka are not",
    Failpoint.CANCEL_UNNAMED: "the job of a cancel by id alone is known; it is not cancelled by its origin",
    Failpoint.CANCEL_NAMED: "it is; that is not read back",
    Failpoint.SCHEDULES_OPEN: "a transaction for schedules is open; nothing is changed in it",
    Failpoint.SCHEDULES_MOVED: "inside it their positions are moved; rows are not merged",
    Failpoint.SCHEDULES_MERGED: "inside it rows of schedules are merged; it has not ended",
    Failpoint.SCHEDULES_COMMITTED: "rows of schedules are committed; the next are not read",
    Failpoint.MODELS_OPEN: "a transaction for models is open; nothing is changed in it",
    Failpoint.MODELS_MOVED: "inside it their position is moved; rows are not merged",
    Failpoint.MODELS_MERGED: "inside it rows of models are merged; it has not ended",
    Failpoint.MODELS_COMMITTED: "rows of models are committed; the next are not read",
    Failpoint.DESK_OPEN: "a transaction for the dead-letter desk is open; nothing is changed in it",
    Failpoint.DESK_MOVED: "inside it its position is moved; rows are not merged",
    Failpoint.DESK_MERGED: "inside it rows of the desk are merged; it has not ended",
    Failpoint.DESK_COMMITTED: "rows of the desk are committed; the next are not read",
    Failpoint.SIGNATURES_OPEN: "a transaction for kinds of failures is open; nothing is changed in it",
    Failpoint.SIGNATURES_MOVED: "inside it their position is moved; rows are not merged",
    Failpoint.SIGNATURES_MERGED: "inside it rows of kinds are merged; it has not ended",
    Failpoint.SIGNATURES_COMMITTED: "rows of kinds of failures are committed; the next are not read",
}
_OF_SERVICE = {
    "ingest": _LOOP | _INGEST,
    "scheduler": _LOOP | _SCHEDULER | _SNAPSHOTS,
    "prioritizer": _LOOP | _PRIORITIZER | _REPORTER,
    "executor": _COMMIT | _EXECUTOR | _REPORTER,
    "dlq_handler": _LOOP | _DLQ_HANDLER | _SNAPSHOTS | _REPORTER,
    "materializer": _LOOP | _MATERIALIZER,
    "features": _FEATURES,
    "trainer": _TRAINER,
}
_IN_NO_GROUP = frozenset({"trainer"})

PLACES: tuple[Place, ...] = tuple(
    Place(service.name, point, between)
    for service in SERVICES
    for point, between in (_FRAME | _OF_SERVICE[service.name]).items()
    if not (point is Failpoint.JOINED and service.name in _IN_NO_GROUP)
)
"""Every failpoint of every service, services in the order in which a job meets them."""
