"""Producers that misbehave."""

from tests.chaos.scenario import Field, Scenario

SUBMITTERS = 50
STORMS = 3


def submit_in_a_storm(field: Field) -> None:
    """Let 50 clients submit one job under one key at once; the last time while the gate's keeper is dead."""
    services = field.stack.services
    for number in range(STORMS):
        with field.fault("storm of one key", submitters=SUBMITTERS):
            if number == STORMS - 1:
                services.kill(field.rng.choice([one.name for one in services.of("scheduler")]))
            answered = field.load.storm(SUBMITTERS)
            if len(answered) != 1:
                raise AssertionError(f"{SUBMITTERS} submissions of one key were answered with {answered}")
            services.wait_ready()


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "one-key-in-a-storm",
        "F34",
        "Fifty clients submit one idempotency key at once; it is one job, and all are told the same id.",
        submit_in_a_storm,
        subset=True,
    ),
)
