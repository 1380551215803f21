"""When to train, and what becomes of a model: which is in force from here on. Pure."""

from collections.abc import Collection
from typing import NamedTuple

import msgspec

from core.learning.enough import Enough
from ports.training import DriftFound, Kind, Order, When, is_promotable
from schemas.model_book import ModelBook
from schemas.model_fit import names_of
from schemas.models import ModelManifest, Standing

BY = "trainer"
"""Who made a model, or decided which is in force, when nobody asked for it."""


class Plan(NamedTuple):
    """What a trainer was set to do."""

    every_s: float
    kind: Kind
    rows_max: int
    enough: Enough
    promote: bool
    code_version: str


def order_of(book: ModelBook, plan: Plan, now_ms: int) -> Order:
    """Make the order for a moment from all that stands in ``models``.

    Models of other features count for nothing: their vectors are not read any more.
    """
    names = names_of(book.purpose)
    own = [manifest for manifest in book.manifests.values() if manifest.features == names]
    newest = max(own, key=lambda manifest: manifest.id, default=None)
    return Order(
        now_ms=now_ms,
        by=BY,
        when=when(newest, book.standing, now_ms, plan.every_s),
        code_version=plan.code_version,
        kind=plan.kind,
        rows_max=plan.rows_max,
        enough=plan.enough,
        newest=newest,
        champion=champion_of(book, own),
        laws=tuple(book.laws.values()),
        purpose=book.purpose,
    )


def champion_of(book: ModelBook, own: Collection[ModelManifest]) -> ModelManifest | None:
    """Give the manifest of the model that orders; None: none does, or one that this version cannot ask."""
    standing = book.standing
    if standing is None or standing.champion is None or not standing.enabled:
        return None
    return next((manifest for manifest in own if manifest.id == standing.champion), None)


def when(newest: ModelManifest | None, standing: Standing | None, now_ms: int, every_s: float) -> When:
    """Say whether it is time: some time after the last model, or at once when the champion fell out."""
    if newest is None or now_ms - newest.created_ms >= every_s * 1000:
        return When.DUE
    # Who has drifted is replaced as soon as enough new jobs have ended.
    if standing is not None and standing.by == BY and standing.champion is None:
        return When.DUE if standing.at_ms > newest.created_ms else When.NEVER
    return When.NEVER


def after_model(book: ModelBook, made: ModelManifest, *, promote: bool, at_ms: int) -> Standing | None:
    """Say who orders once a model is published; None: as it stands.

    It takes the place only of the champion it was judged against: whoever was promoted meanwhile, by people
    or by another trainer, stays. A model that may not be promoted predicts in the shadow.
    """
    standing = book.standing or Standing(None, None, None, enabled=True, at_ms=at_ms, by=BY, reason="")
    if made.id in {standing.champion, standing.shadow}:
        return None
    if not standing.enabled:
        # Somebody switched models off: nothing here switches them on, or prepares it.
        return None
    if promote and is_promotable(made) and (standing.champion or "") == made.parent:
        return Standing(
            champion=made.id,
            previous=standing.champion,
            shadow=None,
            enabled=True,
            at_ms=at_ms,
            by=BY,
            reason=made.judged,
        )
    return msgspec.structs.replace(standing, shadow=made.id, at_ms=at_ms, by=BY, reason=made.judged)


def after_drift(book: ModelBook, champion: str, drift: DriftFound | None, *, at_ms: int) -> Standing | None:
    """Say who orders when that champion was looked at: none if it drifted. None: as it stands."""
    standing = book.standing
    if drift is None or not drift.drifted or standing is None:
        return None
    if not standing.enabled or standing.champion != champion:
        return None
    return msgspec.structs.replace(
        standing, champion=None, previous=champion, at_ms=at_ms, by=BY, reason=drift.words
    )


def unfinished(book: ModelBook) -> ModelManifest | None:
    """Give the model of ours that was published and of which nothing was said since; None: there is none.

    Whoever dies between the two leaves one behind.
    """
    newest = book.newest
    if newest is None or newest.by != BY or newest.features != names_of(book.purpose):
        return None
    standing = book.standing
    is_said = standing is not None and (not standing.enabled or standing.at_ms >= newest.created_ms)
    return None if is_said else newest


def pause_s(check_s: float, every_s: float, failures: int) -> float:
    """Give the time until the next look: longer after each failure in a row, up to a whole period."""
    return min(check_s * 2.0 ** min(failures, 30), max(check_s, every_s))
