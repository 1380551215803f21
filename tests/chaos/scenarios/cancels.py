"""Work that does not mind being cancelled."""

from types import MappingProxyType

from tests.chaos.gated_claims import GRACE_S, cancels_are_carried_out
from tests.chaos.load import Load
from tests.chaos.orders import Kind, Mix
from tests.chaos.scenario import Field, Scenario
from tests.chaos.scenarios.kills import kill_service
from tests.chaos.spec import StackSpec

LASTS_S = 12.0
LOAD = Load(
    rate_per_s=8,
    mix=Mix(
        kinds=MappingProxyType(
            {Kind.STUBBORN: 0.02, Kind.DEAF: 0.02, Kind.THREAD: 0.15, Kind.FLAKY: 0.06, Kind.SLOW: 0.15}
        ),
        slow_s=(0.5, 2.0),
        cancelled=0.05,
    ),
    after_s=GRACE_S,
)
"""Every few seconds a worker is to be killed, and each time something slow runs beside it."""


def cancel_what_does_not_mind(field: Field) -> None:
    """Let cancels go unheeded; in between those die who decide about what is handed back."""
    with field.fault("cancels are ignored"):
        for service in ("dlq_handler", "scheduler"):
            field.go_on(LASTS_S)
            kill_service(service, field)
        field.go_on(LASTS_S)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "cancel-ignored",
        "cancel",
        "Async and sync handlers go on when they are cancelled; their worker is killed after the grace "
        "period, and its other jobs run again without having lost an attempt.",
        cancel_what_does_not_mind,
        stack=StackSpec(services={"executor": {"PENSTOCK_CANCEL_GRACE_S": str(GRACE_S)}}),
        load=LOAD,
        recovery_limit_s=90,
        check=cancels_are_carried_out,
    ),
)
