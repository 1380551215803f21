"""Two versions at once: a rolling downgrade under load and the upgrade after it, with real old code.

What the old version (``rig/old_code.py``) writes and reads otherwise than this one:

- ``executors``: its heartbeats have neither ``lease_s`` nor ``stolen``; ``jobs.events``: its claims have no
  ``seq``, which is how the two are told apart here.
- ``control``: it knows no topic ids, cluster or generation of an epoch, and writes none.
- ``gates.known`` does not exist for it: its scheduler folds the gates from their start and writes down nobody
  who passes, so the new one begins at an older stretch and reads on in the gates.
- ``ledger.snapshots``: both restore from each other's; the old one keeps two, wherever the ledger starts.
- Its executors claim nothing on partitions of others, and new ones steal from them.
- In one group the two have other sessions and heartbeats, and an old member rests in a rebalance.

Other topics, the tables, the fold and the share of partitions are the same. The janitor rests, as in all
stacks: once gates are trimmed, the old scheduler cannot fold them any more and stops.
"""

from types import MappingProxyType

from tests.chaos.claims import MIXED_DOWN, MIXED_UP, versions_share_the_work
from tests.chaos.load import Load
from tests.chaos.orders import Kind
from tests.chaos.rig.old_code import OldCode
from tests.chaos.rig.process import NOTHING
from tests.chaos.rig.tools import Tool
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.scenarios.attempts import wait_busy
from tests.chaos.scenarios.signs import wait_for_acknowledgements, wait_for_effects
from tests.chaos.spec import StackSpec
from tests.chaos.watch import TABLE

STACK = StackSpec(
    services=MappingProxyType(
        {
            "dlq_handler": MappingProxyType(
                {"PENSTOCK_SNAPSHOT_EVERY": "200", "PENSTOCK_SNAPSHOT_NOT_BEFORE_S": "2"}
            ),
            "scheduler": MappingProxyType({"PENSTOCK_GATES_TOLD_EVERY_S": "2"}),
            "executor": MappingProxyType({"PENSTOCK_DRAIN_GRACE_S": "1"}),
        }
    )
)
"""Snapshots and passages often enough that services begin at those the other version wrote; and executors
that hand back what takes longer than a second when they are replaced."""
LOAD = Load(rate_per_s=25)
MIXED_S = 6.0
"""A lease: long enough for delayed jobs to cross between the versions. Retries seldom do: they come back on
the partition of their job within half a second."""
HANDED_BACK = 4
"""Jobs a replaced executor runs, at the least expected, that take longer than its grace: whoever has its
partitions then runs them once more, in the middle of the way one of the other version."""
HANDED_BACK_S = 8.0
STARTED_S = 2.0
"""What was submitted runs by then, with a slot free."""


def upgrade_and_back(field: Field) -> None:
    """Replace every instance by the old version, one after the other, and then by the new one again."""
    old = OldCode(field.stack.directory / "old")
    with field.fault("the old version"):
        first, last = _halves(field)
        _take_over(field, first, old)
        _run_mixed(field, MIXED_DOWN)
        _take_over(field, last, old)
        field.go_on(MIXED_S)
        first, last = _halves(field)
        _take_over(field, first, None)
        _run_mixed(field, MIXED_UP)
        _take_over(field, last, None)
    # No other scenario shares this stack.
    if ended := {one.name: one.exits for one in field.stack.services.instances if one.exits}:
        raise AssertionError(f"services ended by themselves: {ended}")


def _halves(field: Field) -> tuple[list[str], list[str]]:
    """Draw which instances are replaced first and which last, an executor in each, and in what order."""
    rng, services = field.rng, field.stack.services
    names = [one.name for one in services.instances if one.wanted]
    executors = [one.name for one in services.of("executor")]
    first = set(rng.sample(executors, len(executors) // 2))
    others = sorted(set(names) - set(executors))
    first |= set(rng.sample(others, len(others) // 2))
    rng.shuffle(names)
    return [name for name in names if name in first], [name for name in names if name not in first]


def _take_over(field: Field, names: list[str], old: OldCode | None) -> None:
    for name in names:
        _replace(field, name, old)
        wait_for_acknowledgements(field)
        wait_for_effects(field)


def _replace(field: Field, name: str, old: OldCode | None) -> None:
    """End an instance in order and start it again as the old version, or as this one where that is None."""
    services = field.stack.services
    instance, starts = services[name], services[name].starts
    if instance.service == "executor":
        for _ in range(HANDED_BACK * len(services.of("executor"))):
            field.load.also(Kind.SLOW, HANDED_BACK_S)
        field.go_on(STARTED_S)
    code = services.remove(name)
    if code != 0:
        raise AssertionError(f"{name} was asked to end and did with {code}")
    if old is not None:
        old.forget_imports(instance.service)
    services.revive(name, NOTHING if old is None else old.environment)
    field.history.add("note", "replaced", instance=name, version="new" if old is None else "old")
    services.wait_restarted(name, starts)
    if old is not None and not (old.is_for(instance.process.pid) and old.was_imported(instance.service)):
        raise FaultDidNotBiteError(f"{name} does not run the old code")


def _run_mixed(field: Field, name: str) -> None:
    """Let executors of both versions work at once for a while."""
    with field.fault(name):
        field.go_on(MIXED_S)
        for instance in field.stack.services.of("executor"):
            wait_busy(field, instance.name)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "upgraded-and-back",
        "F35",
        "Each service in turn becomes an earlier version, then this one again; both agree on every job.",
        upgrade_and_back,
        STACK,
        LOAD,
        needs=frozenset({Tool.HISTORY}),
        # What the old materializer wrote is written again by this one.
        rewinds=frozenset({TABLE}),
        check=versions_share_the_work,
    ),
)
