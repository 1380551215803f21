"""Recordings of the benchmark: where they are, and that they are decoded once."""

import lzma
from pathlib import Path

import pytest

from adapters.recordings.columns import decoded
from adapters.recordings.jobs import COLUMNS
from benchmarks.learning import traces

DATA = Path(__file__).parents[3] / "data"


def test_what_was_decoded_once_is_kept(tmp_path: Path) -> None:
    packed = tmp_path / traces.GOOGLE
    packed.write_bytes(lzma.compress((DATA / "google2011_sample.csv").read_bytes()))
    first = traces.decoded_once(packed, tmp_path / "kept")
    kept = list((tmp_path / "kept").iterdir())
    assert len(kept) == 1
    written_ns = kept[0].stat().st_mtime_ns
    again = traces.decoded_once(packed, tmp_path / "kept")
    assert kept[0].stat().st_mtime_ns == written_ns
    assert traces.hash_of(again) == traces.hash_of(first) == traces.hash_of(decoded(packed).jobs)
    for name in COLUMNS:
        assert (getattr(again, name) == getattr(first, name)).all()


def test_a_folder_that_holds_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="TRACES="):
        traces.find(str(tmp_path))
