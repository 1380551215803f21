"""What is done about dispatches that will nearly certainly fail: run them, hold them, or end them. Pure.

Above the point of a model (``core.learning.verdict.failing_point``) at least nine of ten dispatches failed.
The tenth is a good job, so what is stopped is bounded by its expected cost, by a budget, and by a share that
runs anyway and shows how often the model is wrong.
"""

import hashlib
from enum import StrEnum
from typing import NamedTuple

import msgspec

PREDICTED = "predicted"
"""Error class of what was never tried; no task can raise it."""
GOOD_JOB_S = 60.0
"""What it costs to stop a job that would not have failed, in seconds of run time."""
ANYWAY_SHARE = 0.02
"""Share of what would be diverted that runs anyway, so that labels stay unbiased."""
BUDGET_SHARE = 0.05
"""Most of the dispatches of a type, and of a tenant, that is diverted..."""
BURST_DISPATCHES = 1000
"""...but for what was saved up over so many."""
KEYS_MAX = 10_000
"""Types and tenants of which a budget is kept; the longest unseen begin anew, with nothing saved up."""
PASSING = 2.0
"""Trouble passes where a type fails so many times as often as it usually does."""
OVER = 0.5
"""It is over when the type fails at most so many times as often as when the dispatch was diverted."""


class Mode(StrEnum):
    """What may be done about dispatches above the point."""

    OFF = "off"
    WATCH = "watch"
    """They run, and are marked."""
    ON = "on"


class Way(StrEnum):
    """What was done about a dispatch above the point; the values stand in notes, rows and metrics."""

    WATCHED = "watched"
    """It ran: nothing is diverted."""
    CHEAP = "cheap"
    """It ran: that costs less than stopping it."""
    SAMPLED = "sampled"
    """It ran: it was drawn."""
    BUDGET = "budget"
    """It ran: enough of its type or tenant was diverted."""
    DIVERTED = "diverted"


class PreemptRule(NamedTuple):
    """What diverting may cost."""

    good_job_s: float = GOOD_JOB_S
    anyway_share: float = ANYWAY_SHARE
    budget_share: float = BUDGET_SHARE


class Foreseen(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a dispatch was diverted: what is decided about it rests on this alone."""

    model: str
    probability: float
    point: float
    run_s: float
    """Predicted run time."""
    recent: float | None = None
    """Share of the newest ends of its type that failed; None: not known."""
    usual: float | None = None
    """The same of all ends ever."""

    @property
    def is_passing(self) -> bool:
        """Whether its type fails far more often than usual: then it may succeed later."""
        if self.recent is None or self.usual is None:
            return False
        return self.recent >= PASSING * self.usual and self.recent > 0

    @property
    def words(self) -> str:
        """Say so to people."""
        return (
            f"model {self.model} expects it to fail with a probability of {self.probability:.1%} "
            f"(its point is {self.point:.1%})"
        )


def draw_for(origin: str, n: int) -> float:
    """Give the random draw of one dispatch, in [0, 1): a hash, so that repeats are drawn alike."""
    digest = hashlib.blake2b(f"{origin}/{n}".encode(), digest_size=8, person=b"preempt").digest()
    # 53 bits: more would round up to 1.0.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def is_worth_it(probability: float, run_s: float, rule: PreemptRule) -> bool:
    """Whether diverting is expected to save more run time than the good jobs among such would cost."""
    return probability * run_s > (1 - probability) * rule.good_job_s


class DivertBudget:
    """Bounds how much of a key is diverted: each of its dispatches earns a share of a diversion.

    Of any stretch of ``m`` dispatches of a key at most ``share * (m + BURST_DISPATCHES)`` are diverted, and
    since it began at most ``share * m``.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved: dict[str, float] = {}
        """Diversions saved up by key; the longest unseen key first."""

    def saw(self, key: str) -> None:
        """Take in a dispatch."""
        saved = self._saved.pop(key, 0.0)
        self._saved[key] = min(saved + self._share, max(1.0, self._share * BURST_DISPATCHES))
        if len(self._saved) > KEYS_MAX:
            del self._saved[next(iter(self._saved))]

    def has_room(self, key: str) -> bool:
        """Whether one more may be diverted."""
        # A hair below one: twenty times a twentieth is less than one in floating point.
        return self._saved.get(key, 0.0) >= 1 - 1e-9

    def divert(self, key: str) -> None:
        """Take in that one is diverted."""
        self._saved[key] = max(0.0, self._saved.get(key, 0.0) - 1)


def way_of(foreseen: Foreseen, mode: Mode, rule: PreemptRule, draw: float, *, has_room: bool) -> Way:
    """Say what is done about a dispatch above the point.

    Parameters
    ----------
    draw
        Uniform in [0, 1).
    has_room
        Whether the budgets of its type and tenant allow one more.
    """
    if not is_worth_it(foreseen.probability, foreseen.run_s, rule):
        return Way.CHEAP
    if mode is not Mode.ON:
        return Way.WATCHED
    if draw < rule.anyway_share:
        return Way.SAMPLED
    return Way.DIVERTED if has_room else Way.BUDGET


def hold_is_over(foreseen: Foreseen, recent: float | None, now_ms: int, until_ms: int) -> str | None:
    """Say why a held dispatch runs now; None: it stays.

    Parameters
    ----------
    recent
        Share of the newest ends of its type that failed, as it is now; None: not known.
    until_ms
        When it runs whatever happens.
    """
    if now_ms >= until_ms:
        return "it was held long enough"
    if recent is not None and foreseen.recent is not None and recent <= OVER * foreseen.recent:
        return f"its type fails less often: {recent:.0%} of late, {foreseen.recent:.0%} when it was held"
    return None


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson, "Probable inference", JASA 22, 1927); (0, 1) of none."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = hits / of, z * z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = z / (1 + z2 / of) * (share * (1 - share) / of + z2 / (4 * of * of)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
