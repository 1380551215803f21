"""The cancel a client writes, against the pipeline's own codec."""

import pytest

from core.ledger.verdicts import Cancel
from core.log import Record
from penstock.client.events import cancel_record
from schemas.codec import decode_if_verdict, ledger_record
from schemas.topics import RouteMap

ID = "6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10"
ROUTES = RouteMap(partitions=16, prefix="x.")


@pytest.mark.parametrize(("origin", "reason"), [("", ""), ("e:1:2", 'no longer wanted; "ü" \\ \n')])
def test_a_cancel_has_the_bytes_the_codec_gives_it(origin: str, reason: str) -> None:
    ours = cancel_record(ROUTES.ledger, 16, ID, origin=origin, by="me@host", reason=reason)
    verdict = Cancel(origin=origin, job_id=ID, by="me@host", reason=reason)
    theirs = ledger_record(ROUTES, verdict)
    assert (ours.topic, ours.partition, ours.key, ours.value, ours.headers) == theirs
    assert decode_if_verdict(Record(ours.topic, 0, 0, 0, ours.key, ours.value, ours.headers)) == verdict
