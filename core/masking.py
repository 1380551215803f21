"""Hiding what a producer called sensitive: in JSON by pointer, in text by value.

Values that are not pointed at stay byte for byte as they were written: a masked payload grows by
no more than the masks, and no number is rounded on the way.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import msgspec

MASK = "***"
SECRET_MIN_CHARS = 4
"""Shortest value ``scrub`` looks for; shorter ones would blank out half of any text."""
SECRETS_MAX = 1000
"""Most secrets of one job that are looked for one by one."""

_MASK_JSON = msgspec.Raw(b'"***"')
_WHITE_SPACE = b" \t\r\n"
_INDEX_MAX_DIGITS = 9
_Members = dict[str, msgspec.Raw]

_object_decoder = msgspec.json.Decoder(_Members)
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_any_decoder = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def mask(payload: bytes, pointers: Sequence[str]) -> bytes:
    """Replace what the pointers point at by ``"***"``.

    Time is linear in the payload times its depth, however many pointers there are.

    Parameters
    ----------
    payload
        Valid JSON without duplicate keys, nested at most 64 deep (strict parsing saw to it).
    pointers
        Valid RFC 6901 pointers; one that points at nothing changes nothing.
    """
    return _mask(payload, _Tree.of(pointers)) if pointers else payload


def secrets(payload: bytes, pointers: Sequence[str]) -> tuple[str, ...]:
    """Give the texts of all strings and numbers under the pointers, for ``scrub``.

    Names of members are not among them: ``number`` or ``name`` would blank out any text.
    """
    found: set[str] = set()
    if pointers:
        _collect(payload, _Tree.of(pointers), found)
    return tuple(sorted(found))


def scrub_json(raw: bytes, hidden: Sequence[str]) -> bytes:
    """Replace the texts in every string, and every number written like one, of valid JSON.

    The result is valid JSON; without ``hidden`` it is ``raw`` itself, with more than ``SECRETS_MAX``
    secrets the mask alone.
    """
    if not hidden:
        return raw
    forms = _forms_of(tuple(hidden))
    if forms is None:
        return bytes(_MASK_JSON)
    value = _any_decoder.decode(raw)
    # One look through everything instead of one look per string: few secrets are ever found.
    whole = "\n".join(_all_texts(value))
    present = tuple(form for form in forms if form in whole)
    return _encode(_scrub_value(value, present, frozenset(hidden)))


def _scrub_value(value: object, forms: Sequence[str], hidden: Collection[str]) -> object:
    match value:
        case str():
            return _replace(value, forms)
        case bool() | None:
            return value
        case int() | float():
            return MASK if str(value) in hidden else value
        case list():
            return [_scrub_value(inner, forms, hidden) for inner in value]
        case dict():
            return {
                _replace(name, forms): _scrub_value(inner, forms, hidden) for name, inner in value.items()
            }
        case _:
            return value


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in ``text`` by ``***``, also where it stands escaped as JSON or by ``repr``.

    With more than ``SECRETS_MAX`` of them all of the text: looking for each would stop the caller for
    seconds. Not promised: secrets shorter than ``SECRET_MIN_CHARS``, and secrets that were transformed
    (encoded, split, hashed) before they were written.
    """
    forms = _forms_of(tuple(secrets))
    if forms is None:
        return MASK if text else text
    return _replace(text, forms)


def _replace(text: str, forms: Sequence[str]) -> str:
    for form in forms:
        text = text.replace(form, MASK)
    return text


@lru_cache(maxsize=8)
def _forms_of(secrets: tuple[str, ...]) -> tuple[str, ...] | None:
    """Give every way the secrets may be written, None when they are too many to look for.

    Remembered, because all lines of a job ask for the same.
    """
    searched = [secret for secret in secrets if len(secret) >= SECRET_MIN_CHARS]
    if len(searched) > SECRETS_MAX:
        return None
    forms = {form for secret in searched for form in _written_forms(secret)}
    # Longest first: a secret inside another must not break up the longer one.
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _written_forms(secret: str) -> tuple[str, ...]:
    quoted = (_encode(secret).decode(), json.dumps(secret), repr(secret), ascii(secret))
    return secret, *(form[1:-1] for form in quoted)


@dataclass(slots=True)
class _Tree:
    """Pointers merged by their common beginnings, so every part of a payload is read once a level."""

    whole: bool = False
    children: dict[str, Self] = field(default_factory=dict)

    @classmethod
    def of(cls, pointers: Sequence[str]) -> Self:
        root = cls()
        for pointer in pointers:
            node = root
            for token in pointer.split("/")[1:]:
                name = token.replace("~1", "/").replace("~0", "~")
                node = node.children.setdefault(name, cls())
            node.whole = True
        return root


def _mask(value: bytes, tree: _Tree) -> bytes:
    if tree.whole:
        return bytes(_MASK_JSON)
    match _container(value):
        case dict() as members:
            for name, child in _members_pointed_at(members, tree):
                members[name] = msgspec.Raw(_mask(bytes(members[name]), child))
            return _encode(members)
        case list() as items:
            for index, child in _items_pointed_at(items, tree):
                items[index] = msgspec.Raw(_mask(bytes(items[index]), child))
            return _encode(items)
        case None:
            return value


def _collect(value: bytes, tree: _Tree, found: set[str]) -> None:
    if tree.whole:
        found.update(_leaf_texts(_any_decoder.decode(value)))
        return
    match _container(value):
        case dict() as members:
            for name, child in _members_pointed_at(members, tree):
                _collect(bytes(members[name]), child, found)
        case list() as items:
            for index, child in _items_pointed_at(items, tree):
                _collect(bytes(items[index]), child, found)
        case None:
            pass


def _container(value: bytes) -> _Members | list[msgspec.Raw] | None:
    match value.lstrip(_WHITE_SPACE)[:1]:
        case b"{":
            return _object_decoder.decode(value)
        case b"[":
            return _array_decoder.decode(value)
        case _:
            return None


def _members_pointed_at(members: _Members, tree: _Tree) -> list[tuple[str, _Tree]]:
    return [(name, child) for name, child in tree.children.items() if name in members]


def _items_pointed_at(items: list[msgspec.Raw], tree: _Tree) -> list[tuple[int, _Tree]]:
    return [
        (int(name), child)
        for name, child in tree.children.items()
        if _is_index(name) and int(name) < len(items)
    ]


def _is_index(name: str) -> bool:
    """Whether it is an array index of RFC 6901: ASCII digits without leading zeros."""
    return (
        name.isascii()
        and name.isdecimal()
        and len(name) <= _INDEX_MAX_DIGITS
        and (name == "0" or not name.startswith("0"))
    )


def _all_texts(value: object) -> list[str]:
    """Give all strings of a JSON value, names of members included."""
    texts: list[str] = []
    rest = [value]
    while rest:
        match rest.pop():
            case str() as text:
                texts.append(text)
            case dict() as members:
                texts.extend(members)
                rest.extend(members.values())
            case list() as items:
                rest.extend(items)
            case _:
                pass
    return texts


def _leaf_texts(value: object) -> list[str]:
    texts: list[str] = []
    rest = [value]
    while rest:
        match rest.pop():
            case str() as text:
                texts.append(text)
            case bool() | None:
                pass
            case int() | float() as number:
                texts.append(repr(number))
            case dict() as members:
                rest.extend(members.values())
            case list() as items:
                rest.extend(items)
            case _:
                pass
    return texts
