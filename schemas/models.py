"""Records of the compacted topic ``models``: models in chunks, which of them are in force, and pools' costs.

Everything stands on partition 0, in one order: a manifest behind all chunks of its model, so whoever has
read a manifest has read what it speaks of. Each purpose has keys of its own, and is read alone.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from core.learning.spread import Spread
from core.log import NewRecord, Record, TopicPartition
from schemas.codec import encode
from schemas.topics import RouteMap

CHUNK_BYTES = 524_288
"""Largest piece of a model in one record; well under ``schemas.topics.APPEND_MAX_BYTES``."""
MODEL_MAX_BYTES = 67_108_864
"""Largest model that is published or put together: the shipped ones have a few million bytes, and who reads a
manifest must not be led to ask for all memory there is."""
TIME_MAX_MS, ROWS_MAX = 2**43, 2**53
"""What is later than the year 2248, or more than a double counts, is no time or number of rows."""
STANDING_KEY = b"standing"
_NUL = b"\\u0000"
"""Cannot be stored in Postgres; a text with it is nothing people wrote."""
_BLOB, _MODEL, _LAW = "blob:", "model:", "law:"
_ID_DIGEST_CHARS = 8


class Purpose(StrEnum):
    """What a model is for."""

    ORDER = "order"
    """Orders jobs, by how long they will run and whether they will fail."""
    RETRY = "retry"
    """Times retries, by when what failed will work again."""


_PREFIXES = {Purpose.ORDER: "", Purpose.RETRY: "retry/"}
"""How keys begin. Chunks have it too: a version without purposes passes over what begins otherwise, and must
not take a chunk whose manifest it cannot read for one that a publisher left."""


class BrokenModelError(ValueError):
    """The bytes of a model are not those its manifest speaks of, or are not all there."""


class FailingPoint(msgspec.Struct, frozen=True):
    """From which predicted probability on dispatches nearly always failed, on the newest slice."""

    probability: float
    """Above means this or more."""
    precision: float
    """Share that failed of those above."""
    recall: float
    """Share of all failures that is above."""
    good_per_1000: float
    """Of 1,000 dispatches that did not fail, so many are above."""
    above: int
    """Dispatches above."""


class ModelManifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Says what a model is, and how it was judged; without it, its chunks are nothing."""

    id: str
    """``model_id``: sorts by time."""
    kind: str
    """``boosted``; ``tree``: one tree a head; or ``recovery``: what retries learn from."""
    sha256: str
    """Of the whole bytes, hex."""
    size_bytes: int
    chunks: int
    features: tuple[str, ...]
    """Names in the order of the vector, as it was trained."""
    created_ms: int
    by: str
    code_version: str
    begin_ms: int
    """What was decided from here until the cut was trained on, ms since 1970."""
    cut_ms: int
    rows: int
    metrics: dict[str, float]
    """On the newest slice of time, which was not trained on."""
    beside: dict[str, dict[str, float]]
    """The same of ``ewma``, and of the champion it was judged against."""
    judged: str = ""
    """The verdict in words."""
    parent: str = ""
    """Champion at that time; empty: there was none."""
    probe_log_run: tuple[float, ...] = ()
    """What it predicts of ``adapters.learned.probe.probe_vectors``, and must again wherever it is loaded."""
    probe_failed: tuple[float, ...] = ()
    failing: FailingPoint | None = None
    """None: there is no such point, or too little evidence of one."""
    signature: str = ""
    """HMAC-SHA256 (hex) of ``signed_part``; empty: not signed."""
    purpose: str = Purpose.ORDER.value
    """A ``Purpose``. Left out where it is the default: signatures made before there were others hold."""


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which models of one purpose are in force from here on."""

    champion: str | None
    """The model that orders jobs, or times retries; None: the running mean, or history, does without."""
    previous: str | None
    """Champion before: what a rollback goes back to."""
    shadow: str | None
    """Predicts beside the champion, and decides nothing."""
    enabled: bool
    """False: as if there were no models of this purpose."""
    at_ms: int
    by: str
    reason: str


class PoolLaw(msgspec.Struct, frozen=True, omit_defaults=True):
    """Range of costs that the buckets of a pool cover."""

    pool: str
    low_s: float
    high_s: float
    ends: int
    """Of so many dispatches."""
    at_ms: int

    @property
    def spread(self) -> Spread:
        """The range as whoever orders takes it."""
        return Spread(self.low_s, self.high_s)


class Chunk(NamedTuple):
    """One piece of the bytes with this digest."""

    sha256: str
    number: int
    data: bytes


class Removed(NamedTuple):
    """A chunk (of ``sha256``) or a manifest (of ``id``) that is there no more."""

    sha256: str = ""
    number: int = 0
    id: str = ""


ModelMessage = Chunk | ModelManifest | Standing | PoolLaw | Removed

_decode_manifest = msgspec.json.Decoder(ModelManifest).decode
_decode_standing = msgspec.json.Decoder(Standing).decode
_decode_law = msgspec.json.Decoder(PoolLaw).decode


def model_id(created_ms: int, sha256: str) -> str:
    """Name a model by when it was made (UTC) and what its bytes are."""
    made = datetime.fromtimestamp(created_ms // 1000, UTC)
    return f"{made:%Y%m%d-%H%M%S}-{sha256[:_ID_DIGEST_CHARS]}"


def sha256_of(data: bytes) -> str:
    """Give the digest that names the bytes of a model."""
    return hashlib.sha256(data).hexdigest()


def place_of_models(routes: RouteMap) -> TopicPartition:
    """Give the one partition on which everything about models stands."""
    return TopicPartition(routes.models, 0)


def chunked(data: bytes, chunk_bytes: int = CHUNK_BYTES) -> list[bytes]:
    """Cut bytes into pieces of that size, the last one shorter; at least one, which may be empty."""
    return [data[at : at + chunk_bytes] for at in range(0, max(1, len(data)), chunk_bytes)]


def put_together(manifest: ModelManifest, chunks: Mapping[int, bytes]) -> bytes:
    """Give the bytes of a model back.

    Raises
    ------
    BrokenModelError
        A chunk is missing, or they are not the bytes the manifest speaks of.
    """
    missing = [number for number in range(manifest.chunks) if number not in chunks]
    if missing:
        raise BrokenModelError(
            f"chunk {missing[0]} of {manifest.chunks} of model {manifest.id} is not in the topic: "
            "it was removed or never written; promote another model, or train one"
        )
    if sum(len(chunks[number]) for number in range(manifest.chunks)) != manifest.size_bytes:
        raise BrokenModelError(f"the chunks of model {manifest.id} have not {manifest.size_bytes} bytes")
    data = b"".join(chunks[number] for number in range(manifest.chunks))
    if sha256_of(data) != manifest.sha256:
        raise BrokenModelError(f"the bytes of model {manifest.id} have not the digest in its manifest")
    return data


def signed_part(manifest: ModelManifest) -> bytes:
    """Give what a signature covers: the manifest without one, as this version writes it."""
    return encode(msgspec.structs.replace(manifest, signature=""))


def chunk_record(routes: RouteMap, chunk: Chunk, purpose: Purpose = Purpose.ORDER) -> NewRecord:
    """Make the record of one piece."""
    return _record(routes, purpose, f"{_BLOB}{chunk.sha256}:{chunk.number}", chunk.data)


def manifest_record(routes: RouteMap, manifest: ModelManifest) -> NewRecord:
    """Make the record that turns chunks into a model; append it after they are acknowledged.

    Raises
    ------
    ValueError
        This version does not know its purpose.
    """
    return _record(routes, Purpose(manifest.purpose), f"{_MODEL}{manifest.id}", encode(manifest))


def standing_record(routes: RouteMap, standing: Standing, purpose: Purpose = Purpose.ORDER) -> NewRecord:
    """Make the record that says which models are in force."""
    return _record(routes, purpose, STANDING_KEY.decode(), encode(standing))


def law_record(routes: RouteMap, law: PoolLaw) -> NewRecord:
    """Make the record of a pool's range of costs, by which jobs are ordered."""
    return _record(routes, Purpose.ORDER, f"{_LAW}{law.pool}", encode(law))


def removal_record(routes: RouteMap, removed: Removed, purpose: Purpose = Purpose.ORDER) -> NewRecord:
    """Make the record that removes a chunk or a manifest."""
    key = f"{_MODEL}{removed.id}" if removed.id else f"{_BLOB}{removed.sha256}:{removed.number}"
    return _record(routes, purpose, key, None)


def _record(routes: RouteMap, purpose: Purpose, key: str, value: bytes | None) -> NewRecord:
    whole = f"{_PREFIXES[purpose]}{key}"
    return NewRecord(routes.models, 0, whole.encode(), value, (("schema", b"1"),))


def purpose_of(record: Record) -> Purpose:
    """Say by its key what a record of ``models`` is about; what no purpose claims is left to ``ORDER``."""
    is_retry = (record.key or b"").startswith(_PREFIXES[Purpose.RETRY].encode())
    return Purpose.RETRY if is_retry else Purpose.ORDER


def read_model_record(record: Record, purpose: Purpose = Purpose.ORDER) -> ModelMessage | None:
    """Read a record of ``models``; None for another purpose's, and for what only another version can read.

    Jobs run, and are tried again, without.
    """
    if purpose_of(record) is not purpose:
        return None
    try:
        key = (record.key or b"").decode().removeprefix(_PREFIXES[purpose])
        if key.startswith(_BLOB):
            _, sha256, number = key.split(":")
            place = int(number)
            return Removed(sha256, place) if record.value is None else Chunk(sha256, place, record.value)
        return _read_named(key, record.value, purpose)
    except (msgspec.DecodeError, ValueError):
        return None


def _read_named(
    key: str, value: bytes | None, purpose: Purpose
) -> ModelManifest | Standing | PoolLaw | Removed | None:
    if value is not None and _NUL in value:
        return None
    if key.startswith(_MODEL):
        if value is None:
            return Removed(id=key.removeprefix(_MODEL))
        manifest = _decode_manifest(value)
        is_its_own = manifest.id == key.removeprefix(_MODEL) and manifest.purpose == purpose
        return manifest if is_its_own and is_sound(manifest) else None
    if value is None:
        return None
    if key == STANDING_KEY.decode():
        standing = _decode_standing(value)
        return standing if 0 <= standing.at_ms <= TIME_MAX_MS else None
    if key.startswith(_LAW) and purpose is Purpose.ORDER:
        law = _decode_law(value)
        return law if 0 < law.low_s < law.high_s else None
    return None


def survives(manifest: ModelManifest) -> bool:
    """Whether a manifest is read as it is written: NaN, for one, is not."""
    try:
        purpose = Purpose(manifest.purpose)
        again = _read_named(f"{_MODEL}{manifest.id}", encode(manifest), purpose)
    except ValueError:
        return False
    return again == manifest


def is_sound(manifest: ModelManifest) -> bool:
    """Whether its numbers can be true: whoever follows it must not be led to read without an end."""
    return (
        0 < manifest.size_bytes <= MODEL_MAX_BYTES
        and 0 < manifest.chunks <= MODEL_MAX_BYTES // CHUNK_BYTES
        and manifest.size_bytes <= manifest.chunks * CHUNK_BYTES
        and all(0 <= ms <= TIME_MAX_MS for ms in (manifest.created_ms, manifest.begin_ms, manifest.cut_ms))
        and 0 <= manifest.rows <= ROWS_MAX
        and (manifest.failing is None or 0 <= manifest.failing.probability <= 1)
    )
