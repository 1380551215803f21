"""Recordings as columns, from samples of both formats."""

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from adapters.learned.training import NOT_ENDED
from benchmarks.learning import traces
from benchmarks.learning.jobs import COLUMNS, RecordedJobs
from core.learning.events import Status

DATA = Path(__file__).parents[3] / "data"


@pytest.fixture
def google(tmp_path: Path) -> RecordedJobs:
    packed = tmp_path / traces.GOOGLE
    packed.write_bytes(lzma.compress((DATA / "google2011_sample.csv").read_bytes()))
    return traces.read_google(packed, tmp_path / "kept")


def test_jobs_of_the_google_trace_are_read_in_order_with_their_ends(google: RecordedJobs) -> None:
    lines = (DATA / "google2011_sample.csv").read_text().splitlines()[1:]
    assert len(google) == len(lines)
    assert (np.diff(google.submitted_ms) >= 0).all()
    assert (google.status == Status.FAILED).sum() == sum(",FAIL," in line for line in lines)
    open_ = google.ended_ms == NOT_ENDED
    assert open_.sum() == sum(line.split(",")[3] == "" for line in lines)
    assert (google.run_ms[open_] == traces.GOOGLE_LIMIT_MS).all()
    assert google.run_ms.max() <= traces.GOOGLE_LIMIT_MS
    ended = google.has_ended
    ran = np.minimum(google.ended_ms - google.started_ms, traces.GOOGLE_LIMIT_MS)
    assert (google.run_ms[ended] == ran[ended]).all()


def test_what_was_decoded_once_is_kept(google: RecordedJobs, tmp_path: Path) -> None:
    assert len(list((tmp_path / "kept").iterdir())) == 1
    again = traces.read_google(tmp_path / traces.GOOGLE, tmp_path / "kept")
    assert traces.hash_of(again) == traces.hash_of(google)
    for name in COLUMNS:
        assert (getattr(again, name) == getattr(google, name)).all()


def test_a_log_in_the_standard_workload_format_is_read(tmp_path: Path) -> None:
    packed = tmp_path / traces.SDSC
    text = (DATA / "sample.swf").read_text()
    packed.write_bytes(gzip.compress(("; UnixStartTime: 893466664\n" + text).encode()))
    jobs = traces.read_sdsc(packed, tmp_path)
    lines = [line.split() for line in text.splitlines() if not line.startswith(";")]
    assert len(jobs) == sum(int(words[3]) >= 0 for words in lines)
    assert jobs.began_ms == 893_466_664_000
    asked = {(words[7], words[8]) for words in lines if int(words[3]) >= 0}
    assert len(set(jobs.type.tolist())) == len(asked)


def test_a_log_without_its_beginning_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / traces.SDSC
    packed.write_bytes(gzip.compress(b"; nothing\n"))
    with pytest.raises(ValueError, match="UnixStartTime"):
        traces.read_sdsc(packed, tmp_path)


def test_a_folder_that_holds_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="TRACES="):
        traces.find(str(tmp_path))
