"""How models are shown to people. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from penstock.cli.times import age
from schemas.model_acts import command_of
from schemas.model_book import ModelBook
from schemas.model_fit import misfit_of
from schemas.models import ModelManifest, Purpose, Standing

_IN_LIST = {Purpose.ORDER: ("failed_pr_auc", "run_spearman"), Purpose.RETRY: ("log_score", "failures")}
POOL_COLUMNS = ("pool", "low_s", "high_s", "ends", "at")
_JUDGED_CHARS, _REASON_CHARS = 60, 160


class _Words(NamedTuple):
    """How it is said what decides, by purpose."""

    never: str
    disabled: str
    without: str
    model: str


_WORDS = {
    Purpose.ORDER: _Words(
        never="Jobs are ordered without a model: none was ever promoted.",
        disabled="Models are disabled: jobs are ordered by the rule; "
        "`{enable}` gives the order back to {after}",
        without="Jobs are ordered by the running mean, without a model",
        model="Jobs are ordered by model {champion}, as far as it is trusted",
    ),
    Purpose.RETRY: _Words(
        never="Retries are timed without a model: none was ever promoted.",
        disabled="Models are disabled: retries are timed by what each dlq_handler saw; "
        "`{enable}` gives them back to {after}",
        without="Retries are timed by what each dlq_handler saw, without a model",
        model="Retries are timed by model {champion}, where their policy is learned",
    ),
}


def columns_of(purpose: Purpose) -> tuple[str, ...]:
    """Name the columns of the list."""
    return ("id", "role", "kind", "made", "rows", *_IN_LIST[purpose], "judged")


def role_of(book: ModelBook, manifest: ModelManifest) -> str:
    """Say what a model is for now; of one that cannot be used, why."""
    standing = book.standing
    roles = [
        name
        for name, one in (
            ("champion", standing and standing.champion),
            ("previous", standing and standing.previous),
            ("shadow", standing and standing.shadow),
        )
        if one == manifest.id
    ]
    if misfit_of(manifest) is not None:
        roles.append("other features")
    if not book.has_bytes(manifest):
        roles.append("bytes gone")
    return ", ".join(roles)


def model_of(book: ModelBook, manifest: ModelManifest) -> dict[str, Any]:
    """Give everything about a model but the names of its features."""
    return {
        "id": manifest.id,
        "purpose": manifest.purpose,
        "role": role_of(book, manifest),
        "kind": manifest.kind,
        "created": _time(manifest.created_ms),
        "by": manifest.by,
        "code_version": manifest.code_version,
        "data_begin": _time(manifest.begin_ms),
        "data_cut": _time(manifest.cut_ms),
        "rows": manifest.rows,
        "features": len(manifest.features),
        "misfit": misfit_of(manifest),
        "parent": manifest.parent or None,
        "judged": manifest.judged or None,
        "size_bytes": manifest.size_bytes,
        "sha256": manifest.sha256,
        "signed": bool(manifest.signature),
        "has_bytes": book.has_bytes(manifest),
        "failing": None if manifest.failing is None else msgspec.structs.asdict(manifest.failing),
        "metrics": manifest.metrics,
        "beside": manifest.beside,
    }


def cells_of(book: ModelBook, manifest: ModelManifest, now_s: float) -> tuple[object, ...]:
    """Give its line of the list."""
    made = datetime.fromtimestamp(manifest.created_ms / 1000, UTC)
    return (
        manifest.id,
        role_of(book, manifest),
        manifest.kind,
        f"{age(made, datetime.fromtimestamp(now_s, UTC))} ago",
        manifest.rows,
        *(manifest.metrics.get(name) for name in _IN_LIST[book.purpose]),
        _cut(manifest.judged, _JUDGED_CHARS),
    )


def standing_of(standing: Standing | None) -> dict[str, Any] | None:
    """Give which models are in force, as JSON."""
    if standing is None:
        return None
    members: dict[str, Any] = msgspec.structs.asdict(standing)
    return members | {"at": _time(standing.at_ms)}


def standing_text(standing: Standing | None, purpose: Purpose) -> str:
    """Say who orders jobs, or times retries, since when, by whom and why."""
    words = _WORDS[purpose]
    if standing is None:
        return words.never
    if not standing.enabled:
        after = "nobody" if standing.champion is None else standing.champion
        who = words.disabled.format(enable=command_of(purpose, "enable"), after=after)
    elif standing.champion is None:
        who = words.without
    else:
        who = words.model.format(champion=standing.champion)
    others = [
        f"{name} {one}"
        for name, one in (("previous", standing.previous), ("shadow", standing.shadow))
        if one is not None
    ]
    said = f"since {_time(standing.at_ms)} by {standing.by or 'somebody'}"
    why = f": {_cut(standing.reason, _REASON_CHARS)}" if standing.reason else ""
    return f"{who} ({'; '.join([said + why, *others])})."


def pool_rows(book: ModelBook) -> list[dict[str, Any]]:
    """Give the range of costs of every pool."""
    return [
        {
            "pool": law.pool,
            "low_s": law.low_s,
            "high_s": law.high_s,
            "ends": law.ends,
            "at": _time(law.at_ms),
        }
        for _, law in sorted(book.laws.items())
    ]


def metric_rows(columns: Sequence[Mapping[str, float]]) -> list[tuple[object, ...]]:
    """Give a row for each metric that any of the columns has, with what each has."""
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, *(column.get(name) for column in columns)) for name in names]


def difference_of(one: ModelManifest, other: ModelManifest) -> dict[str, Any]:
    """Compare two models."""
    return {
        "models": [one.id, other.id],
        "about": {
            "kind": [one.kind, other.kind],
            "created": [_time(one.created_ms), _time(other.created_ms)],
            "data_begin": [_time(one.begin_ms), _time(other.begin_ms)],
            "data_cut": [_time(one.cut_ms), _time(other.cut_ms)],
            "rows": [one.rows, other.rows],
            "size_bytes": [one.size_bytes, other.size_bytes],
            "code_version": [one.code_version, other.code_version],
        },
        "metrics": [
            {"metric": name, "one": a, "other": b, "difference": _minus(a, b)}
            for name, a, b in ((str(n), x, y) for n, x, y in metric_rows([one.metrics, other.metrics]))
        ],
        "features_added": [name for name in one.features if name not in other.features],
        "features_removed": [name for name in other.features if name not in one.features],
    }


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"


def _minus(a: object, b: object) -> float | None:
    return a - b if isinstance(a, float | int) and isinstance(b, float | int) else None


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).isoformat().replace("+00:00", "Z")
