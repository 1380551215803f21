import pytest

from core.frames import CHUNK_MAX_BYTES, BrokenFramesError, Frame, chunks_of, frames_in


def test_frames_come_back_from_chunks_of_bounded_size() -> None:
    frames = [(b"%d" % number, bytes(range(256)) * (number % 900)) for number in range(2000)]
    frames += [(b"", b""), (b"x" * 3_000_000, b"\0" * 5)]
    chunks = list(chunks_of(frames))
    assert max(map(len, chunks)) <= CHUNK_MAX_BYTES
    assert list(frames_in(chunks)) == frames


def test_nothing_is_one_chunk_too() -> None:
    none: list[Frame] = []
    assert len(list(chunks_of(none))) == 1
    assert list(frames_in(chunks_of(none))) == []


@pytest.mark.parametrize("damage", [slice(0, 40), slice(1, None), slice(0, 0)])
def test_what_is_cut_is_no_state(damage: slice) -> None:
    (chunk,) = chunks_of([(b"head", b"body" * 100)])
    with pytest.raises(BrokenFramesError):
        list(frames_in([chunk[damage] if damage != slice(0, 40) else chunk[:20]]))
