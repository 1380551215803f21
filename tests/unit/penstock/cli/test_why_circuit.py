"""What ``penstock why`` says of a job that waits for a circuit."""

from core.breaker import CLOSED, closed, opened
from core.subjects import Scope, Subject
from penstock.cli.why_known import Known
from schemas.standing_orders import record_of_circuit
from tests.unit.penstock.cli.test_why import NOW, later, orders, queued, text


def test_a_job_held_for_an_open_circuit_says_since_when_why_and_what_is_let_through() -> None:
    standing = orders(limited=Subject(Scope.TYPE, "email.send"))
    began_ms = round(later(-120).timestamp() * 1000)
    circuit = opened(CLOSED, 2.0, "20 calls in a row failed", began_ms)
    standing.put_circuit(record_of_circuit("email.send", circuit, ("smtp",)))
    row = queued(state="waiting", waiting_on="circuit")
    known = Known(row, [], NOW, orders=standing, held_for="limit/type/email.send")
    found = text(known)
    assert "it is held: the circuit of email.send is open" in found
    assert "open, 2m ago (it calls smtp): 20 calls in a row failed" in found
    assert "let through is a probe every 5 s" in found
    assert "penstock circuits close email.send" in found
    # A smaller limit of an operator is what holds it, until the circuit lets less through.
    standing.put_circuit(record_of_circuit("email.send", closed(circuit, "through", began_ms), ("smtp",)))
    assert "it is held for the rate limit of 30/m of type email.send" in text(known)
