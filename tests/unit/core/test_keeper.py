import pytest

from core.keeper import (
    FORGET_MS,
    UNHEARD_SEQ,
    DeclareLost,
    Keeper,
    LossReason,
    OpenClaims,
    SendProbe,
)
from core.ledger.verdicts import Claimed

LEASE_MS = 1000
OWNED = frozenset({0, 1})


@pytest.fixture
def keeper() -> Keeper:
    return Keeper(LEASE_MS)


@pytest.fixture
def claims() -> OpenClaims:
    return OpenClaims()


def claim(claims: OpenClaims, offset: int, at_ms: int, executor: str = "a", partition: int = 0) -> str:
    origin = f"e:0:{offset}"
    claims.opened(partition, at_ms, Claimed(origin, "job", 1, executor, "exec", partition, offset))
    return f"{origin}/1"


def reasons(losses: list[DeclareLost]) -> dict[str, LossReason]:
    return {loss.claim.dispatch: loss.reason for loss in losses}


def test_a_silent_executor_is_asked_once_after_a_lease(keeper: Keeper, claims: OpenClaims) -> None:
    keeper.heartbeat(100, "a", 7, [])
    assert keeper.probes_due(1099, claims, OWNED) == []
    assert keeper.probes_due(1100, claims, OWNED) == [SendProbe("a", 7)]
    assert keeper.probes_due(1200, claims, OWNED) == []


def test_silence_alone_loses_nothing(keeper: Keeper, claims: OpenClaims) -> None:
    keeper.heartbeat(100, "a", 1, [claim(claims, 1, 50)])
    keeper.probes_due(100 + 100 * LEASE_MS, claims, OWNED)
    assert keeper.losses(claims, OWNED) == []


def test_a_probe_read_back_before_any_newer_heartbeat_loses_every_open_claim(
    keeper: Keeper, claims: OpenClaims
) -> None:
    held = [claim(claims, 1, 50), claim(claims, 2, 60, partition=1)]
    keeper.heartbeat(100, "a", 1, held)
    keeper.probe(1100, "a", 1)
    assert reasons(keeper.losses(claims, OWNED)) == dict.fromkeys(held, LossReason.LEASE_LAPSED)


def test_a_heartbeat_before_the_probe_saves_the_executor(keeper: Keeper, claims: OpenClaims) -> None:
    held = [claim(claims, 1, 50)]
    keeper.heartbeat(100, "a", 1, held)
    keeper.probes_due(1200, claims, OWNED)
    keeper.heartbeat(1201, "a", 2, held)
    keeper.probe(1202, "a", 1)
    assert keeper.losses(claims, OWNED) == []
    assert keeper.probes_due(2200, claims, OWNED) == []
    assert keeper.probes_due(2201, claims, OWNED) == [SendProbe("a", 2)]


def test_a_lapse_is_final(keeper: Keeper, claims: OpenClaims) -> None:
    held = [claim(claims, 1, 50)]
    keeper.heartbeat(100, "a", 1, held)
    keeper.probe(1100, "a", 1)
    keeper.heartbeat(1101, "a", 2, held)
    assert keeper.has_lapsed("a")
    late = claim(claims, 2, 1102)
    assert reasons(keeper.losses(claims, OWNED))[late] is LossReason.LEASE_LAPSED


def test_a_probe_that_came_too_early_proves_nothing_and_is_asked_again(
    keeper: Keeper, claims: OpenClaims
) -> None:
    keeper.heartbeat(100, "a", 1, [])
    keeper.probes_due(1100, claims, OWNED)
    keeper.probe(1099, "a", 1)
    assert not keeper.has_lapsed("a")
    assert keeper.probes_due(1100, claims, OWNED) == [SendProbe("a", 1)]


def test_another_keepers_probe_is_proof_too(keeper: Keeper, claims: OpenClaims) -> None:
    keeper.heartbeat(100, "a", 1, [claim(claims, 1, 50)])
    keeper.probe(1500, "a", 1)
    assert keeper.probes_due(1600, claims, OWNED) == []
    assert len(keeper.losses(claims, OWNED)) == 1


def test_after_a_goodbye_open_claims_are_lost_at_once(keeper: Keeper, claims: OpenClaims) -> None:
    dispatch = claim(claims, 1, 50)
    keeper.heartbeat(100, "a", 1, [], goodbye=True)
    assert reasons(keeper.losses(claims, OWNED)) == {dispatch: LossReason.GOODBYE}
    assert keeper.probes_due(100 + 10 * LEASE_MS, claims, OWNED) == []


def test_a_claim_its_living_executor_does_not_list_is_lost_after_a_lease(
    keeper: Keeper, claims: OpenClaims
) -> None:
    forgotten, listed = claim(claims, 1, 100), claim(claims, 2, 100)
    keeper.heartbeat(1100, "a", 1, [listed])
    assert keeper.losses(claims, OWNED) == []
    keeper.heartbeat(1101, "a", 2, [listed])
    assert reasons(keeper.losses(claims, OWNED)) == {forgotten: LossReason.NOT_HELD}


def test_an_executor_never_heard_of_gets_a_lease_from_its_claim_and_another_from_the_probe(
    keeper: Keeper, claims: OpenClaims
) -> None:
    dispatch = claim(claims, 1, 100, "ghost")
    assert keeper.probes_due(1099, claims, OWNED) == []
    assert keeper.probes_due(1100, claims, OWNED) == [SendProbe("ghost", UNHEARD_SEQ)]
    assert keeper.probes_due(1101, claims, OWNED) == []
    keeper.probe(1105, "ghost", UNHEARD_SEQ)
    assert keeper.losses(claims, OWNED) == []
    assert keeper.probes_due(2105, claims, OWNED) == [SendProbe("ghost", UNHEARD_SEQ)]
    keeper.probe(2105, "ghost", UNHEARD_SEQ)
    assert reasons(keeper.losses(claims, OWNED)) == {dispatch: LossReason.LEASE_LAPSED}


def test_a_probe_refuted_before_the_oldest_record_kept_harms_nobody(
    keeper: Keeper, claims: OpenClaims
) -> None:
    # Heartbeat 10 refuted this probe and was deleted by age; this keeper starts to read at the probe.
    held = [claim(claims, 1, 50)]
    keeper.probe(5000, "a", 9)
    keeper.heartbeat(5001, "a", 11, held)
    assert keeper.losses(claims, OWNED) == []


def test_claims_on_partitions_of_others_are_left_alone(keeper: Keeper, claims: OpenClaims) -> None:
    claim(claims, 1, 50, partition=2)
    claim(claims, 2, 50, "ghost", partition=3)
    keeper.heartbeat(100, "a", 1, [], goodbye=True)
    assert keeper.losses(claims, OWNED) == []
    assert keeper.probes_due(10 * LEASE_MS, claims, OWNED) == []


def test_a_closed_claim_is_not_lost(keeper: Keeper, claims: OpenClaims) -> None:
    claim(claims, 1, 50)
    claims.closed("e:0:1", "a")
    claims.closed("e:0:1", "a")
    keeper.heartbeat(100, "a", 1, [], goodbye=True)
    assert keeper.losses(claims, OWNED) == []
    assert len(claims) == 0


def test_the_ended_are_forgotten_only_when_long_gone_and_without_claims(
    keeper: Keeper, claims: OpenClaims
) -> None:
    dispatch = claim(claims, 1, 50)
    keeper.heartbeat(100, "a", 1, [], goodbye=True)
    keeper.forget(100 + 2 * FORGET_MS, claims)
    assert reasons(keeper.losses(claims, OWNED)) == {dispatch: LossReason.GOODBYE}
    claims.closed("e:0:1", "a")
    keeper.forget(100 + FORGET_MS, claims)
    claim(claims, 2, 60)
    assert keeper.losses(claims, OWNED) == []
