"""A plan as a table, as lines below it, and as one JSON document."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from core.planning.costs import Range
from core.planning.shape import Count, Plan, ServicePlan

Row = tuple[str, str, str, str, str]
LAWS = {
    "utilization law": "U = X D, cores and instances (Denning and Buzen 1978)",
    "Little's law": "L = lambda W, slots (Little 1961)",
    "Erlang C": "who finds no slot free (Erlang 1917; Halfin and Whitt 1981)",
    "universal scalability law": "C(N) = N / (1 + s (N-1) + k N (N-1)), instances (Gunther 1993)",
}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def table(plan: Plan) -> Iterator[Row]:
    """Give a row for everything that is sized."""
    demand = plan.demand
    yield _row(
        "partitions", plan.partitions, "4 for each instance of the largest service, 1 for each executor"
    )
    for name, service in plan.services.items():
        yield _instances(name, service, service.instances)
    executors = plan.executors
    yield _instances("executor", executors.service, executors.instances, f", bound by {executors.bound_by}")
    busy = f"{executors.busy_slots:.0f} busy: {plan.attempts_a_job:.3g} attempts a job; "
    of_one = f"{executors.per_executor} an executor; {_share(executors.waits_share)} find none free"
    yield ("  slots", "", f"{executors.slots}", "", busy + of_one)
    yield _row("  cores of workers", executors.worker_cores, "beside what tasks compute")
    brokers, postgres = plan.brokers, plan.postgres
    room = 1 / demand.utilization
    yield _row("brokers: cores", brokers.cores.times(room), f"in all, at {demand.utilization:g} busy")
    yield _row("  disk", brokers.disk_bytes, f"in all, {demand.replication} copies", _bytes)
    yield ("  network in", "", f"{_bytes(brokers.in_bytes_per_s)}/s", "", "copies between brokers included")
    yield ("  network out", "", f"{_bytes(brokers.out_bytes_per_s)}/s", "", "the ledger is read four times")
    yield (
        "  partition replicas",
        "",
        f"{brokers.partition_replicas}",
        "",
        f"{demand.topics} topics x partitions x {demand.replication}",
    )
    yield _row("postgres: cores", postgres.cores.times(room), f"at {demand.utilization:g} busy")
    yield ("  rows of jobs", "", f"{postgres.rows:.3g}", "", f"kept {_days(demand.retention_s)}")
    for name, size in postgres.table_bytes.items():
        if size.high > 0:
            yield _row(f"  {name}", size, "with indexes", _bytes)
    yield ("  write-ahead log", "", f"{_bytes(postgres.wal_bytes_per_s)}/s", "", "")


def _row(name: str, amount: Range | Count, how: str, show: Any = None) -> Row:
    text = show or (str if isinstance(amount, Count) else lambda value: f"{value:.3g}")
    return (name, text(amount.low), text(amount.typical), text(amount.high), how)


def _instances(name: str, service: ServicePlan, count: Count, why: str = "") -> Row:
    how = f"{service.us_a_job.typical:.0f} us a job: {service.cores.typical:.3g} cores busy{why}"
    return _row(name, count, how)


def lines(plan: Plan) -> Iterator[str]:
    """Give what the table cannot say: settings, limits, how sure it is, and where the costs are from."""
    yield ""
    yield "settings: " + " ".join(f"{name}={value}" for name, value in settings(plan).items())
    yield ""
    yield "what does not grow with instances, the most used first:"
    for limit in plan.limits:
        mark = "EXCEEDED" if limit.share > 1 else f"{limit.share:.0%}"
        yield (
            f"  {mark:>8}  {limit.name}: {limit.use:.3g} of {limit.most:.3g} {limit.unit} ({limit.source}); "
            f"remedy: {limit.remedy}"
        )
    yield ""
    yield "how sure: low and high are the least and the most that one round of the measurements gave."
    yield "  low leaves out what records cost that are batches of their own, as many are on many partitions"
    yield f"  {scalability(plan)}"
    yield "beyond what was measured:"
    for words in plan.extrapolated:
        yield f"  {words}"
    yield ""
    yield "laws: " + "; ".join(f"{name}: {what}" for name, what in LAWS.items())
    yield f"costs: {provenance(plan)}"


def settings(plan: Plan) -> dict[str, str]:
    """Give the settings that follow from a plan."""
    ledger_bytes = plan.brokers.ledger_partition_bytes * plan.demand.utilization**-1
    return {
        "PENSTOCK_PARTITIONS": str(plan.partitions.typical),
        "PENSTOCK_REPLICATION": str(plan.demand.replication),
        "PENSTOCK_LEDGER_KEEP_S": f"{plan.demand.retention_s:.0f}",
        "PENSTOCK_LEDGER_MAX_BYTES": str(math.ceil(ledger_bytes)),
    }


def scalability(plan: Plan) -> str:
    """Say what the fitted scalability makes of the largest service."""
    law = plan.costs.scaling
    if plan.costs.reach.instances == 1:
        return "scalability was not measured (one instance of each service): instances are taken to add up"
    fitted = f"scalability fitted up to {plan.costs.reach.instances} instances"
    said = f"{fitted}: s = {law.contention:.3g}, k = {law.coherency:.3g}"
    most = max([*plan.services.values(), plan.executors.service], key=lambda one: one.instances.typical)
    if math.isinf(most.by_scalability):
        return f"{said}; taken at its word no number of instances would do: measure a larger one, or split it"
    usual = f"instead of {most.instances.typical}"
    return f"{said}; by it the largest service needs {math.ceil(most.by_scalability)} instances {usual}"


def provenance(plan: Plan) -> str:
    """Say where the costs are from."""
    found = plan.costs.provenance
    said = (
        f"measured {found.measured_at or 'at an unknown time'} on {found.cores} cores ({found.processor}), "
        f"Python {found.python}, commit {found.commit or 'unknown'}, {found.rounds} rounds, "
        f"load {found.load_1min:g} before"
    )
    if plan.costs.borrowed:
        said += (
            f"; taken from the shipped costs, which were measured elsewhere: {', '.join(plan.costs.borrowed)}"
        )
    return said


def document(plan: Plan) -> dict[str, Any]:
    """Give the plan as a JSON object; cores are busy ones, without the room that utilization leaves."""
    executors, brokers, postgres = plan.executors, plan.brokers, plan.postgres
    return {
        "demand": asdict(plan.demand),
        "attempts_a_job": plan.attempts_a_job,
        "partitions": plan.partitions._asdict(),
        "services": {name: _service(service) for name, service in plan.services.items()},
        "executors": _service(executors.service)
        | {
            "instances": executors.instances._asdict(),
            "bound_by": executors.bound_by,
            "slots": executors.slots,
            "slots_per_executor": executors.per_executor,
            "busy_slots": executors.busy_slots,
            "waits_share": executors.waits_share,
            "worker_cores": executors.worker_cores._asdict(),
        },
        "brokers": {
            "cores": brokers.cores._asdict(),
            "disk_bytes": brokers.disk_bytes._asdict(),
            "in_bytes_per_s": brokers.in_bytes_per_s,
            "out_bytes_per_s": brokers.out_bytes_per_s,
            "partition_replicas": brokers.partition_replicas,
            "ledger_partition_bytes": brokers.ledger_partition_bytes,
        },
        "postgres": {
            "cores": postgres.cores._asdict(),
            "rows": postgres.rows,
            "table_bytes": {name: size._asdict() for name, size in postgres.table_bytes.items()},
            "wal_bytes_per_s": postgres.wal_bytes_per_s,
        },
        "settings": settings(plan),
        "limits": [asdict(limit) | {"share": limit.share} for limit in plan.limits],
        "extrapolated": list(plan.extrapolated),
        "laws": LAWS,
        "scaling": plan.costs.scaling._asdict(),
        "costs": {
            "provenance": asdict(plan.costs.provenance),
            "reach": asdict(plan.costs.reach),
            "borrowed": list(plan.costs.borrowed),
        },
    }


def _service(service: ServicePlan) -> dict[str, Any]:
    by = service.by_scalability
    return {
        "us_a_job": service.us_a_job._asdict(),
        "cores": service.cores._asdict(),
        "instances": service.instances._asdict(),
        "instances_by_scalability": None if math.isinf(by) else by,
    }


def _share(share: float) -> str:
    return "fewer than one in a million" if share < 1e-6 else f"{share:.2g} of all"


def _bytes(amount: float) -> str:
    power = min(len(_UNITS) - 1, max(0, int(math.log10(max(1.0, amount)) // 3)))
    return f"{amount / 1000**power:.3g} {_UNITS[power]}"


def _days(length_s: float) -> str:
    return f"{length_s / 86_400:.3g} d" if length_s >= 86_400 else f"{length_s / 3600:.3g} h"
