"""From logged decisions about failures to a model of recoveries with its verdict; and drift."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.learned.heads import Head
from adapters.learned.made import Made, Say, Trained, finite, found_with, made_of
from adapters.learned.recovery import RecoveryModel
from adapters.learned.recovery_bytes import pack_recovery, unpack_recovery
from adapters.learned.recovery_probe import said_of_probe
from adapters.learned.retry_episodes import Moments, known_at, moments_of
from adapters.learned.retry_logged import RetryLogged
from adapters.learned.retry_training import train_hazard
from adapters.learned.retrying import Correction
from adapters.learned.training import NothingToLearnError
from core.retrying.bins import Floats
from core.retrying.evidence import Evidence, evidence_of
from core.retrying.verdict import (
    CHALLENGER,
    CHAMPION,
    HISTORY,
    ROUNDS,
    Places,
    Slice,
    Verdict,
    drift,
    judge,
    losses_of,
    says_something,
)
from ports.training import RECOVERY, DriftFound, Found, Order

JUDGED_SHARE = 0.3
"""Share of the newest moments whose job has ended that a model is judged on, and not trained on: more than of
models that order jobs, for failures are few..."""
JUDGED_MAX = 10_000
"""...and at most so many: each is asked by itself, which takes half a millisecond for each model."""
SLICES = 4
"""Types, and as many signatures, with most failures that are judged apart: of many, one in ten would look
worse by chance."""
SEED = 1


def carried_out(
    order: Order, champion: bytes, logged: RetryLogged, waits_for: str, say: Say
) -> tuple[Found, bytes]:
    """Carry out an order; see ``adapters.learned.making.carried_out``."""
    moments = moments_of(logged.decided)
    head = unpack_recovery(champion).head if order.champion is not None and champion else None
    found = Found(
        ends=logged.ends,
        failures=logged.recoveries,
        drift=drifted(order, head, moments),
        waits_for=waits_for,
    )
    return found_with(found, lambda: made(order, head, moments, evidence_of(logged.settled), say))


def cut_of(moments: Moments) -> int:
    """Give the time from which on moments are judged, ms since 1970.

    Raises
    ------
    NothingToLearnError
        There are none, or none before.
    """
    ended_ms = [one.at_ms for one in moments.decided if one.ended_ms is not None]
    if len(ended_ms) < 2 or ended_ms[0] == ended_ms[-1]:
        raise NothingToLearnError(
            f"{len(ended_ms)} decisions about failures have these features and a job that has ended: "
            "nothing to learn from"
        )
    count = min(JUDGED_MAX, max(1, round(JUDGED_SHARE * len(ended_ms))))
    return max(ended_ms[-count], ended_ms[0] + 1)


def made(order: Order, champion: Head | None, moments: Moments, evidence: Evidence, say: Say) -> Made:
    """Train on all but the newest slice, and judge on that; history and evidence are of everything.

    Raises
    ------
    NothingToLearnError
        There is nothing to learn from.
    """
    cut_ms = cut_of(moments)
    began_s = time.monotonic()
    failures = known_at(moments, cut_ms)
    if not len(failures):
        raise NothingToLearnError("nothing was seen after failures before the newest: nothing to learn from")
    head = train_hazard(failures, SEED)
    say(f"trained on {len(failures)} of {len(moments)} failures in {time.monotonic() - began_s:.0f} s")
    verdict = judged(moments, judged_from(moments, cut_ms), head, champion)
    say(verdict.words)
    data = pack_recovery(moments.history, head, evidence)
    # As whoever loads it has it, with the keys that were left out.
    probe = said_of_probe(RecoveryModel(CHALLENGER, *unpack_recovery(data)))
    return made_of(
        order,
        data,
        Trained(
            kind=RECOVERY,
            begin_ms=moments.decided[0].at_ms,
            cut_ms=cut_ms,
            rows=len(failures),
            challenger=CHALLENGER,
            measures=verdict.measures,
            judged=verdict.words,
            probe=(probe.log_odds, probe.still_on),
        ),
    )


def judged_from(moments: Moments, from_ms: int) -> list[int]:
    """Give the places of moments from a time on that say anything, also of jobs that still go on."""
    places = [place for place, one in enumerate(moments.decided) if one.at_ms >= from_ms]
    return [place for place in places if says_something(moments.seen(place))][-JUDGED_MAX:]


def judged(moments: Moments, places: Sequence[int], challenger: Head, champion: Head | None) -> Verdict:
    """Judge a correction beside the history that stood there, and the champion's."""
    losses = {
        CHALLENGER: losses_under(moments, places, challenger),
        HISTORY: losses_under(moments, places, None),
    }
    if champion is not None:
        losses[CHAMPION] = losses_under(moments, places, champion)
    on = slice_of(moments, places)
    return judge(on, losses, _draws(on))


def losses_under(moments: Moments, places: Sequence[int], head: Head | None) -> Floats:
    """Give the surprise of some moments, (n_places,), under a correction; None: under history alone."""
    seen = [moments.seen(place) for place in places]
    before = [moments.by_history[place] for place in places]
    if head is None:
        return losses_of(before, seen)
    correction = Correction(head)
    asked = zip(before, places, strict=True)
    return losses_of([correction.of(said, moments.moment(place)) for said, place in asked], seen)


def slice_of(moments: Moments, places: Sequence[int]) -> Slice:
    """Give what became of some moments."""
    decided = [moments.decided[place] for place in places]
    _, jobs = np.unique([one.job for one in decided], return_inverse=True)
    subjects = [one.subject for one in decided]
    slices = {
        **_largest("type", [subject.type for subject in subjects]),
        **_largest("signature", [subject.signature for subject in subjects]),
    }
    recovered = np.array([moments.seen(place).working_s is not None for place in places], np.bool_)
    return Slice(jobs.astype(np.int64), recovered, slices)


def _largest(what: str, texts: Sequence[str]) -> Mapping[str, NDArray[np.bool_]]:
    names = [name for name, _ in Counter(texts).most_common(SLICES)]
    return {f"{what} {name or 'unknown'}": np.array([text == name for text in texts]) for name in names}


def drifted(order: Order, champion: Head | None, moments: Moments) -> DriftFound | None:
    """Look whether the champion is still better than history on the newest moments it was not trained on."""
    if order.champion is None or champion is None or not len(moments):
        return None
    try:
        from_ms = max(cut_of(moments), order.champion.cut_ms)
    except NothingToLearnError:
        return None
    places = judged_from(moments, from_ms)
    on = slice_of(moments, places)
    found = drift(
        on, losses_under(moments, places, champion), losses_under(moments, places, None), _draws(on)
    )
    return DriftFound(found.drifted, found.words, finite(found.measures))


def _draws(on: Slice) -> Places:
    return np.random.default_rng(SEED).integers(0, max(1, on.count), (ROUNDS, on.count))
