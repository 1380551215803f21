"""Recordings as columns, from samples of both formats."""

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from adapters.learned.rows import NOT_ENDED
from adapters.recordings.columns import GOOGLE_LIMIT_MS, decoded
from adapters.recordings.jobs import RecordedJobs
from adapters.recordings.rows import TraceFormatError
from core.learning.events import Status

DATA = Path(__file__).parents[3] / "data"
SWF = (DATA / "sample.swf").read_text()
HEADER = "job,submit_ms,sched_ms,end_ms,end,user,type,name,cls\n"


@pytest.fixture
def google(tmp_path: Path) -> RecordedJobs:
    packed = tmp_path / "packed"
    packed.write_bytes(lzma.compress((DATA / "google2011_sample.csv").read_bytes()))
    return decoded(packed).jobs


def test_jobs_of_the_google_trace_are_read_in_order_with_their_ends(google: RecordedJobs) -> None:
    lines = (DATA / "google2011_sample.csv").read_text().splitlines()[1:]
    assert len(google) == len(lines)
    assert (np.diff(google.submitted_ms) >= 0).all()
    assert (google.status == Status.FAILED).sum() == sum(",FAIL," in line for line in lines)
    open_ = google.ended_ms == NOT_ENDED
    assert open_.sum() == sum(line.split(",")[3] == "" for line in lines)
    assert (google.run_ms[open_] == GOOGLE_LIMIT_MS).all()
    assert google.run_ms.max() <= GOOGLE_LIMIT_MS
    ended = google.has_ended
    ran = np.minimum(google.ended_ms - google.started_ms, GOOGLE_LIMIT_MS)
    assert (google.run_ms[ended] == ran[ended]).all()


def test_a_log_in_the_standard_workload_format_is_read(tmp_path: Path) -> None:
    packed = tmp_path / "log.swf.gz"
    packed.write_bytes(gzip.compress(("; UnixStartTime: 893466664\n" + SWF).encode()))
    jobs = decoded(packed).jobs
    lines = [line.split() for line in SWF.splitlines() if not line.startswith(";")]
    assert len(jobs) == sum(int(words[3]) >= 0 for words in lines)
    assert jobs.began_ms == 893_466_664_000
    asked = {(words[7], words[8]) for words in lines if int(words[3]) >= 0}
    assert len(set(jobs.type.tolist())) == len(asked)


def test_attempts_have_the_type_of_their_job(tmp_path: Path) -> None:
    path = tmp_path / "attempts.csv"
    path.write_text(
        "job,task,attempt,submit_ms,sched_ms,end_ms,end,user,cls,prio,cpu,mem,disk,machine\n"
        "-3,35,0,5,7,90,FAIL,33,1,2,0.03,0.009,0.0001,5586\n"
        "8,54,0,1,2,50,FINISH,33,1,2,0.03,0.009,0.0001,3952\n"
    )
    jobs = decoded(path).jobs
    assert jobs.type.tolist() == [9, -3]
    assert jobs.tenant.tolist() == [34, 34]
    assert jobs.run_ms.tolist() == [48, 83]
    assert jobs.status.tolist() == [Status.OK, Status.FAILED]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("; nothing\n", "UnixStartTime"),
        (SWF, "UnixStartTime"),
        (HEADER, "holds no jobs"),
        (HEADER + "0,1,2,3,GONE,1,1,1,0\n", "line 2, field end: 'GONE'"),
        (HEADER + "0,1,,3,KILL,1,1,1,0\n0,9,8,7,FINISH,1,1,1,0\n", "line 3, field end_ms: 7 is before"),
        (HEADER + "0,,2,3,FINISH,1,1,1,0\n", "line 2, field submit_ms: is blank"),
        (HEADER + "0,1,2,3,FINISH,one,1,1,0\n", "line 2, field user: 'one'"),
        ("a,b\n", "neither a Google 2011 header"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(TraceFormatError, match=said):
        decoded(path)
