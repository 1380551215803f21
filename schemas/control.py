"""Records of the compacted topic ``control``: what operators decided, and the epoch."""

import msgspec


class EpochRecord(msgspec.Struct, frozen=True, tag="EPOCH", tag_field="kind"):
    """Names one incarnation of the topics; written once, when they are created.

    Every service refuses to start on an epoch whose partition count is not its own, or whose fold
    version it does not know.
    """

    epoch: str
    partitions: int
    fold_version: int
    """As written: of the rules the ledger begins with. As given by ``require_epoch``: of the newest
    rules announced since."""
    created_ms: int


class DrainRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag="DRAIN", tag_field="kind"):
    """Asks an executor instance to finish or hand back what it holds, and to claim no more."""

    instance: str
    draining: bool
    by: str = ""


class PresenceRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag="PRESENCE", tag_field="kind"):
    """A service instance started; its append time against ``wall_ms`` shows a wrong wall clock."""

    service: str
    instance: str
    wall_ms: int
    host: str
    pid: int
    version: str
    metrics_port: int = 0


class FoldVersionRecord(msgspec.Struct, frozen=True, tag="FOLD", tag_field="kind"):
    """Other rules of the fold hold from here on.

    Stands once on every partition of the ledger, where it takes effect, and afterwards in
    ``control``, where services see at their start whether they know the rules.
    """

    version: int


ControlRecord = EpochRecord | DrainRecord | PresenceRecord | FoldVersionRecord

EPOCH_KEY = b"epoch"
FOLD_VERSION_KEY = b"fold-version"
