"""What a database can hold: text without NUL, JSON without NUL, half surrogates or giant exponents.

The contract and the workers refuse such values already; this is for what they cannot see, such as
the text of an exception, so that no record can ever stop the table.
"""

import json
import re

REPLACEMENT = "\ufffd"

_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|[0-9][eE][+-]?[0-9]{3}")
"""Escapes that jsonb may refuse, and exponents beyond a double."""


def storable_text(text: str) -> str:
    """Give ``text`` with every NUL and half surrogate replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", REPLACEMENT).encode(errors="replace").decode()


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
