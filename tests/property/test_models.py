"""Laws of models on their way: what is cut is put together again, and nothing else is."""

from datetime import UTC, datetime
from math import isfinite

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.learned.heads import UNTOLD, Head, Heads, Hedge, pack, unpack
from core.log import NewRecord, Record
from schemas.codec import encode
from schemas.model_book import KEEP_BYTES, KEEP_MANIFESTS, ModelBook
from schemas.model_signature import is_signed
from schemas.models import (
    BrokenModelError,
    Chunk,
    ModelManifest,
    PoolLaw,
    Purpose,
    Removed,
    Standing,
    chunk_record,
    chunked,
    law_record,
    manifest_record,
    model_id,
    purpose_of,
    put_together,
    read_model_record,
    removal_record,
    sha256_of,
    standing_record,
    survives,
)
from schemas.topics import RouteMap
from tests.support.models_under_test import a_manifest, a_standing

ROUTES = RouteMap()
HEADS = st.lists(
    st.builds(Head, st.binary(min_size=1, max_size=200), st.integers(1, 500)), min_size=1, max_size=3
)
HEAD = Head(b"trees", 3)
TEXT = st.characters(codec="utf-8", exclude_characters="\x00")
NAMES = st.text(TEXT, min_size=1, max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def as_read(record: NewRecord, offset: int = 0) -> Record:
    return Record(record.topic, record.partition, offset, 1, record.key, record.value, record.headers)


@given(st.binary(max_size=500), st.integers(1, 60))
def test_chunks_are_no_longer_than_asked_and_give_the_bytes_back(data: bytes, chunk_bytes: int) -> None:
    chunks = chunked(data, chunk_bytes)
    assert all(len(chunk) <= chunk_bytes for chunk in chunks)
    assert b"".join(chunks) == data
    assert len(chunks) == max(1, -(-len(data) // chunk_bytes))


@given(st.binary(min_size=1, max_size=300), st.integers(1, 60), st.data())
def test_a_model_is_put_together_from_all_its_chunks_and_from_nothing_else(
    data: bytes, chunk_bytes: int, draw: st.DataObject
) -> None:
    chunks = dict(enumerate(chunked(data, chunk_bytes)))
    manifest = a_manifest(data)
    manifest = ModelManifest(
        **{name: getattr(manifest, name) for name in manifest.__struct_fields__} | {"chunks": len(chunks)}
    )
    assert put_together(manifest, chunks | {len(chunks): b"of another version"}) == data
    harmed = draw.draw(st.integers(0, len(chunks) - 1))
    other = draw.draw(st.one_of(st.none(), st.binary(max_size=chunk_bytes)))
    assume(other != chunks[harmed])
    damaged = {number: chunk for number, chunk in chunks.items() if number != harmed}
    if other is not None:
        damaged[harmed] = other
    with pytest.raises(BrokenModelError):
        put_together(manifest, damaged)


MANIFESTS = st.builds(
    ModelManifest,
    id=NAMES,
    kind=st.sampled_from(["boosted", "tree"]),
    sha256=NAMES,
    size_bytes=st.integers(1, 524_288),
    chunks=st.integers(1, 4),
    features=st.lists(NAMES, max_size=5).map(tuple),
    created_ms=st.integers(0, 2**42),
    by=NAMES,
    code_version=NAMES,
    begin_ms=st.integers(0, 2**42),
    cut_ms=st.integers(0, 2**42),
    rows=st.integers(0, 2**40),
    metrics=st.dictionaries(NAMES, NUMBERS, max_size=3),
    beside=st.dictionaries(NAMES, st.dictionaries(NAMES, NUMBERS, max_size=3), max_size=2),
    judged=st.text(TEXT, max_size=10),
    parent=st.text(TEXT, max_size=10),
    probe_log_run=st.lists(NUMBERS, max_size=3).map(tuple),
    probe_failed=st.lists(NUMBERS, max_size=3).map(tuple),
    signature=st.text(TEXT, max_size=10),
    purpose=st.sampled_from(Purpose).map(str),
)
STANDINGS = st.builds(
    Standing, *[st.none() | NAMES] * 3, st.booleans(), st.integers(0, 2**42), st.text(TEXT), st.text(TEXT)
)
LAWS = st.builds(
    PoolLaw, NAMES, st.floats(0.001, 10), st.floats(11, 1e6), st.integers(0, 2**40), st.integers(0, 2**42)
)


@given(MANIFESTS, STANDINGS, LAWS, st.binary(max_size=50), st.integers(0, 999))
def test_what_is_written_is_read_again(
    manifest: ModelManifest, standing: Standing, law: PoolLaw, data: bytes, number: int
) -> None:
    chunk = Chunk(sha256_of(data), number, data)
    purpose = Purpose(manifest.purpose)
    removed = (Removed(chunk.sha256, number), Removed(id=manifest.id))
    for message, record in (
        (manifest, manifest_record(ROUTES, manifest)),
        (standing, standing_record(ROUTES, standing, purpose)),
        (chunk, chunk_record(ROUTES, chunk, purpose)),
        *((one, removal_record(ROUTES, one, purpose)) for one in removed),
    ):
        assert record.partition == 0
        assert purpose_of(as_read(record)) is purpose
        for reader in Purpose:
            read = read_model_record(as_read(record), reader)
            assert read == (message if reader is purpose else None)
    assert read_model_record(as_read(law_record(ROUTES, law))) == law
    assert read_model_record(as_read(law_record(ROUTES, law)), Purpose.RETRY) is None


def test_keys_are_what_they_were_and_those_of_retries_begin_with_their_purpose() -> None:
    """A version without purposes passes over all that begins with none of the four names it knows."""
    chunk = Chunk("a" * 64, 7, b"x")
    for purpose, prefix in ((Purpose.ORDER, b""), (Purpose.RETRY, b"retry/")):
        manifest = a_manifest(b"x", purpose=purpose)
        assert [
            manifest_record(ROUTES, manifest).key,
            standing_record(ROUTES, a_standing(), purpose).key,
            chunk_record(ROUTES, chunk, purpose).key,
            removal_record(ROUTES, Removed("a" * 64, 7), purpose).key,
            removal_record(ROUTES, Removed(id=manifest.id), purpose).key,
        ] == [
            prefix + f"model:{manifest.id}".encode(),
            prefix + b"standing",
            *[prefix + b"blob:" + b"a" * 64 + b":7"] * 2,
            prefix + f"model:{manifest.id}".encode(),
        ]
    assert law_record(ROUTES, PoolLaw("gpu", 1.0, 9.0, 5, 1)).key == b"law:gpu"


@pytest.mark.parametrize("purpose", Purpose)
def test_a_manifest_under_the_keys_of_another_purpose_is_not_read(purpose: Purpose) -> None:
    other = next(one for one in Purpose if one is not purpose)
    manifest = a_manifest(b"x", purpose=purpose)
    right = manifest_record(ROUTES, manifest)
    assert read_model_record(as_read(right), purpose) == manifest
    wrong = manifest_record(ROUTES, msgspec.structs.replace(manifest, purpose=other.value))
    assert read_model_record(as_read(wrong._replace(value=right.value)), other) is None


def test_a_purpose_that_this_version_does_not_know_is_not_written() -> None:
    manifest = msgspec.structs.replace(a_manifest(b"x"), purpose="paint")
    assert not survives(manifest)
    with pytest.raises(ValueError, match="paint"):
        manifest_record(ROUTES, manifest)


def test_signatures_hold_from_before_there_were_purposes_and_cover_the_purpose() -> None:
    """The signature was made by the version before."""
    signature = "a8ca7bb144a1f97ea6edf4100c6781f4d289d0c74c7c555d449601ebb7485ef1"
    manifest = msgspec.structs.replace(a_manifest(b"x"), signature=signature)
    assert is_signed(manifest, b"k" * 16)
    assert b"purpose" not in encode(manifest)
    assert not is_signed(msgspec.structs.replace(manifest, purpose="retry"), b"k" * 16)


@given(
    st.none()
    | st.binary(max_size=40)
    | st.sampled_from([b"standing", b"model:x", b"law:p", b"blob:x", b"blob:x:y"])
    | st.sampled_from([b"retry/", b"retry/standing", b"retry/model:x", b"retry/law:p", b"retry/blob:x:y"]),
    st.none() | st.binary(max_size=40),
)
def test_no_bytes_on_the_topic_stop_a_reader(key: bytes | None, value: bytes | None) -> None:
    for purpose in Purpose:
        message = read_model_record(Record(ROUTES.models, 0, 0, 1, key, value, ()), purpose)
        assert not isinstance(message, ModelManifest | Standing | PoolLaw)


@given(st.integers(0, 4_000_000), st.integers(0, 4_000_000), st.binary(), st.binary())
def test_ids_sort_by_the_second_and_name_the_bytes(at_s: int, later_s: int, one: bytes, other: bytes) -> None:
    first, second = (
        model_id(at_s * 1000, sha256_of(one)),
        model_id((at_s + later_s) * 1000 + 999, sha256_of(other)),
    )
    assert first[:15] <= second[:15]
    assert first.endswith(sha256_of(one)[:8])
    assert first[:15] == datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%d-%H%M%S")


@given(HEADS, HEADS, st.none() | HEADS, st.builds(Hedge, st.floats(0, 0.5), st.floats(0, 0.49)))
def test_heads_are_unpacked_as_they_were_packed(
    run: list[Head], failed: list[Head], high: list[Head] | None, hedge: Hedge
) -> None:
    heads = Heads(tuple(run), tuple(failed), high[0] if high else None, hedge)
    assert unpack(pack(heads)) == heads


def test_a_hedge_as_it_always_was_is_not_told_so_that_older_versions_read_it() -> None:
    heads = Heads((HEAD,), (HEAD,))
    assert (heads.hedge, b"hedge" in pack(heads)) == (UNTOLD, False)
    assert b"hedge" in pack(heads._replace(hedge=Hedge(0.1, 0.1)))


@given(st.floats(), st.floats())
def test_rates_that_leave_nothing_to_the_trees_are_refused(recent: float, ever: float) -> None:
    hedge = Hedge(recent, ever)
    if recent >= 0 and ever >= 0 and recent + ever < 1:
        assert hedge.problem is None
        return
    assert hedge.problem is not None
    if isfinite(recent) and isfinite(ever):
        with pytest.raises(ValueError, match="leave nothing to the trees"):
            unpack(pack(Heads((HEAD,), (HEAD,), None, hedge)))


@given(HEADS, HEADS, st.data())
def test_a_container_that_is_cut_off_or_longer_is_refused(
    run: list[Head], failed: list[Head], draw: st.DataObject
) -> None:
    data = pack(Heads(tuple(run), tuple(failed)))
    with pytest.raises(ValueError, match=r"damaged|no model"):
        unpack(data[: draw.draw(st.integers(0, len(data) - 1))])
    with pytest.raises(ValueError, match="damaged"):
        unpack(data + draw.draw(st.binary(min_size=1, max_size=9)))


@given(st.binary(max_size=300), HEADS, st.data())
def test_no_bytes_make_unpacking_end_otherwise_than_with_heads_or_a_refusal(
    noise: bytes, heads: list[Head], draw: st.DataObject
) -> None:
    data = bytearray(pack(Heads(tuple(heads), tuple(heads))))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at : at + len(noise)] = noise
    for damaged in (noise, bytes(data)):
        try:
            found = unpack(damaged)
        except ValueError:
            continue
        assert found.run
        assert found.failed


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=25, unique_by=lambda made: made[0]
    ),
    st.sampled_from(Purpose),
    st.data(),
)
def test_removal_leaves_all_that_is_used_and_the_newest_and_no_chunk_twice(
    made: list[tuple[int, bool]], purpose: Purpose, draw: st.DataObject
) -> None:
    """Chunks and manifests in any order of time; some publishers stopped before their manifest.

    Models of the other purpose stand between them, more than are kept, and chunks that nobody finished.
    """
    book, offset = ModelBook(purpose), 0
    other = next(one for one in Purpose if one is not purpose)

    def put(record: NewRecord) -> None:
        nonlocal offset
        book.take(as_read(record, offset))
        offset += 1

    whole: dict[str, ModelManifest] = {}
    for minute, finished in made:
        data = f"model {minute}".encode()
        manifest = a_manifest(data, minute, purpose=purpose)
        put(chunk_record(ROUTES, Chunk(manifest.sha256, 0, data), purpose))
        put(chunk_record(ROUTES, Chunk(sha256_of(data[::-1]), 0, data[::-1]), other))
        if finished:
            put(manifest_record(ROUTES, manifest))
            put(manifest_record(ROUTES, a_manifest(data[::-1], minute, purpose=other)))
            whole[manifest.id] = manifest
    used = draw.draw(st.lists(st.sampled_from(sorted(whole)), max_size=3)) if whole else []
    if used:
        put(standing_record(ROUTES, a_standing(*used), purpose))
    last_chunk = sha256_of(f"model {made[-1][0]}".encode())
    gone = book.superseded(ROUTES)
    assert len({record.key for record in gone}) == len(gone)
    assert all(purpose_of(as_read(record)) is purpose for record in gone)
    for record in gone:
        put(record)
    newest = sorted(whole)[-KEEP_BYTES:]
    assert {one for one, manifest in whole.items() if book.has_bytes(manifest)} == {*newest, *used}
    assert book.manifests.keys() == whole.keys()
    assert book.superseded(ROUTES) == []
    # A chunk behind everything may be of a model that is just being published.
    assert all(last_chunk not in (record.key or b"").decode() for record in gone) or made[-1][1]


def test_of_manifests_as_many_are_kept_as_is_said() -> None:
    book = ModelBook()
    for minute in range(KEEP_MANIFESTS + 5):
        book.take(as_read(manifest_record(ROUTES, a_manifest(b"x", minute)), minute))
    oldest = min(book.manifests)
    book.take(as_read(standing_record(ROUTES, a_standing(oldest)), 999))
    gone = [read_model_record(as_read(record)) for record in book.superseded(ROUTES)]
    assert gone == [Removed(id=one) for one in sorted(book.manifests)[4:0:-1]]
