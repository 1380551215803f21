import pytest

from penstock.identity import Origin, trace_id_from_origin
from services.ingest.traceparent import trace_of

ORIGIN = Origin("e1", 2, 7)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
VALID = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def test_a_valid_header_is_honoured() -> None:
    assert trace_of(VALID.encode(), ORIGIN) == (TRACE_ID, VALID)


def test_a_later_version_is_passed_on_as_version_00() -> None:
    assert trace_of(f"cc-{VALID[3:]}-what-the-future-will-be".encode(), ORIGIN) == (TRACE_ID, VALID)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"\xff\xfe",
        VALID.upper().encode(),
        VALID.encode() + b"\n",
        VALID.encode() + b"-more",
        b"ff" + VALID[2:].encode(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01".encode(),
        f"00-{TRACE_ID}-{'0' * 16}-01".encode(),
        VALID[:-1].encode(),
    ],
)
def test_anything_else_is_replaced_by_a_trace_made_from_the_origin(header: bytes | None) -> None:
    trace_id, traceparent = trace_of(header, ORIGIN)
    assert trace_id == trace_id_from_origin(ORIGIN)
    assert trace_of(traceparent.encode(), ORIGIN) == (trace_id, traceparent)
    assert trace_of(header, Origin("e1", 2, 8))[0] != trace_id
