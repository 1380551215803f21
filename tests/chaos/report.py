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
from tests.chaos.checkers.everything import Findings
from tests.chaos.evidence import Violation
from tests.chaos.run import Result
from tests.chaos.soak import SoakResult

SHOWN_VIOLATIONS = 5


def as_json(result: Result) -> dict[str, Any]:
    """Give what is kept of one result."""
    found = result.findings
    said: dict[str, Any] = {"scenario": result.name, "fault": result.fault, "seed": result.seed}
    if result.skipped:
        return said | {"skipped": result.skipped}
    return said | {
        "holds": result.holds,
        "sent": result.sent,
        "acknowledged": result.acknowledged,
        "recovery_s": result.recovery_s,
        "fault_s": result.fault_s,
        "duration_s": round(result.duration_s, 1),
        **findings_json(found),
        "kept": result.kept,
    }


def findings_json(found: Findings) -> dict[str, Any]:
    """Give what the checkers say."""
    return {
        "jobs": found.jobs,
        "lost": found.lost,
        "duplicate_outcomes": found.duplicate_outcomes,
        "illegal_transitions": found.illegal_transitions,
        "table_equals_log": found.table_equals_log,
        "states": dict(sorted(found.states.items())),
        "starts": found.starts,
        "overlaps": [one._asdict() for one in found.overlaps[:20]],
        "overlaps_count": len(found.overlaps),
        "repeated_effects": dict(found.repeats.most_common()),
        "commits_the_broker_forgot": dict(found.forgotten),
        "violations": dict(sorted(found.counts.items())),
        "first_violations": [one._asdict() for one in found.violations[:SHOWN_VIOLATIONS]],
    }


def soak_json(result: SoakResult) -> dict[str, Any]:
    """Give what is kept of a soak."""
    found = result.findings
    seconds = max(1.0, result.load_s)
    return {
        "seed": result.plan.seed,
        "commit": _commit(),
        "machine": machine(),
        "minutes": result.plan.minutes,
        "rate_asked_per_s": result.plan.rate_per_s,
        "rate_acknowledged_per_s": round(result.acknowledged / seconds, 1),
        "holds": result.holds,
        "sent": result.sent,
        "acknowledged": result.acknowledged,
        "rested_after_s": result.rested_after_s,
        "check_s": result.check_s,
        "strikes": dict(result.struck.most_common()),
        "strikes_without_effect": dict(result.missed.most_common()),
        "trimmed_unread": result.unread,
        **findings_json(found),
        "meter": result.meter,
        "kept": result.kept,
    }


def write_report(path: Path, results: Sequence[Result], seed: int) -> None:
    """Replace the report by one of these results; that of a soak stays."""
    whole = {
        "seed": seed,
        "commit": _commit(),
        "machine": machine(),
        "scenarios": len(results),
        "failed": [one.name for one in results if not one.holds],
        "skipped": {one.name: one.skipped for one in results if one.skipped},
        "results": [as_json(one) for one in results],
    }
    soak = _read(path).get("soak")
    _write(path, whole if soak is None else whole | {"soak": soak})


def write_soak(path: Path, result: SoakResult) -> None:
    """Put a soak into the report, beside what stands there of scenarios."""
    _write(path, _read(path) | {"soak": soak_json(result)})


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, whole: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(whole, indent=2).encode() + b"\n", 0o644)


def machine() -> dict[str, Any]:
    """Say what it was measured on."""
    load = [round(one, 1) for one in os.getloadavg()]
    return {"cores": os.cpu_count(), "system": platform.platform(), "load_at_end": load}


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


def soak_table(result: SoakResult) -> Table:
    """Give the table people read of a soak."""
    table = Table(title=f"soak, {result.plan.minutes:g} minutes, seed {result.plan.seed}", show_header=False)
    found, seconds = result.findings, max(1.0, result.load_s)
    rate = f"{result.acknowledged / seconds:.0f}/s of {result.plan.rate_per_s:.0f}/s asked"
    table.add_row("acknowledged", f"{result.acknowledged} of {result.sent} sent, {rate}")
    table.add_row("jobs", f"{found.jobs}: {dict(found.states)}")
    table.add_row("lost", str(found.lost))
    table.add_row("duplicate outcomes", str(found.duplicate_outcomes))
    table.add_row("illegal transitions", str(found.illegal_transitions))
    table.add_row("table = log", "yes" if found.table_equals_log else "NO")
    table.add_row("overlaps", str(len(found.overlaps)))
    table.add_row("effects begun again", str(dict(found.repeats.most_common())))
    if found.forgotten:
        table.add_row("commits the broker forgot", str(dict(found.forgotten)))
    struck = (f"{name} {count - result.missed[name]}/{count}" for name, count in result.struck.most_common())
    table.add_row("strikes with effect", ", ".join(struck))
    for name, course in result.meter.get("memory_mib", {}).items():
        table.add_row(f"memory of {name}, MiB", _course(course))
    if "kafka_mib" in result.meter:
        table.add_row("disk of Kafka, MiB", _course(result.meter["kafka_mib"]))
    if "cpu_percent" in result.meter:
        table.add_row("CPU, % of a core", str(result.meter["cpu_percent"]))
    table.add_row("", "holds" if result.holds else f"VIOLATED {dict(found.counts)}")
    return table


def _course(course: dict[str, Any]) -> str:
    first, last, largest = course["first_third"], course["last_third"], course["largest"]
    return f"{first:.0f} in the first third, {last:.0f} in the last, at most {largest:.0f}"


def said_of(violation: Violation) -> str:
    """Give a violation for people."""
    return f"{violation.invariant}: {violation.what}\n    {violation.evidence}"


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
