"""Trained outputs of a model, and the bytes that carry them: a JSON header and boosters. Never a pickle.

Nothing here knows XGBoost, so whoever only stores or moves a model need not load it.
"""

from typing import NamedTuple

import msgspec

from adapters.learned.framing import framed, header_of

MAGIC = b"PENSTOCK-HEADS-1\n"
HEADER_MAX_BYTES = 65_536
"""A header names a few heads; one that claims more is damaged."""
HEADS_MAX = 64


class Head(NamedTuple):
    """One trained output."""

    ubj: bytes
    """The booster as ``Booster.save_raw("ubj")`` gives it."""
    rounds: int


class Hedge(NamedTuple):
    """How far a probability of failing is drawn towards plain rates, in log odds.

    What drifts does so in the trees first.

    Attributes
    ----------
    recent, ever
        Weights of the rate that forgets and of the one over all ends, beside which the trees have the rest.
    """

    recent: float
    ever: float

    @property
    def problem(self) -> str | None:
        """Why there can be none like this; None: there can."""
        # Asked so that what is no number is refused.
        if self.recent >= 0 and self.ever >= 0 and self.recent + self.ever < 1:
            return None
        return f"rates of weights {self.recent:g} and {self.ever:g} leave nothing to the trees"


UNTOLD = Hedge(recent=0.2, ever=0.0)
"""Of every model before bytes told it."""


class Heads(NamedTuple):
    """The outputs of one model."""

    run: tuple[Head, ...]
    """Their logarithms are averaged."""
    failed: tuple[Head, ...]
    """Their probabilities are averaged."""
    run_high: Head | None = None
    hedge: Hedge = UNTOLD


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    output: str
    rounds: int
    size_bytes: int


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    heads: tuple[_Entry, ...]
    hedge: tuple[float, float] | None = None


_RUN, _FAILED, _RUN_HIGH = "run", "failed", "run_high"
_decode_header = msgspec.json.Decoder(_Header).decode


def pack(heads: Heads) -> bytes:
    """Give the bytes of a model: magic, length of the header, header, and the boosters in its order."""
    named = [(_RUN, head) for head in heads.run] + [(_FAILED, head) for head in heads.failed]
    if heads.run_high is not None:
        named.append((_RUN_HIGH, heads.run_high))
    entries = tuple(_Entry(output, head.rounds, len(head.ubj)) for output, head in named)
    header = _Header(entries, None if heads.hedge == UNTOLD else (heads.hedge.recent, heads.hedge.ever))
    return framed(MAGIC, header, (head.ubj for _, head in named))


def unpack(data: bytes) -> Heads:
    """Read what ``pack`` wrote. Whether the boosters are any good is not known by that.

    Raises
    ------
    ValueError
        The bytes are something else, damaged, cut off, or longer than their header says.
    """
    header, at = _header(data)
    found: dict[str, list[Head]] = {_RUN: [], _FAILED: [], _RUN_HIGH: []}
    for entry in header.heads:
        if entry.output not in found or entry.rounds < 1 or not 0 < entry.size_bytes <= len(data) - at:
            raise ValueError(
                f"a head {entry.output!r} of {entry.rounds} rounds and {entry.size_bytes} bytes, with "
                f"{len(data) - at} bytes left: the model is damaged or cut off"
            )
        found[entry.output].append(Head(data[at : at + entry.size_bytes], entry.rounds))
        at += entry.size_bytes
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the last head: the model is damaged")
    if not found[_RUN] or not found[_FAILED] or len(found[_RUN_HIGH]) > 1:
        raise ValueError("a model needs heads for `run` and `failed`, and at most one `run_high`")
    hedge = UNTOLD if header.hedge is None else Hedge(*header.hedge)
    if hedge.problem is not None:
        raise ValueError(f"{hedge.problem}: the model is damaged")
    return Heads(tuple(found[_RUN]), tuple(found[_FAILED]), next(iter(found[_RUN_HIGH]), None), hedge)


def _header(data: bytes) -> tuple[_Header, int]:
    """Give the header, and where the first booster begins."""
    header, begin = header_of(data, MAGIC, _decode_header, max_bytes=HEADER_MAX_BYTES, what="model")
    if len(header.heads) > HEADS_MAX:
        raise ValueError(f"{len(header.heads)} heads, more than {HEADS_MAX}: the model is damaged")
    return header, begin
