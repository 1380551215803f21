"""What a service says of itself, also when its loop says nothing any more."""

import urllib.error
import urllib.request

from prometheus_client import CollectorRegistry

from adapters.embedded.loopback import HOST
from adapters.telemetry.health import LOOP_STALL_S, STALL_S, Health, start_http


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def served() -> tuple[Clock, Health, int]:
    clock = Clock()
    health = Health(now_s=clock)
    health.beat()
    return clock, health, start_http(0, health, CollectorRegistry(), HOST)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().strip()


def test_a_service_is_ready_when_it_says_so_and_nothing_hinders_it() -> None:
    _, health, port = served()
    assert get(port, "/readyz") == (503, "starting")
    health.set_ready()
    health.turn()
    assert get(port, "/readyz") == (200, "ready")
    health.hindrance = "no broker answers"
    assert get(port, "/readyz") == (503, "no broker answers")


def test_a_blocked_event_loop_is_unready_long_before_it_counts_as_stuck() -> None:
    clock, health, port = served()
    health.set_ready()
    health.turn()
    clock.now_s += LOOP_STALL_S
    assert get(port, "/readyz") == (503, "the event loop has been blocked for 5 s")
    assert get(port, "/healthz") == (200, "ok")
    health.turn()
    assert get(port, "/readyz") == (200, "ready")


def test_a_main_loop_that_does_not_come_round_is_neither_ready_nor_alive() -> None:
    clock, health, port = served()
    health.set_ready()
    clock.now_s += STALL_S
    health.turn()
    assert get(port, "/readyz") == (503, "main loop is stuck")
    assert get(port, "/healthz") == (503, "main loop is stuck")
