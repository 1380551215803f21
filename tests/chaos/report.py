"""The results of a run: for machines as ``build/chaos.json``, for people as a table."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from adapters.embedded.home import write_atomically
from tests.chaos.evidence import Violation
from tests.chaos.run import Result

SHOWN_VIOLATIONS = 5


def as_json(result: Result) -> dict[str, Any]:
    """Give what is kept of one result."""
    found = result.findings
    said: dict[str, Any] = {"scenario": result.name, "fault": result.fault, "seed": result.seed}
    if result.skipped:
        return said | {"skipped": result.skipped}
    return said | {
        "holds": result.holds,
        "jobs": found.jobs,
        "sent": result.sent,
        "acknowledged": result.acknowledged,
        "lost": found.lost,
        "duplicate_outcomes": found.duplicate_outcomes,
        "illegal_transitions": found.illegal_transitions,
        "table_equals_log": found.table_equals_log,
        "recovery_s": result.recovery_s,
        "fault_s": result.fault_s,
        "duration_s": round(result.duration_s, 1),
        "states": dict(sorted(found.states.items())),
        "starts": found.starts,
        "overlaps": [one._asdict() for one in found.overlaps[:20]],
        "overlaps_count": len(found.overlaps),
        "repeated_effects": dict(found.repeats.most_common()),
        "violations": dict(sorted(found.counts.items())),
        "first_violations": [one._asdict() for one in found.violations[:SHOWN_VIOLATIONS]],
        "kept": result.kept,
    }


def write_report(path: Path, results: Sequence[Result], seed: int) -> None:
    """Replace the report by one of these results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "seed": seed,
        "commit": _commit(),
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "scenarios": len(results),
        "failed": [one.name for one in results if not one.holds],
        "skipped": {one.name: one.skipped for one in results if one.skipped},
        "results": [as_json(one) for one in results],
    }
    write_atomically(path, json.dumps(whole, indent=2).encode() + b"\n", 0o644)


def table_of(results: Sequence[Result]) -> Table:
    """Give the table people read."""
    table = Table(title="chaos")
    for title in ("scenario", "fault", "jobs", "lost", "twice", "illegal", "table = log", "fault s"):
        table.add_column(title)
    for title in ("recovery s", "overlaps", "repeated effects", ""):
        table.add_column(title)
    for one in results:
        table.add_row(*_row(one))
    return table


def _row(result: Result) -> list[str]:
    if result.skipped:
        return [result.name, result.fault, *[""] * 9, f"SKIPPED: {result.skipped}"]
    found = result.findings
    numbers = (found.jobs, found.lost, found.duplicate_outcomes, found.illegal_transitions)
    return [
        result.name,
        result.fault,
        *map(str, numbers),
        "yes" if found.table_equals_log else "NO",
        "" if result.fault_s is None else f"{result.fault_s:.1f}",
        "" if result.recovery_s is None else f"{result.recovery_s:.1f}",
        str(len(found.overlaps)),
        ", ".join(f"{count} {cause}" for cause, count in found.repeats.most_common(2)),
        "holds" if result.holds else f"VIOLATED {dict(found.counts)}",
    ]


def said_of(violation: Violation) -> str:
    """Give a violation for people."""
    return f"{violation.invariant}: {violation.what}\n    {violation.evidence}"


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
