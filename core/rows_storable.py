"""What a database can hold: text and JSON without NUL, numbers that a double can hold.

The contract and the workers refuse such values already; this is for what they cannot see, such as
the text of an exception, so that no record can ever stop the table.
"""

import json
import re

REPLACEMENT = "\ufffd"

_SUSPICIOUS = re.compile(rb"\\u0000|[0-9][eE][+-]?[0-9]{3}")
"""The escape that jsonb refuses (or an escaped backslash before it), and exponents beyond a double."""


def storable_text(text: str) -> str:
    """Give ``text`` with every NUL replaced by U+FFFD."""
    return text.replace("\x00", REPLACEMENT) if "\x00" in text else text


def storable_json(raw: bytes) -> str:
    """Give JSON text that a ``jsonb`` column takes; the same text wherever that is possible."""
    text = raw.decode(errors="replace")
    if _SUSPICIOUS.search(raw) is None:
        return text
    return json.dumps(_clean(json.loads(text)), ensure_ascii=False)


def _clean(value: object) -> object:
    match value:
        case str():
            return storable_text(value)
        case float() if value in (float("inf"), float("-inf")):
            # The literal was beyond a double; JSON has no infinity.
            return None
        case dict():
            return {storable_text(key): _clean(member) for key, member in value.items()}
        case list():
            return [_clean(item) for item in value]
        case _:
            return value
