import gzip
import itertools
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.recordings.rows import TraceFormatError
from penstock.demo.traces import RecordedEnd, TraceJob, read_trace
from tests.support.make_trace_samples import GOOGLE_SAMPLE, ROWS, SWF_SAMPLE, google_sample, swf_sample

GOOGLE_HEADER = "job,submit_ms,sched_ms,end_ms,end,user,type,name,cls\n"


Pack = Callable[[bytes], bytes]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "trace"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_stored_samples_are_what_the_script_makes() -> None:
    assert GOOGLE_SAMPLE.read_text() == google_sample()
    assert SWF_SAMPLE.read_text() == swf_sample()


def test_every_row_of_the_google_sample_is_read() -> None:
    rows = list(read_trace(GOOGLE_SAMPLE))
    assert len(rows) == ROWS
    assert {row.end for row in rows} == set(RecordedEnd)
    assert all(row.type.startswith("google.type-") for row in rows)


def test_every_row_of_the_swf_sample_is_read() -> None:
    rows = list(read_trace(SWF_SAMPLE))
    assert len(rows) == ROWS
    assert {row.end for row in rows} == {RecordedEnd.FINISHED, RecordedEnd.FAILED, RecordedEnd.KILLED}
    assert any(row.type.startswith("swf.queue-") for row in rows)


def test_a_google_row_gives_times_in_seconds_and_its_end(tmp_path: Path) -> None:
    path = written(tmp_path, GOOGLE_HEADER + "4,633214,634643,687862,FAIL,3,17,4,2\n")
    assert list(read_trace(path)) == [TraceJob(633.214, 53.219, RecordedEnd.FAILED, "3", "google.type-17", 2)]


def test_a_google_row_without_end_has_no_run_time(tmp_path: Path) -> None:
    (row,) = read_trace(written(tmp_path, GOOGLE_HEADER + "4,633214,634643,,,3,4,4,1\n"))
    assert (row.run_s, row.end) == (None, RecordedEnd.UNKNOWN)


def test_a_file_of_task_attempts_is_read_without_types(tmp_path: Path) -> None:
    header = "job,task,attempt,submit_ms,sched_ms,end_ms,end,user,cls,prio,cpu,mem\n"
    text = header + "-5,15,0,0,,9,EVICT,77,1,0,0,0\n"
    (row,) = read_trace(written(tmp_path, text))
    assert row == TraceJob(0.0, 0.0, RecordedEnd.EVICTED, "77", "google.task", 1)


def test_an_swf_job_that_never_started_has_run_time_zero(tmp_path: Path) -> None:
    line = "19 580157 20861 -1 -1 -1 -1 38 6900 -1 5 189 75 18288 5 -1 -1 -1\n"
    (row,) = read_trace(written(tmp_path, "; Version: 2.2\n" + line))
    assert row == TraceJob(580157.0, 0.0, RecordedEnd.KILLED, "189", "swf.app-18288", None)


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress], ids=["xz", "gzip"])
@pytest.mark.parametrize("sample", [GOOGLE_SAMPLE, SWF_SAMPLE], ids=["google", "swf"])
def test_the_packing_is_told_by_content_and_not_by_name(tmp_path: Path, sample: Path, pack: Pack) -> None:
    packed = written(tmp_path, pack(sample.read_bytes()))
    assert list(read_trace(packed)) == list(read_trace(sample))


def test_rows_are_read_lazily(tmp_path: Path) -> None:
    text = GOOGLE_HEADER + "4,633214,634643,687862,FINISH,3,4,4,1\n" + "broken\n"
    assert len(list(itertools.islice(read_trace(written(tmp_path, text)), 1))) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GOOGLE_HEADER + "4,x,634643,687862,FINISH,3,4,4,1\n", "line 2, field submit_ms: 'x' is not a whole"),
        (GOOGLE_HEADER + "4,1,2,nan,FINISH,3,4,4,1\n", "line 2, field end_ms: 'nan' is not a whole number"),
        (GOOGLE_HEADER + "4,,2,3,FINISH,3,4,4,1\n", "line 2, field submit_ms: is blank"),
        (GOOGLE_HEADER + "4,1,9,3,FINISH,3,4,4,1\n", "line 2, field end_ms: 3 is before sched_ms 9"),
        (GOOGLE_HEADER + "4,1,2,3,EXPLODED,3,4,4,1\n", "line 2, field end: 'EXPLODED'"),
        (GOOGLE_HEADER + "4,1,2,3\n", "line 2: 4 fields, but the header has 9"),
        ("; c\n1 2 3\n", "line 2: 3 fields instead of the 18"),
        ("; c\n" + " ".join(["1"] * 10 + ["9"] + ["1"] * 7) + "\n", "line 2, field status: '9'"),
        ("name,age\nx,1\n", "missing: submit_ms"),
        ("", "is empty"),
    ],
)
def test_an_error_names_line_and_field(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(TraceFormatError) as caught:
        list(read_trace(written(tmp_path, content)))
    assert says in str(caught.value)


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress], ids=["xz", "gzip"])
def test_an_archive_that_was_cut_short_is_said_to_be_damaged(tmp_path: Path, pack: Pack) -> None:
    packed = pack(GOOGLE_SAMPLE.read_bytes())
    with pytest.raises(TraceFormatError, match=r"damaged|cannot be read"):
        list(read_trace(written(tmp_path, packed[: len(packed) // 2])))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceFormatError, match="No such file"):
        list(read_trace(tmp_path / "nothing.csv"))


def test_a_binary_file_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    with pytest.raises(TraceFormatError, match="longer than any line"):
        list(read_trace(written(tmp_path, b"\x01" * 1_000_000)))
