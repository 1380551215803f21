"""Filters as people write them."""

import pytest

from core.states import State
from penstock.client.errors import InvalidFilter
from penstock.client.filters import OPEN_STATES, JobFilter
from penstock.client.rows import TERMINAL_STATES


def test_every_state_is_open_or_an_end() -> None:
    assert set(OPEN_STATES) | TERMINAL_STATES == {state.value for state in State}
    assert not set(OPEN_STATES) & TERMINAL_STATES


def test_conditions_are_read_from_one_text_or_several() -> None:
    read = JobFilter.parse(
        ["type=email.send,sms.send tenant='Acme & Co' label.campaign=a=b", "state=queued older-than=1h30m"]
    )
    assert read == JobFilter(
        types=("email.send", "sms.send"),
        tenants=("Acme & Co",),
        states=("queued",),
        labels={"campaign": "a=b"},
        older_than_s=5400.0,
    )
    assert JobFilter.parse(["workflow=a,b ordering-key=k pool=p"]) == JobFilter(
        workflow_ids=("a,b",), ordering_keys=("k",), pools=("p",)
    )


def test_without_a_state_every_open_one_is_meant() -> None:
    assert JobFilter(types=("a.b",)).parameters()["states"] == list(OPEN_STATES)
    assert JobFilter(states=("held",)).parameters()["states"] == ["held"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs a condition"),
        ("type=", "'type=' is no condition"),
        ("queued", "NAME=VALUE"),
        ("typ=a.b", "no condition is called 'typ'; there are type, tenant"),
        ("label.=x", "no condition is called 'label.'"),
        ("state=dead", "has ended"),
        ("state=sleeping", "is no state"),
        ("older-than=yesterday", "older-than is 'yesterday'"),
        ("tenant='a", "cannot be read"),
        ("type=,", "needs a condition"),
    ],
)
def test_what_is_not_understood_or_would_mean_everything_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidFilter, match=said):
        JobFilter.parse([text])
