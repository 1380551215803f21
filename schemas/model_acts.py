"""What people and the trainer may do about which models are in force, as the standing that says so. Pure."""

from typing import NamedTuple

from schemas.model_book import ModelBook
from schemas.model_fit import misfit_of
from schemas.models import ModelManifest, Purpose, Standing

EWMA = "ewma"
"""Stands for no model where one that orders jobs can be named: the running mean does."""
HISTORY = "history"
"""Stands for no model where one that times retries can be named: what was seen of failures does."""
_WITHOUT = {Purpose.ORDER: EWMA, Purpose.RETRY: HISTORY}
_TRAIN = {Purpose.ORDER: "`penstock train`", Purpose.RETRY: "`penstock train --purpose retry`"}


class ActError(Exception):
    """What was asked for cannot be done; with the remedy."""


class UnchangedError(ActError):
    """All is already as it was asked for."""


class Actor(NamedTuple):
    """Who acts, when, and why."""

    by: str
    at_ms: int
    reason: str = ""


def without(purpose: Purpose) -> str:
    """Give the name by which people ask for no model."""
    return _WITHOUT[purpose]


def command_of(purpose: Purpose, name: str, *arguments: str) -> str:
    """Write a command about models of a purpose, as a person types it."""
    option = () if purpose is Purpose.ORDER else ("--purpose", purpose.value)
    return " ".join(("penstock models", name, *arguments, *option))


def trains(purpose: Purpose) -> str:
    """Name the command that makes a model of a purpose, in quotes."""
    return _TRAIN[purpose]


def nobody_yet(actor: Actor) -> Standing:
    """Give what holds before anybody has said anything: no model, and none is disabled."""
    return Standing(None, None, None, enabled=True, at_ms=actor.at_ms, by=actor.by, reason=actor.reason)


def named(book: ModelBook, name: str) -> ModelManifest:
    """Find a model by its id, by how that begins or ends, or by its place.

    Raises
    ------
    ActError
        There is none, or more than one.
    """
    standing = book.standing
    places = {"newest": None if book.newest is None else book.newest.id}
    if standing is not None:
        places |= {
            "champion": standing.champion,
            "previous": standing.previous,
            "shadow": standing.shadow,
        }
    if name in places:
        one = places[name]
        if one is None:
            raise ActError(
                f"there is no {name} model; `{command_of(book.purpose, 'list')}` shows what there is"
            )
        return _known(book, one)
    if name in book.manifests:
        return book.manifests[name]
    found = [one for one in sorted(book.manifests) if name and (one.startswith(name) or one.endswith(name))]
    if len(found) > 1:
        raise ActError(f"{name!r} may be {', '.join(found[:5])}: write more of the id")
    return _known(book, found[0] if found else name)


def _known(book: ModelBook, one: str) -> ModelManifest:
    manifest = book.manifests.get(one)
    if manifest is None:
        known = (
            ", ".join(sorted(book.manifests, reverse=True)[:5]) or f"none; {trains(book.purpose)} makes one"
        )
        raise ActError(f"there is no model {one!r}; known are: {known}")
    return manifest


def promoted(book: ModelBook, name: str, actor: Actor) -> Standing:
    """Make a model the champion; ``without`` makes it nobody. Whether models are enabled stays as it is.

    Raises
    ------
    ActError
        There is no such model, or it cannot be used by this version.
    UnchangedError
        It is the champion already.
    """
    before = book.standing or nobody_yet(actor)
    champion = None if name == without(book.purpose) else usable(book, named(book, name)).id
    if champion == before.champion:
        who = "no model" if champion is None else f"model {champion}"
        raise UnchangedError(f"{who} is the champion already ({_said(before)})")
    return Standing(
        champion,
        before.champion,
        None if before.shadow == champion else before.shadow,
        before.enabled,
        actor.at_ms,
        actor.by,
        actor.reason,
    )


def shadowed(book: ModelBook, name: str | None, actor: Actor) -> Standing:
    """Let a model predict beside the champion, and decide nothing; None ends that.

    Raises
    ------
    ActError
        There is no such model, it cannot be used by this version, or it is the champion.
    UnchangedError
        It is the shadow already.
    """
    before = book.standing or nobody_yet(actor)
    shadow = None if name is None else usable(book, named(book, name)).id
    if shadow == before.shadow:
        raise UnchangedError(f"the shadow is already {shadow or 'nobody'} ({_said(before)})")
    if shadow is not None and shadow == before.champion:
        raise ActError(f"model {shadow} is the champion: promote another one first")
    return Standing(
        before.champion,
        before.previous,
        shadow,
        before.enabled,
        actor.at_ms,
        actor.by,
        actor.reason,
    )


def rolled_back(book: ModelBook, actor: Actor) -> Standing:
    """Make the champion before the champion again; once more undoes that.

    Raises
    ------
    ActError
        There was none, or it cannot be used any more.
    """
    before = book.standing
    if before is None or before.previous is None:
        raise ActError(
            "there is nothing to roll back to: no model was the champion before; "
            f"`{command_of(book.purpose, 'promote', 'ID')}` takes another one, "
            f"`{command_of(book.purpose, 'disable')}` none"
        )
    previous = usable(book, _known(book, before.previous))
    return Standing(
        previous.id,
        before.champion,
        None if before.shadow == previous.id else before.shadow,
        before.enabled,
        actor.at_ms,
        actor.by,
        actor.reason,
    )


def switched(book: ModelBook, actor: Actor, *, enabled: bool) -> Standing:
    """Throw the kill switch, or take it back: disabled is as if there were no models of this purpose.

    Raises
    ------
    UnchangedError
        It is so already.
    """
    before = book.standing or nobody_yet(actor)
    if before.enabled is enabled:
        what = "enabled" if enabled else "disabled"
        raise UnchangedError(f"models are {what} already" + (f" ({_said(before)})" if book.standing else ""))
    return Standing(
        before.champion, before.previous, before.shadow, enabled, actor.at_ms, actor.by, actor.reason
    )


def usable(book: ModelBook, manifest: ModelManifest) -> ModelManifest:
    """Give the manifest back when this version can use its model.

    Raises
    ------
    ActError
        It was trained on other features, or its bytes are gone.
    """
    problem = misfit_of(manifest)
    if problem is not None:
        raise ActError(
            f"the features of model {manifest.id} do not fit this version: {problem}; "
            f"{trains(book.purpose)} makes one that does"
        )
    if not book.has_bytes(manifest):
        raise ActError(
            f"the bytes of model {manifest.id} are not in the topic any more: only the newest ones and "
            "those in use are kept; promote another one, or train it again"
        )
    return manifest


def _said(standing: Standing) -> str:
    return f"said by {standing.by or 'somebody'}{f': {standing.reason}' if standing.reason else ''}"
