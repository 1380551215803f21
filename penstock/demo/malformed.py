"""Records that are no job, one for every way a producer gets it wrong."""

MALFORMED: tuple[bytes | None, ...] = (
    b"not json",
    b'{"type":"email.send","payload":{}',
    b'\xff\xfe{"type":"email.send"}',
    b'{"payload":{"to":"nobody"}}',
    b'{"type":"email.send","colour":"red"}',
    b'{"type":"email.send","priority":12}',
    b'{"type":"email.send","payload":{"ratio":NaN}}',
    b'{"type":"email.send","type":"email.receive"}',
    None,
    b'{"type":"email.send","run_at":"2030-01-01T00:00:00"}',
    b'{"type":"email.send","pool":"no-such-pool"}',
    b'["email.send"]',
    b'{"type":"email.send","payload":' + b"[" * 80 + b"]" * 80 + b"}",
)
