"""JSON merge patches (RFC 7396) on bytes: what a patch does not name stays byte for byte as it was written.

A merge patch names members alone and can only set and remove: unlike a JSON patch (RFC 6902) it moves and
copies nothing, so no value that is masked at one place appears at another.
"""

from collections.abc import Iterator

import msgspec

_Members = dict[str, msgspec.Raw]

_object_decoder = msgspec.json.Decoder(_Members)
_encode = msgspec.json.Encoder().encode
_WHITE_SPACE = b" \t\r\n"
_NULL = b"null"


def merged(target: bytes, patch: bytes) -> bytes:
    """Apply a patch: members that are null are removed, objects are merged, all else replaces.

    Parameters
    ----------
    target, patch
        Valid JSON without duplicate keys, nested at most 64 deep (strict parsing saw to it). A patch that is
        no object replaces the target as a whole.
    """
    changes = _members(patch)
    if changes is None:
        return patch.strip(_WHITE_SPACE)
    result = _members(target) or {}
    for name, raw in changes.items():
        change = bytes(raw).strip(_WHITE_SPACE)
        if change == _NULL:
            result.pop(name, None)
        else:
            result[name] = msgspec.Raw(merged(bytes(result.get(name, _NULL)), change))
    return _encode(result)


def named_by(patch: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the pointers (RFC 6901) a patch sets, and those it removes; no values."""
    found = sorted(_named(patch, ""))
    return tuple(at for at, kept in found if kept), tuple(at for at, kept in found if not kept)


def _named(patch: bytes, at: str) -> Iterator[tuple[str, bool]]:
    changes = _members(patch)
    if changes is None:
        yield at, patch.strip(_WHITE_SPACE) != _NULL or not at
        return
    if not changes and at:
        yield at, True
    for name, raw in changes.items():
        token = name.replace("~", "~0").replace("/", "~1")
        yield from _named(bytes(raw), f"{at}/{token}")


def _members(value: bytes) -> _Members | None:
    return _object_decoder.decode(value) if value.lstrip(_WHITE_SPACE)[:1] == b"{" else None
