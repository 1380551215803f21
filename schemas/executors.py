"""Records of the topic ``executors``: heartbeats, which are leases, and the keeper's probes."""

import msgspec


class Heartbeat(msgspec.Struct, frozen=True, omit_defaults=True, tag="HEARTBEAT", tag_field="kind"):
    """An executor is alive and holds exactly these dispatches.

    ``held`` lists ``origin/n`` of every claim appended or in flight; a claim that a later
    heartbeat does not list is lost once ``lease_s`` has passed.
    """

    executor: str
    instance: str
    pool: str
    seq: int
    held: tuple[str, ...]
    slots: int
    wall_ms: int
    draining: bool = False
    goodbye: bool = False
    """The last heartbeat: nothing is held and nothing will be claimed under this boot id."""
    types: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    version: str = ""
    lease_s: float = 45.0
    """How long this heartbeat vouches for what it lists; seconds."""
    stolen: int = 0
    """How many of ``held`` were claimed in partitions this executor does not own."""


class Probe(msgspec.Struct, frozen=True, omit_defaults=True, tag="PROBE", tag_field="kind"):
    """A keeper's question, settled by the log: has ``executor`` spoken since ``seq``.

    Read back with no heartbeat of a larger ``seq`` before it, it proves the lease has lapsed.
    """

    executor: str
    seq: int
    keeper: str


class Demand(msgspec.Struct, frozen=True, omit_defaults=True, tag="DEMAND", tag_field="kind"):
    """What an executor could claim of limited subjects; said every half second while there are limits.

    ``wants`` has (claims a second, dispatches that came back from ``jobs.held`` and wait in memory), by
    subject as ``type/NAME`` or ``tenant/NAME``; what is not named is not wanted.
    """

    name: str
    """Of one time of claiming: another one after a start, and after a drain or a lapse."""
    wants: dict[str, tuple[float, int]] = {}
    leaving: bool = False
    """Nothing is claimed under this name any more: others have its part at once."""


ExecutorRecord = Heartbeat | Probe | Demand


def dispatch_key(origin: str, n: int) -> str:
    """Write a dispatch identity as ``origin/n``."""
    return f"{origin}/{n}"
