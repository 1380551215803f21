"""Framing survives any cut of the stream."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.frames import Ended, FrameBuffer, JobOutcome, Lease, Probe, frame


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(0, 2000), max_size=8))
def test_any_cut_of_the_stream_gives_the_same_messages(results: list[bytes], cuts: list[int]) -> None:
    sent = [Ended([JobOutcome("k", ok=True, run_s=1.0, result=result)]) for result in results]
    stream = b"".join(map(frame, sent))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    buffer = FrameBuffer()
    heard = [event for start, end in pairwise(edges) for event in buffer.events(stream[start:end])]
    assert heard == sent


def test_commands_keep_their_kind() -> None:
    assert list(FrameBuffer().commands(frame(Lease(1.5)) + frame(Probe()))) == [Lease(1.5), Probe()]
