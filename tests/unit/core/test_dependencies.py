"""What a job leans on, and which failures speak of that."""

import pytest

from core.dependencies import Leaning, circuit_of, host_of, is_of_dependency, leaning_of


def test_a_job_leans_on_what_its_task_names_or_on_its_type_alone() -> None:
    assert leaning_of("mail", ["smtp", "dns"], b"{}") == Leaning("mail", ("smtp", "dns"))
    assert leaning_of("mail", (), b'{"url": "http://a"}') == Leaning("mail")


def test_webhooks_lean_on_their_host() -> None:
    payload = b'{"url": "https://me:secret@Example.COM:8443/a?key=1", "json": {"b": 1}}'
    assert leaning_of("http.request", (), payload) == Leaning(
        "http.request@example.com:8443", ("example.com:8443",)
    )
    assert circuit_of("http.request", b'{"url": "http://[::1]/x"}') == "http.request@::1"


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{}", b'{"url": 5}', b'{"url": "http://a:port/"}', b'{"url": "nowhere"}', b"\xff"],
)
def test_a_payload_without_a_host_leaves_the_type(payload: bytes) -> None:
    assert host_of(payload) == ""
    assert circuit_of("http.request", payload) == "http.request"


def test_answers_bugs_and_lost_workers_say_nothing_of_a_dependency() -> None:
    assert is_of_dependency("transient", "ConnectionRefusedError")
    assert is_of_dependency("overload", "OverloadError")
    assert is_of_dependency("timeout", "TaskTimeout")
    assert not is_of_dependency("transient", "KeyError")
    assert not is_of_dependency("permanent", "PermanentError")
    assert not is_of_dependency("lost", "WorkerDied")
    assert not is_of_dependency("poison", "WorkerDied")
