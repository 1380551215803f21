"""The id gate against a model that remembers everything and forgets nothing."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from core.gates.id_gate import Answer, Body, IdGate, Passed, Repeat, Submission
from penstock.identity import Origin, job_id_from_key, job_id_from_repeat
from schemas.passages import Stretch, stretches

WINDOW_MS = 100
IDS = [f"00000000-0000-0000-0000-{number:012d}" for number in range(2)]


@st.composite
def submissions(draw: st.DrawFn) -> Submission:
    """A record as ingest writes it: all of it is a function of its origin."""
    number = draw(st.integers(0, 11))
    key = draw(st.sampled_from(["a", "b", None])) if number < 8 else None
    body = f"{draw(st.integers(0, 1)):016x}"
    submitted_ms = draw(st.integers(0, 400))
    job_id = draw(st.sampled_from(IDS)) if key is None else job_id_from_key("t", key)
    return Submission(job_id, f"e:0:{number}", submitted_ms, body, "t", key)


@st.composite
def logs(draw: st.DrawFn) -> list[Submission | None]:
    """A gate's log: each origin with one content, handed over any number of times, in any order."""
    by_origin = {item.origin: item for item in draw(st.lists(submissions(), min_size=1, max_size=12))}
    return draw(st.lists(st.sampled_from([*by_origin.values(), None]), max_size=40))


def model(log: Sequence[Submission | None]) -> list[Answer | None]:
    """What the gate must answer, said the slow way."""
    passes: dict[str, list[tuple[Submission, str]]] = {}
    answers: list[Answer | None] = []
    for item in log:
        if item is None:
            answers.append(None)
            continue
        passed = passes.setdefault(item.job_id, [])
        own = [job_id for earlier, job_id in passed if earlier.origin == item.origin]
        if own:
            answers.append(Passed(own[0]))
        elif not passed:
            passed.append((item, item.job_id))
            answers.append(Passed(item.job_id))
        elif item.idempotency_key and item.submitted_ms - passed[-1][0].submitted_ms >= WINDOW_MS:
            renewed = job_id_from_repeat("t", item.idempotency_key, Origin.parse(item.origin))
            passed.append((item, renewed))
            answers.append(Passed(renewed))
        else:
            last, job_id = passed[-1]
            body = Body.SAME if last.body_hash == item.body_hash else Body.DIFFERENT
            answers.append(Repeat(job_id, last.origin, body))
    return answers


def fold(gate: IdGate, log: Sequence[Submission | None], start: int, end: int) -> list[Answer | None]:
    answers: list[Answer | None] = []
    for offset in range(start, end):
        item = log[offset]
        if item is None:
            gate.skip(offset)
            answers.append(None)
        else:
            answers.append(gate.ask(offset, item))
    return answers


@given(logs())
def test_the_gate_answers_as_the_model(log: list[Submission | None]) -> None:
    assert fold(IdGate("e", WINDOW_MS), log, 0, len(log)) == model(log)


@given(logs(), st.data())
def test_reading_any_stretches_again_gives_the_same_answers(
    log: list[Submission | None], data: st.DataObject
) -> None:
    gate, expected = IdGate("e", WINDOW_MS), model(log)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, min(gate.next_offset, len(log))))
        end = data.draw(st.integers(start, len(log)))
        assert fold(gate, log, start, end) == expected[start:end]


@given(logs(), st.lists(st.integers(0, 40), max_size=4), st.integers(1, 3))
def test_a_gate_that_was_told_who_passed_answers_like_one_that_read_from_the_start(
    log: list[Submission | None], cuts: list[int], fit: int
) -> None:
    """Others told stretches of their own, which overlap; the log was trimmed below what is told."""
    told: list[Stretch] = []
    for cut in cuts:
        other, end = IdGate("e", WINDOW_MS), min(cut, len(log))
        reached = max((stretch.end for stretch in told), default=0)
        for stretch in told:
            other.learn(stretch.start, stretch.end, stretch.passages)
        fold(other, log, reached, max(reached, end))
        assert other.untold(1 << 60) == other.untold(other.next_offset)
        told += stretches("e", min(other.told, cut), other.next_offset, other.untold(other.next_offset), fit)
    gate = IdGate("e", WINDOW_MS)
    for stretch in told:
        gate.learn(stretch.start, stretch.end, stretch.passages)
    start = gate.next_offset
    assert fold(gate, log, start, len(log)) == model(log)[start:]


@given(logs())
def test_an_origin_that_passed_passes_ever_after_under_one_id(log: list[Submission | None]) -> None:
    answers = fold(IdGate("e", WINDOW_MS), log, 0, len(log))
    ids: dict[str, str] = {}
    for item, answer in zip(log, answers, strict=True):
        if item is None:
            continue
        if isinstance(answer, Passed):
            assert ids.setdefault(item.origin, answer.job_id) == answer.job_id
        else:
            assert item.origin not in ids
    assert len(set(ids.values())) == len(ids), "two jobs share an id"
