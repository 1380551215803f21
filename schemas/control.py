"""Records of the compacted topic ``control``: what operators decided, and the epoch."""

import msgspec


class EpochRecord(msgspec.Struct, frozen=True, tag="EPOCH", tag_field="kind"):
    """Names one incarnation of the topics; written once, when they are created.

    Every service refuses to start on an epoch whose partition count or fold version is not its own.
    """

    epoch: str
    partitions: int
    fold_version: int
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


ControlRecord = EpochRecord | DrainRecord | PresenceRecord

EPOCH_KEY = b"epoch"
