"""Laws of the records of the desk: nothing is lost in portions, and the last word about a pause holds."""

from hypothesis import given
from hypothesis import strategies as st

from core.log import NewRecord, Record
from schemas.desk import (
    LETTERS_MAX,
    ActBegun,
    ActEnded,
    ActKind,
    DeskRecord,
    DeskStanding,
    Letter,
    LettersTreated,
    Outcome,
    desk_record,
    portions,
    read_desk_record,
)
from schemas.topics import RouteMap

ROUTES = RouteMap(prefix="p.")
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
LETTERS = st.builds(Letter, TEXTS, st.integers(1, 9))
MESSAGES: st.SearchStrategy[DeskRecord] = st.one_of(
    st.builds(
        ActBegun, TEXTS, st.sampled_from(ActKind), TEXTS, TEXTS, TEXTS, st.integers(0, 9), st.just(2.0), TEXTS
    ),
    st.builds(LettersTreated, TEXTS, st.sampled_from(ActKind), st.lists(LETTERS).map(tuple)),
    st.builds(ActEnded, TEXTS, st.sampled_from(Outcome), TEXTS),
)


def as_read(new: NewRecord, offset: int = 0) -> Record:
    return Record(new.topic, 0, offset, 1, new.key, new.value, ())


@given(MESSAGES)
def test_a_record_reads_back_as_it_was_written(message: DeskRecord) -> None:
    assert read_desk_record(as_read(desk_record(ROUTES, message))) == message


@given(st.binary())
def test_any_bytes_are_read_without_an_error(value: bytes) -> None:
    read_desk_record(Record("desk", 0, 0, 1, None, value, ()))


@given(st.integers(0, 2 * LETTERS_MAX + 1))
def test_portions_hold_all_letters_once_in_order(count: int) -> None:
    letters = [Letter(str(number), 1) for number in range(count)]
    cut = portions("a", ActKind.DROP, letters)
    assert [letter for one in cut for letter in one.letters] == letters
    assert all(0 < len(one.letters) <= LETTERS_MAX for one in cut)


@given(st.lists(MESSAGES))
def test_the_last_pause_or_resume_says_whether_redrives_are_paused(messages: list[DeskRecord]) -> None:
    standing = DeskStanding()
    for offset, message in enumerate(messages):
        standing.take(as_read(desk_record(ROUTES, message), offset))
    said = [
        one for one in messages if isinstance(one, ActBegun) and one.what in (ActKind.PAUSE, ActKind.RESUME)
    ]
    paused = bool(said) and said[-1].what is ActKind.PAUSE
    assert standing.paused == (said[-1] if paused else None)
