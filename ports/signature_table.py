"""What the materializer writes about kinds of failures."""

from typing import NamedTuple


class SignatureRow(NamedTuple):
    """A kind of failure as it is known now."""

    signature: str
    error_class: str
    error_type: str
    template: str
    location: str
    task_type: str
    first_ms: int
    log_offset: int
    learned_offset: int
