"""What cannot be planned for is refused with its name, its value, and what is possible."""

import math
from dataclasses import replace
from typing import Any

import pytest

from core.planning.demand import Demand, DemandError

WRONG: list[tuple[str, float]] = [
    ("rate_per_s", 0.0),
    ("rate_per_s", math.nan),
    ("rate_per_s", math.inf),
    ("run_time_s", -1.0),
    ("retention_s", 0.0),
    ("payload_bytes", -1),
    ("payload_bytes", 262_145),
    ("slots", 0),
    ("slots", 8193),
    ("utilization", 0.0),
    ("utilization", 1.0),
    ("failure_share", -0.1),
    ("failure_share", 0.95),
    ("replication", 0),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_is_out_of_range_is_refused(name: str, value: float) -> None:
    fields: dict[str, Any] = {name: value}
    with pytest.raises(DemandError) as refused:
        replace(Demand(rate_per_s=1.0, run_time_s=0.0, retention_s=60.0), **fields)
    message = str(refused.value)
    assert name.removesuffix("_per_s").removesuffix("_s").replace("_", "-") in message
    assert f"{value:g}" in message
    assert "accepted is" in message
