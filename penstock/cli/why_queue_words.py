"""A queued job's score, place and expected start in words. Pure."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from core.priority import DEFAULT_PRIORITY
from core.run_times import UNKNOWN_RUN_S
from core.urgency import Urgency
from penstock.cli.holds import rate_text
from penstock.cli.times import ms_of, span
from penstock.cli.why_known import Known, Part
from penstock.cli.why_model import Reason
from penstock.cli.why_queue import Ahead, QueueView

SHOWN = 5
"""Groups of jobs ahead, those with the most work first."""
SUPPORTED_SHARE = 0.8
"""Below it the answer says that times of what is ahead are mere predictions."""
NEAR_S = 0.001


def score_part(known: Known) -> Part:
    """Say what its score is made of."""
    job = known.job
    parts: Mapping[str, float] = job["score_parts"] or {}
    lines = [
        f"{name:10} {value:+8,.0f} s  {_PARTS.get(name, _unknown_part)(known)}"
        for name, value in parts.items()
    ]
    head_start_s = job["head_start_s"]
    if parts and head_start_s is not None and abs(sum(parts.values()) - head_start_s) > NEAR_S:
        lines.append(
            f"together   {head_start_s:+8,.0f} s  a head start has a least and a most (0 s here is none)"
        )
    title = "score" if head_start_s is None else f"score: {head_start_s:,.0f} s of head start"
    return Part(title, lines)


def _cost(known: Known) -> str:
    predicted_s, model = known.job["predicted_run_s"], known.job["model_version"]
    if predicted_s is None:
        return "predicted run time"
    if model == "ewma":
        source = "by the running mean of its like"
    elif model not in (None, "rule"):
        source = f"by model {model}"
    elif predicted_s == UNKNOWN_RUN_S:
        source = "what is taken while nothing is known"
    else:
        source = "by the mean of its type's latest"
    return f"predicted to run {span(predicted_s)}, {source}"


def _risk(known: Known) -> str:
    failed = known.job["p_fail"]
    odds = "it may fail" if failed is None else f"it fails with {failed:.1%}"
    return f"{odds}: what it costs is then spent for nothing"


def _share(known: Known) -> str:
    return f"tenant {known.job['tenant']} has had more than an equal share of the work lately"


def _last_call(_: Known) -> str:
    return "begun any later, nine of ten such jobs would miss the deadline"


def _urgency(known: Known) -> str:
    priority = known.job["priority"]
    return f"priority {priority}" + (", the usual one" if priority == DEFAULT_PRIORITY else "")


def _deadline(known: Known) -> str:
    deadline, ready = known.job["deadline_at"], known.job["ready_at"]
    if deadline is None or ready is None:
        return "its deadline"
    slack_s = (deadline - ready).total_seconds() - (known.job["predicted_run_s"] or 0.0)
    left_s = known.seconds_to(deadline)
    now = f"in {span(left_s)}" if left_s >= 0 else f"missed {span(-left_s)} ago"
    return f"its deadline ({now}) left {span(slack_s)} of slack when it became ready"


def _inherited(known: Known) -> str:
    """Say from whom: those that wait for it and are more urgent than it is."""
    own = Urgency(known.job["priority"] or 0, _ms(known.job["deadline_at"]))
    waiting = [
        (one["job_id"], Urgency(one["priority"] or 0, _ms(one["deadline_at"]))) for one in known.children
    ]
    if known.key is not None:
        waiting += [
            (job_id, Urgency(priority, deadline_ms)) for job_id, priority, deadline_ms in known.key.behind
        ]
    urgent = [job_id for job_id, urgency in waiting if own.gains(urgency) is not None]
    if not urgent:
        return "from what waited for it when it was scored"
    more = f" and {len(urgent) - 1} more" if len(urgent) > 1 else ""
    return f"from what waits for it: {urgent[0]}{more}"


def _unknown_part(known: Known) -> str:
    return f"a part of model {known.job['model_version']}"


_PARTS: Mapping[str, Callable[[Known], str]] = {
    "cost": _cost,
    "urgency": _urgency,
    "deadline": _deadline,
    "inherited": _inherited,
    "risk": _risk,
    "share": _share,
    "last_call": _last_call,
}
"""A score of another kind adds a part here; until then it is shown by its name."""


def model_part(known: Known) -> Part:
    """Say what its model expects of it, and why."""
    scored = known.scored
    if scored is None or scored.candidate is None or scored.log_run is None or scored.failed is None:
        return Part("model", [])
    expected_s = math.expm1(scored.log_run) / 1000
    trust = "orders it" if scored.model == scored.candidate else "is watched, and does not order it yet"
    lines = [f"expects {span(expected_s)}, and that it fails with {scored.failed:.1%}; it {trust}"]
    if known.reasons is not None:
        lines += [f"{_factor(one)} as long: {_value(one)}" for one in known.reasons.run]
        lines += [f"{_factor(one)} as likely to fail: {_value(one)}" for one in known.reasons.failed]
    return Part(f"model {scored.candidate}", lines)


def _factor(reason: Reason) -> str:
    return f"{math.exp(reason.adds):6.2f} x"


def _value(reason: Reason) -> str:
    value = "not known" if math.isnan(reason.value) else f"{reason.value:.3g} {reason.feature.unit}"
    return f"{reason.feature.name} is {value}"


def place_part(known: Known, view: QueueView) -> Part:
    """Say what is taken before it, and what may still be."""
    lines = [_kind(one) for one in view.ahead[:SHOWN]]
    rest = view.ahead[SHOWN:]
    if rest:
        jobs, predicted_s = sum(one.jobs for one in rest), sum(one.predicted_s for one in rest)
        lines.append(f"{jobs:7,} of {len(rest)} other kinds, predicted to run {span(predicted_s)} together")
    ready, now = known.job["ready_at"], known.now
    if view.overtaken_until:
        bucket, until_s = max(view.overtaken_until.items(), key=lambda item: item[1])
        until = (now + timedelta(seconds=until_s)).strftime("%H:%M:%S")
        lines.append(
            f"what comes into bucket {bucket} overtakes it until {until}, into those between for less"
        )
    if view.tied:
        lines.append(f"{view.tied:7,} others became ready in the same instant: they start in any order")
    waited = "" if ready is None else f", ready for {span((now - ready).total_seconds())}"
    return Part(
        f"place: {view.before + 1:,} in pool {known.job['pool']}{waited}",
        lines or ["nothing is taken before it"],
    )


def _kind(one: Ahead) -> str:
    together = " together" if one.jobs > 1 else ""
    where = f"{one.jobs:7,} {one.type} of {one.tenant} in bucket {one.bucket}"
    return f"{where}, predicted to run {span(one.predicted_s)}{together}"


def served_part(known: Known, view: QueueView) -> Part:
    """Say who takes jobs of its pool."""
    served, pool = view.served, known.job["pool"]
    if served is None:
        return Part("slots", [])
    lines = []
    if served.slots:
        hosts = f" on {', '.join(served.hosts[:SHOWN])}" if any(served.hosts) else ""
        lines.append(f"{served.busy} of {served.slots} busy, of {_executors(served.executors)}{hosts}")
    else:
        lines.append(f"no executor serves pool {pool} now: start one with `penstock run executor`")
    if served.draining:
        lines.append(f"draining, so taking no more: {_executors(served.draining)}; `penstock executors list`")
    if served.silent:
        lines.append(f"silent for longer than its lease: {_executors(served.silent)}")
    if not served.knows_type:
        lines.append(f"none of them knows the type {known.job['type']}: it would fail there")
    return Part("slots", lines)


def _executors(count: int) -> str:
    return "1 executor" if count == 1 else f"{count} executors"


def expected_part(known: Known, view: QueueView) -> Part:
    """Say when it should start, and what that rests on."""
    start = view.start
    if start is None:
        reason = "nobody said who serves its pool"
        if view.paused is not None:
            reason = f"not before {view.paused.replace('/', ' ', 1)} is resumed"
        elif view.served is not None:
            reason = "no slot serves its pool"
        return Part("expected start", [f"unknown: {reason}"])
    at = (known.now + timedelta(seconds=start.point_s)).strftime("%H:%M:%S")
    between = f"probably between {span(start.low_s)} and {span(start.high_s)}"
    lines = [f"at {at} UTC, in {span(start.point_s)}; {between}"]
    if view.before:
        lines.append(
            f"{span(view.predicted_s)} of predicted work before it, corrected by how such predictions "
            "turned out lately"
        )
    if view.supported < SUPPORTED_SHARE:
        lines.append(f"for {1 - view.supported:.0%} of the jobs before it nothing alike has ended lately")
    if view.overtaking_load > 0:
        lines.append(
            f"more urgent jobs kept {view.overtaking_load:.1f} slots busy in the last minutes: "
            "if they keep coming, it is the later end"
        )
    lines += [
        f"{subject.replace('/', ' ', 1)} may start {rate_text(rate)}" for subject, rate in view.limits.items()
    ]
    return Part("expected start", lines)


def _ms(at: datetime | None) -> int | None:
    return None if at is None else ms_of(at)
