"""Snapshots at their edges: sizes, damage, versions; and what an image costs the fold."""

import hashlib
import random
import struct
import zlib

import pytest

from core.frames import CHUNK_MAX_BYTES
from core.ledger.fold import CANCEL_KEEP_MS, FOLD_VERSION, LedgerFold, NewerFoldVersionError
from core.ledger.snapshot import (
    LAYOUT,
    BrokenSnapshotError,
    chunk_digest,
    chunks_of,
    digest_of,
    fold_from,
    is_readable,
)
from core.ledger.verdicts import Failed
from tests.support.verdicts import EPOCH, JOB_ID, ORIGIN, About


def _job(number: int) -> About:
    return About(f"{EPOCH}:{number % 3}:{number}", f"01890000-0000-7000-8000-{number:012d}")


def _large_fold(jobs: int = 400) -> LedgerFold:
    """Open jobs whose error messages do not compress, so that several chunks are needed."""
    fold, draw = LedgerFold(EPOCH), random.Random(7)
    for number in range(jobs):
        job = _job(number)
        fold.apply(2 * number, number, job.claimed())
        text = draw.randbytes(2_000).hex()
        failed = Failed(job.origin, job.job_id, 1, "a", 1, 0.5, "transient", "ValueError", text, 3)
        fold.apply(2 * number + 1, number, failed)
    return fold


def _rewritten(old: bytes, new: bytes) -> list[bytes]:
    """A snapshot of an empty fold with something else in its first frame."""
    plain = zlib.decompress(b"".join(chunks_of(LedgerFold(EPOCH).image())))
    head_bytes, _ = struct.unpack_from(">II", plain)
    head = plain[8 : 8 + head_bytes].replace(old, new)
    assert head != plain[8 : 8 + head_bytes]
    return [zlib.compress(struct.pack(">II", len(head), 0) + head + plain[8 + head_bytes :])]


def test_chunks_are_bounded_and_together_the_state() -> None:
    fold = _large_fold()
    chunks = list(chunks_of(fold.image()))
    assert len(chunks) > 1
    assert max(map(len, chunks)) <= CHUNK_MAX_BYTES
    assert fold_from(chunks).image() == fold.image()


def test_an_empty_fold_has_a_snapshot_too() -> None:
    restored = fold_from(chunks_of(LedgerFold(EPOCH).image()))
    assert restored.image() == LedgerFold(EPOCH).image()


@pytest.mark.parametrize("missing", ["first", "middle", "last", "all"])
def test_a_missing_chunk_is_noticed(missing: str) -> None:
    chunks = list(chunks_of(_large_fold(900).image()))
    assert len(chunks) > 2
    left = {"first": chunks[1:], "middle": [chunks[0], *chunks[2:]], "last": chunks[:-1], "all": []}[missing]
    with pytest.raises(BrokenSnapshotError):
        fold_from(left)


def test_a_damaged_byte_is_noticed() -> None:
    chunk = bytearray(next(chunks_of(_large_fold(10).image())))
    chunk[len(chunk) // 2] ^= 1
    with pytest.raises(BrokenSnapshotError):
        fold_from([bytes(chunk)])


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(BrokenSnapshotError):
        fold_from([b"not a snapshot"])
    with pytest.raises(BrokenSnapshotError):
        fold_from([zlib.compress(b"")])


def test_another_layout_or_a_newer_fold_version_is_refused() -> None:
    with pytest.raises(BrokenSnapshotError, match="begins with"):
        fold_from(_rewritten(b'"layout":%d' % LAYOUT, b'"layout":%d' % (LAYOUT + 1)))
    with pytest.raises(BrokenSnapshotError, match="begins with"):
        fold_from(_rewritten(b'"version":1', b'"version":%d' % (FOLD_VERSION + 1)))
    assert is_readable(LAYOUT, FOLD_VERSION)
    assert not is_readable(LAYOUT + 1, FOLD_VERSION)
    assert not is_readable(LAYOUT, FOLD_VERSION + 1)


def test_the_digest_depends_on_every_chunk_and_on_their_order() -> None:
    one, two = chunk_digest(b"one"), chunk_digest(b"two")
    assert chunk_digest(b"one") == hashlib.sha256(b"one").digest()
    assert digest_of([one, two]) != digest_of([two, one])
    assert digest_of([one]) != digest_of([one, two])


def test_only_jobs_that_change_after_an_image_are_copied() -> None:
    fold, (changed, untouched) = LedgerFold(EPOCH), (_job(1), _job(2))
    fold.apply(0, 1, changed.claimed())
    fold.apply(1, 1, untouched.claimed())
    image = fold.image()

    fold.apply(2, 2, changed.failed())
    once = fold.open[changed.origin]
    fold.apply(3, 3, changed.retry())

    assert image.open[changed.origin].closure is None
    assert fold.open[changed.origin] is once, "one copy for each image, not one for each change"
    assert fold.open[untouched.origin] is image.open[untouched.origin]


def test_a_cancel_by_id_alone_is_forgotten_after_a_day_of_the_logs_own_time() -> None:
    fold, job = LedgerFold(EPOCH), About()
    assert fold.apply(0, 1000, job.cancel_by_id()).holds
    fold.apply(1, 1000 + CANCEL_KEEP_MS - 1, _job(2).expired())
    assert not fold.may_claim(ORIGIN, JOB_ID, 1)
    fold.apply(2, 1000 + CANCEL_KEEP_MS, _job(3).expired())
    assert fold.may_claim(ORIGIN, JOB_ID, 1)


def test_a_cancel_that_names_its_job_is_never_forgotten() -> None:
    fold, job = LedgerFold(EPOCH), About()
    assert fold.apply(0, 1000, job.cancel()).holds
    fold.apply(1, 1000 + 10 * CANCEL_KEEP_MS, _job(2).expired())
    assert not fold.may_claim(ORIGIN, JOB_ID, 1)
    assert fold.is_done(ORIGIN)


def test_an_older_cancel_is_forgotten_before_a_newer_one() -> None:
    fold, old, new = LedgerFold(EPOCH), _job(1), _job(2)
    fold.apply(0, 0, old.cancel_by_id())
    fold.apply(1, 10, new.cancel_by_id())
    fold.apply(2, CANCEL_KEEP_MS + 5, _job(3).expired())
    assert fold.may_claim(old.origin, old.job_id, 1)
    assert not fold.may_claim(new.origin, new.job_id, 1)


def test_a_newer_fold_version_stops_the_fold_where_it_stands() -> None:
    fold = LedgerFold(EPOCH)
    fold.apply(0, 1, _job(1).claimed())
    with pytest.raises(NewerFoldVersionError, match=f"version {FOLD_VERSION + 1}, this is {FOLD_VERSION}"):
        fold.announce(1, FOLD_VERSION + 1)
    assert fold.next_offset == 1


def test_a_known_fold_version_is_taken_in_once_and_kept_by_snapshots() -> None:
    fold = LedgerFold(EPOCH)
    fold.announce(0, FOLD_VERSION)
    fold.announce(0, FOLD_VERSION + 1)  # folded before: an offset below the next one says nothing
    assert (fold.next_offset, fold.version) == (1, FOLD_VERSION)
    assert fold_from(chunks_of(fold.image())).version == FOLD_VERSION


def test_a_cancel_by_id_finds_the_same_job_after_a_restore() -> None:
    """Two open jobs of one id never come from ingest; a fold that met them still restores exactly."""
    fold, first, second = LedgerFold(EPOCH), About(f"{EPOCH}:0:1"), About(f"{EPOCH}:0:2")
    fold.apply(0, 0, first.claimed())
    fold.apply(1, 0, second.claimed())
    fold.apply(2, 0, second.succeeded())

    restored = fold_from(chunks_of(fold.image()))

    assert restored.image() == fold.image()
    for each in (fold, restored):
        each.apply(3, 0, first.cancel_by_id())
        assert not each.is_cancel_asked(first.origin)
