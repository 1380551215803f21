"""What a trainer asks of whoever makes models, and what comes back. Knows no arrays: services stay small."""

from enum import StrEnum
from typing import Protocol

import msgspec

from core.learning.enough import Enough
from schemas.models import ModelManifest, PoolLaw, Purpose

PROMOTABLE = "may be promoted"
"""How the words of a verdict begin that lets a model be used; they stand in its manifest."""


RECOVERY = "recovery"
"""What a model that times retries is made of: a history, and trees that correct it. There is one kind."""


class Kind(StrEnum):
    """What a model that orders jobs is made of."""

    BOOSTED = "boosted"
    TREE = "tree"
    """One tree a head: worse, and small enough to be read."""


class When(StrEnum):
    """Whether to train."""

    DUE = "due"
    """When enough has ended since the newest model."""
    NOW = "now"
    NEVER = "never"
    """Only look whether the champion has drifted, and what the pools cost."""


class Order(msgspec.Struct, frozen=True):
    """What is to be looked at, and made.

    Attributes
    ----------
    now_ms
        Broker time.
    kind
        Of a model that orders jobs; those that time retries are of one.
    enough
        For retries, ``failures`` are decisions whose job recovered.
    newest, champion
        The model of this purpose that was made last, and the one in force; None: there is none.
    laws
        Of pools, as they stand.
    """

    now_ms: int
    by: str
    when: When
    code_version: str
    kind: Kind
    rows_max: int
    enough: Enough
    newest: ModelManifest | None = None
    champion: ModelManifest | None = None
    laws: tuple[PoolLaw, ...] = ()
    trace: str = ""
    """A recording to learn from instead of the database; of models that order jobs alone."""
    purpose: Purpose = Purpose.ORDER


class DriftFound(msgspec.Struct, frozen=True):
    """Whether the champion still fits."""

    drifted: bool
    words: str
    measures: dict[str, float] = {}


class Found(msgspec.Struct, frozen=True):
    """What came of an order.

    Attributes
    ----------
    ends, failures
        That could be learned from; for retries, as in ``Order.enough``.
    drift
        Of the champion; None: it was not looked at.
    laws
        Of pools whose costs have moved.
    model
        Without its signature; None: none was made, and ``waits_for`` says why.
    """

    ends: int = 0
    failures: int = 0
    drift: DriftFound | None = None
    laws: tuple[PoolLaw, ...] = ()
    model: ModelManifest | None = None
    waits_for: str = ""

    @property
    def may_be_promoted(self) -> bool:
        """Whether a model was made that may be used."""
        return self.model is not None and is_promotable(self.model)


class UnavailableError(Exception):
    """The database cannot be read now; try again later. The message says why."""


class MakingFailedError(Exception):
    """No model came out; the message says what to do."""


class Maker(Protocol):
    """Makes models."""

    async def make(self, order: Order, champion: bytes) -> tuple[Found, bytes]:
        """Carry out an order; give what was found, and the bytes of the model that was made.

        Parameters
        ----------
        champion
            Bytes of ``order.champion``; empty: there is none, or they are gone.

        Raises
        ------
        UnavailableError
            The database cannot be read now.
        MakingFailedError
            It went wrong, and will again until somebody does something.
        """
        ...


def is_promotable(manifest: ModelManifest) -> bool:
    """Say what its verdict was."""
    return manifest.judged.startswith(PROMOTABLE)
