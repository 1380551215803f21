"""Models, manifests and standings for tests: small, and told apart by a seed."""

from core.learning.features import FEATURES
from schemas.model_fit import names_of
from schemas.models import ModelManifest, Purpose, Standing, chunked, model_id, sha256_of

CREATED_MS = 1_700_000_000_000
NAMES = tuple(feature.name for feature in FEATURES)


def some_bytes(seed: int, size_bytes: int = 1_300_000) -> bytes:
    """Give bytes of several chunks that no other seed gives."""
    return (f"model {seed} ".encode() * (size_bytes // 8))[:size_bytes]


def a_manifest(
    data: bytes,
    minute: int = 0,
    features: tuple[str, ...] | None = None,
    *,
    purpose: Purpose = Purpose.ORDER,
) -> ModelManifest:
    """Make the manifest of these bytes; its features are those of this version if none are given."""
    created_ms = CREATED_MS + minute * 60_000
    digest = sha256_of(data)
    return ModelManifest(
        id=model_id(created_ms, digest),
        kind="boosted",
        sha256=digest,
        size_bytes=len(data),
        chunks=len(chunked(data)),
        features=names_of(purpose) if features is None else features,
        created_ms=created_ms,
        by="trainer",
        code_version="0.1.0",
        begin_ms=CREATED_MS - 86_400_000,
        cut_ms=CREATED_MS,
        rows=12_345,
        metrics={"failed_pr_auc": 0.6, "run_spearman": 0.9},
        beside={"ewma": {"failed_pr_auc": 0.3, "run_spearman": 0.8}},
        purpose=purpose.value,
    )


def a_standing(
    champion: str | None = None,
    previous: str | None = None,
    shadow: str | None = None,
    *,
    enabled: bool = True,
    by: str = "ann",
    reason: str = "a test",
) -> Standing:
    return Standing(champion, previous, shadow, enabled, CREATED_MS, by, reason)
