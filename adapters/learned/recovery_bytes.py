"""The bytes that carry a model of recoveries: a JSON header, counts and a booster. Never a pickle.

Nothing here knows XGBoost, so whoever only stores or moves a model need not load it.
"""

from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np

from adapters.learned.framing import framed, header_of
from adapters.learned.heads import Head
from core.retrying.bins import BINS, Floats
from core.retrying.evidence import Evidence, problem_of
from core.retrying.explore import Tally
from core.retrying.history import SNAPSHOT_KEYS_MAX, History, Snapshot

MAGIC = b"PENSTOCK-RECOVERY-1\n"
HEADER_MAX_BYTES = 8_388_608
"""More than all keys of a snapshot with the longest texts; a header that claims more is damaged."""
ROUNDS_MAX = 100_000
_COUNTS = np.dtype("<f8")


class Parts(NamedTuple):
    """What a model is made of."""

    history: History
    head: Head
    evidence: Evidence = MappingProxyType({})


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    keys: list[tuple[str, ...]]
    rounds: int
    head_bytes: int
    evidence: dict[str, dict[str, tuple[float, float, float, float]]] = {}


_decode_header = msgspec.json.Decoder(_Header).decode


def pack_recovery(history: History, head: Head, evidence: Evidence | None = None) -> bytes:
    """Give the bytes of a model: magic, length of the header, header, both counts, and the booster.

    Of the history they carry what ``History.snapshot`` gives.
    """
    keys, at_risk, recovered = history.snapshot()
    told = {
        error_class: {
            arm: (one.weight, one.squares, one.cost, one.cost_squares) for arm, one in tallies.items()
        }
        for error_class, tallies in (evidence or {}).items()
    }
    header = _Header(list(keys), head.rounds, len(head.ubj), told)
    counts = (one.astype(_COUNTS).tobytes() for one in (at_risk, recovered))
    return framed(MAGIC, header, (*counts, head.ubj))


def unpack_recovery(data: bytes) -> Parts:
    """Read what ``pack_recovery`` wrote. Whether the booster is any good is not known by that.

    Raises
    ------
    ValueError
        The bytes are something else, damaged, cut off, or longer than their header says.
    """
    header, at = _header(data)
    counts_bytes = len(header.keys) * BINS * _COUNTS.itemsize
    said = 2 * counts_bytes + header.head_bytes
    if not (0 < header.rounds <= ROUNDS_MAX and header.head_bytes > 0):
        raise ValueError(
            f"a head of {header.rounds} rounds and {header.head_bytes} bytes: the model is damaged"
        )
    if len(data) - at != said:
        raise ValueError(
            f"{len(data) - at} bytes behind a header that speaks of {said}: the model is damaged or cut off"
        )
    at_risk, recovered = (
        _counts(data[at + place * counts_bytes : at + (place + 1) * counts_bytes]) for place in (0, 1)
    )
    history = History.restored(Snapshot(tuple(header.keys), at_risk, recovered))
    return Parts(history, Head(data[at + 2 * counts_bytes :], header.rounds), _evidence(header))


def _evidence(header: _Header) -> Evidence:
    found = {
        error_class: {arm: Tally(*numbers) for arm, numbers in tallies.items()}
        for error_class, tallies in header.evidence.items()
    }
    problem = problem_of(found)
    if problem is not None:
        raise ValueError(f"{problem}: the model is damaged")
    return found


def _counts(data: bytes) -> Floats:
    return np.frombuffer(data, _COUNTS).astype(np.float64).reshape(-1, BINS)


def _header(data: bytes) -> tuple[_Header, int]:
    """Give the header, and where the counts begin."""
    header, begin = header_of(data, MAGIC, _decode_header, max_bytes=HEADER_MAX_BYTES, what="recovery model")
    if len(header.keys) > SNAPSHOT_KEYS_MAX:
        raise ValueError(f"{len(header.keys)} keys, more than {SNAPSHOT_KEYS_MAX}: the model is damaged")
    return header, begin
