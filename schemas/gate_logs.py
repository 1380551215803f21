"""The folds that snapshots of the gates restore: gated jobs in the ledger, and each gate's own log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from core.frames import BrokenFramesError, chunks_of, frames_in, sectioned, sections_in
from core.gates.fold import Effect, GateFold, GateImage, UnknownGateRecordError
from core.gates.gate import Gate
from core.gates.id_gate import GateGapError
from core.gates.order_gate import OrderGate
from core.gates.workflow_gate import WorkflowGate
from core.ledger.snapshot import BrokenSnapshotError, chunk_digest, digest_of
from core.log import Record, TopicPartition
from schemas.codec import UnreadableRecordError
from schemas.gated import GatedEnd, GatedJobs
from schemas.snapshots import SnapshotManifest
from schemas.topics import RouteMap

LEDGER = "ledger"
"""Name of the fold of the ledger in snapshots; a gate's is that of the gate."""
LAYOUT = 1
"""Of a snapshot's parts; each part has a layout of its own besides."""


@dataclass
class Folds:
    """The folds of one partition number."""

    gated: GatedJobs
    gates: dict[str, GateFold]
    """By name."""

    def by_name(self) -> dict[str, GatedJobs | GateFold]:
        """Give all, the ledger's first."""
        return {LEDGER: self.gated, **self.gates}


class GatePart(NamedTuple):
    """A gate that has a log of its own."""

    topic: str
    fold: type[GateFold]


def gate_parts(routes: RouteMap) -> dict[Gate, GatePart]:
    """Give the gates that have a log of their own, in the order in which a job passes them."""
    return {
        Gate.WORKFLOW: GatePart(routes.workflows, WorkflowGate),
        Gate.ORDER: GatePart(routes.orders, OrderGate),
    }


@dataclass(frozen=True)
class Image:
    """The state of all folds of one partition number, each at an offset of its own log."""

    partition: int
    parts: dict[str, GateImage]

    def positions(self) -> dict[str, int]:
        """Give by name up to which offset of its log each fold has come."""
        return {name: part.next_offset for name, part in self.parts.items()}

    def encoded(self, epoch: str, written_by: str) -> tuple[SnapshotManifest, list[bytes]]:
        """Give the snapshot, in chunks; works beside the event loop, in a thread."""
        chunks = list(chunks_of(sectioned({name: part.frames() for name, part in self.parts.items()})))
        manifest = SnapshotManifest(
            epoch=epoch,
            partition=self.partition,
            next_offset=sum(self.positions().values()),
            chunks=len(chunks),
            size_bytes=sum(map(len, chunks)),
            digest=digest_of(map(chunk_digest, chunks)),
            layout=LAYOUT,
            fold_version=0,
            written_by=written_by,
            positions=self.positions(),
            keep_from={name: part.keep_from() for name, part in self.parts.items()},
        )
        return manifest, chunks


class GateLogs:
    """The folds of every partition followed so far, kept when a partition is lost for a while."""

    def __init__(self, routes: RouteMap, epoch: str) -> None:
        self._epoch = epoch
        self._parts = gate_parts(routes)
        self._topic_of: dict[str, str] = {LEDGER: routes.ledger}
        self._topic_of |= {str(gate): part.topic for gate, part in self._parts.items()}
        self._folds: dict[int, Folds] = {}
        self._by_place: dict[tuple[str, int], GatedJobs | GateFold] = {}

    @property
    def gate_of(self) -> dict[str, Gate]:
        """Give each gate by the topic of its log."""
        return {part.topic: gate for gate, part in self._parts.items()}

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics these folds are of."""
        return tuple(self._topic_of.values())

    def places(self, partition: int) -> dict[str, TopicPartition]:
        """Give by name the logs of one partition number."""
        return {name: TopicPartition(topic, partition) for name, topic in self._topic_of.items()}

    def folds(self, partition: int) -> Folds:
        """Give the folds of one partition number, empty when nothing was read yet."""
        if partition not in self._folds:
            self.adopt(partition, self._fresh(partition))
        return self._folds[partition]

    def next_offset(self, place: TopicPartition) -> int:
        """Offset of the first record of this log not taken yet."""
        return self._fold(place).next_offset

    def take(self, record: Record) -> list[Effect] | GatedEnd | None:
        """Fold one record: give the effects of a gate, or the end of a gated job.

        Raises
        ------
        UnreadableRecordError
            It was not written by this version; the service stops and skips nothing.
        core.gates.id_gate.GateGapError, schemas.ledger.LedgerGapError, core.ledger.fold.WrongEpochError
            The service stops; a restart or a person must mend it.
        """
        try:
            return self._fold(record[:2]).take(record)
        except (UnknownGateRecordError, msgspec.MsgspecError, ValueError) as error:
            raise UnreadableRecordError(
                f"{record.topic}/{record.partition}/{record.offset}: {error}; "
                "it was written by another version or by something that is not Penstock"
            ) from error

    def _fold(self, place: tuple[str, int]) -> GatedJobs | GateFold:
        fold = self._by_place.get(place)
        if fold is None:
            self.folds(place[1])
            fold = self._by_place[place]
        return fold

    def image(self, partition: int) -> Image:
        """Give the state of one partition number as it is now."""
        return Image(
            partition, {name: fold.image() for name, fold in self.folds(partition).by_name().items()}
        )

    def can_use(self, manifest: SnapshotManifest) -> bool:
        """Whether this code can go on from a snapshot: it knows every gate that is in it."""
        return manifest.layout == LAYOUT and set(manifest.positions) <= set(self._topic_of)

    def decode(self, partition: int, chunks: Iterable[bytes]) -> Folds:
        """Give the folds a snapshot was made of; works beside the event loop, in a thread.

        Raises
        ------
        BrokenSnapshotError
            Bytes are missing, damaged or of another layout.
        """
        folds = self._fresh(partition)
        try:
            for name, frames in sections_in(frames_in(chunks)):
                if name == LEDGER:
                    folds.gated = GatedJobs.restored(self._epoch, partition, frames)
                else:
                    folds.gates[name] = self._parts[Gate(name)].fold.restored(self._epoch, frames)
        except (BrokenFramesError, msgspec.MsgspecError, KeyError, ValueError) as error:
            raise BrokenSnapshotError(f"not a snapshot of gates, layout {LAYOUT}: {error}") from error
        return folds

    def adopt(self, partition: int, folds: Folds) -> None:
        """Go on from these folds."""
        self._folds[partition] = folds
        by_name = folds.by_name()
        self._by_place |= {place: by_name[name] for name, place in self.places(partition).items()}

    def has(self, partition: int) -> bool:
        """Whether anything of this partition number was read or restored."""
        return partition in self._folds

    def is_behind(self, partition: int, committed: Mapping[TopicPartition, int]) -> bool:
        """Whether somebody else has come further in any log than these folds."""
        places = self.places(partition).values()
        return any(self.next_offset(place) < committed.get(place, 0) for place in places)

    def begin_at(self, partition: int, starts: Mapping[TopicPartition, int]) -> None:
        """Begin without a snapshot, where the logs begin.

        Raises
        ------
        GateGapError
            The log of a gate does not begin at its beginning any more.
        """
        for name, place in self.places(partition).items():
            if name == LEDGER:
                self.folds(partition).gated.begin_at(starts[place])
            elif starts[place]:
                raise GateGapError(
                    f"partition {partition} of {place.topic} begins at offset {starts[place]} (older records "
                    "are trimmed), and no snapshot of the gates can be read: restore the topic of snapshots, "
                    "or drain and start a new epoch"
                )

    def _fresh(self, partition: int) -> Folds:
        gates: dict[str, GateFold] = {str(gate): part.fold(self._epoch) for gate, part in self._parts.items()}
        return Folds(GatedJobs(self._epoch, partition), gates)
