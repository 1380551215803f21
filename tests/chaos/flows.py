"""Workflows as a load submits them: layers of jobs that wait for some of the layer before, or all of it."""

import random
import uuid
from typing import Any

LAYERS = (3, 5)
WIDTH_MAX = 4
PARENTS_MAX = 3
GROUPED = 0.3
"""Layers that the next one waits for as a whole, through a group."""
CARELESS = 0.25
"""Jobs that run however those they depend on ended."""


def draw_flow(rng: random.Random) -> list[dict[str, Any]]:
    """Draw a workflow: what its jobs say beside their work, in no order, so children may come first."""
    workflow_id = f"flow-{rng.getrandbits(48):012x}"
    jobs: list[dict[str, Any]] = []
    before: list[str] = []
    waits: dict[str, Any] | None = None
    for layer in range(rng.randint(*LAYERS)):
        ids = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(rng.randint(1, WIDTH_MAX))]
        group = f"layer-{layer}" if rng.random() < GROUPED else None
        for job_id in ids:
            options: dict[str, Any] = {"job_id": job_id, "workflow_id": workflow_id}
            if before:
                some = rng.sample(before, rng.randint(1, min(PARENTS_MAX, len(before))))
                options["depends_on"] = some if waits is None else waits
                if rng.random() < CARELESS:
                    options["on_parent_failure"] = "run"
            if group is not None:
                options["group"] = group
            jobs.append(options)
        before, waits = ids, None if group is None else {"group": group, "count": len(ids)}
    rng.shuffle(jobs)
    return jobs
