"""One key or one supplied id is asked about at one gate, whatever else its records say."""

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.gates.gate import Gate
from core.log import Record
from penstock.identity import home, job_id_from_key
from schemas.routing import begins_at_home, gates_of
from services.ingest.decide import Accepted, IngestContext, decide

CONTEXT = IngestContext("e1", 4, frozenset({"default"}))
NOW_MS = 1_790_000_000_000
SUPPLIED = [f"01890000-0000-7000-8000-{number:012d}" for number in range(4)]
names = st.none() | st.text("abc", min_size=1, max_size=4)
jobs = st.fixed_dictionaries(
    {"type": st.sampled_from(["a.b", "c"])},
    optional={
        "payload": st.dictionaries(st.text("ab", max_size=2), st.integers(0, 3), max_size=3),
        "priority": st.integers(0, 9),
        "run_at": st.sampled_from(["2030-01-01T00:00:00Z", "1999-12-31T23:59:59.5-03:30"]),
        "expires_at": st.sampled_from(["2031-01-01T00:00:00Z"]),
        "labels": st.dictionaries(st.text("ab", min_size=1, max_size=2), st.just("x"), max_size=2),
    },
)
identities = st.text("ab", min_size=1, max_size=3).map(
    lambda key: {"idempotency_key": key}
) | st.sampled_from(SUPPLIED).map(lambda job_id: {"job_id": job_id})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(jobs, identities, st.integers(0, 9), names, names)
def test_all_records_of_one_key_or_id_meet_at_one_gate_before_any_other(
    job: dict[str, Any],
    identity: dict[str, str],
    partition: int,
    workflow_id: str | None,
    ordering_key: str | None,
) -> None:
    raw = json.dumps(job | identity | {"tenant": "t"}).encode()
    decision = decide(Record("jobs", partition, 7, NOW_MS, None, raw, ()), CONTEXT)
    assert isinstance(decision, Accepted)
    expected = identity.get("job_id") or job_id_from_key("t", identity["idempotency_key"])
    assert (decision.job.job_id, decision.home) == (expected, home(expected, CONTEXT.partitions))
    tied = msgspec.structs.replace(decision.job, workflow_id=workflow_id, ordering_key=ordering_key)
    gates = gates_of(tied, NOW_MS)
    assert gates[0] is Gate.ID
    assert begins_at_home(tied, gates)
