"""The picture of the states is what the fold does."""

import re
from pathlib import Path
from typing import NamedTuple

from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Decided, Verdict
from core.states import TERMINAL, State
from tests.support.verdicts import EPOCH, About

DOCUMENT = Path(__file__).parents[3] / "docs" / "state_machine.md"
_ARROW = re.compile(r"^ +(\S+) --> (\S+)(?: : (.+))?$", re.MULTILINE)


class Arrow(NamedTuple):
    """One transition and what causes it."""

    before: str
    after: str
    cause: str


def _drawn() -> set[Arrow]:
    picture = DOCUMENT.read_text().split("```mermaid")[1].split("```")[0]
    return {Arrow(before, after, cause) for before, after, cause in _ARROW.findall(picture)}


def _verdicts() -> list[Verdict]:
    job = About()
    letters: list[Verdict] = [job.cancel(), job.expired(), job.refused(), job.skipped()]
    for n in (1, 2, 3):
        letters += [job.claimed(n), job.succeeded(n), job.failed(n), job.lost(n), job.released(n)]
        letters += [job.preempted(n), job.retry(n), job.hold(n), job.dead(n), job.redriven(n)]
    return letters


def _cause(verdict: Verdict) -> str:
    kind = str(verdict.__struct_config__.tag)
    return f"{kind} {verdict.action}" if isinstance(verdict, Decided) else kind


def _made_by_the_fold() -> set[Arrow]:
    """Walk every way through two dispatches and note each change of state."""
    arrows: set[Arrow] = set()
    pending: list[list[Verdict]] = [[]]
    seen: set[str] = set()
    while pending:
        history = pending.pop()
        for verdict in _verdicts():
            state, marker, fold = _replay([*history, verdict])
            if fold is None:
                continue
            arrows.add(Arrow(_replay(history)[0], state, _cause(verdict)))
            if marker not in seen:
                seen.add(marker)
                pending.append([*history, verdict])
    return arrows


def _replay(history: list[Verdict]) -> tuple[str, str, LedgerFold | None]:
    """Give the state, a mark of the whole fold, and the fold if the last verdict held."""
    fold, state, holds = LedgerFold(EPOCH), State.ACCEPTED, True
    for offset, verdict in enumerate(history):
        outcome = fold.apply(offset, 0, verdict)
        holds, state = outcome.holds, outcome.state or state
    for job in fold.open.values():
        job.claim_ledger_offset = 0
    mark = repr([value for name, value in vars(fold).items() if name != "next_offset"])
    return state, f"{state} {mark}", fold if holds else None


def test_every_state_is_drawn_and_nothing_else() -> None:
    drawn = {name for arrow in _drawn() for name in arrow[:2]} - {"[*]"}
    assert drawn == {state.value for state in State}


def test_the_arrows_of_verdicts_are_those_the_fold_makes() -> None:
    shown_only = {State.WAITING.value, State.QUEUED.value}
    drawn = {arrow for arrow in _drawn() if arrow.cause and not arrow.cause.startswith("note ")}
    known_to_fold = {arrow for arrow in drawn if arrow.before not in shown_only}

    assert known_to_fold == _made_by_the_fold()

    for arrow in drawn - known_to_fold:
        assert {arrow._replace(before="accepted"), arrow._replace(before="retrying")} <= known_to_fold


def test_notes_lead_only_to_what_notes_can_show() -> None:
    notes = [arrow for arrow in _drawn() if arrow.cause.startswith("note ")]
    assert {(arrow.after, arrow.cause) for arrow in notes} == {
        ("waiting", "note WAITING"),
        ("queued", "note QUEUED"),
    }


def test_only_a_redrive_leaves_a_terminal_state() -> None:
    ended = {state.value for state in TERMINAL}
    leaving = {arrow for arrow in _drawn() if arrow.before in ended and arrow.after != "[*]"}
    assert {arrow.cause for arrow in leaving} == {"REDRIVEN"}
    assert State.SUCCEEDED.value not in {arrow.before for arrow in leaving}
