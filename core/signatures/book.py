"""Kinds of failures, learned one message at a time: a tree of fixed depth whose leaves are templates.

After Drain (He, Zhu, Zheng, Lyu, "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017):
the first levels are class, type and location of the failure and the number of words; in a leaf the template
with the largest share of equal words takes a message that is similar enough, and gives up the words that
differ.

Two things are stricter than there, so that a name, once given, stays:

* a template is made more general only where it then meets no other of its leaf. All templates of a leaf are
  disjoint, so a message is of one kind at most;
* a message that a template covers is of that kind, whatever else looks more similar.

Hence what was learned once is never unlearned: a message that has a kind of its own keeps it, and two
messages of one kind are never told apart later.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from core.signatures.masks import WILDCARD
from core.signatures.shape import Group, Shape

SIMILAR_MIN = 0.6
"""Share of equal words from which on two messages are alike. Above the 0.4 that Drain uses on logs:
messages of one type at one place differ by their words, not by who wrote them, and ``connection refused``
is not ``connection reset``. As it counts wildcards as different, no template has fewer plain words than
this."""
GROUP_MAX = 64
"""Kinds of one class, type and location; what comes after is one kind together."""
TASK_MAX = 500
"""Kinds first met with one type of jobs: a type whose messages are all different takes no more room."""
KINDS_MAX = 5000
"""Kinds in all: 18 MB of templates of 48 words, measured; 30 MB if all words are as long as may be."""
_REST = (WILDCARD,)


class Learned(NamedTuple):
    """A kind of failure as it is known now."""

    id: str
    """16 hex digits, of the first message; the same whatever the template becomes."""
    group: Group
    words: tuple[str, ...]
    task_type: str
    """Type of the job it was first met with."""
    first_ms: int
    begun: int
    """Number of the message that began it, and of the last that changed its words."""
    changed: int

    @property
    def template(self) -> str:
        """The words as one text."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Met:
    """A message that was met: all that learning rests on."""

    shape: Shape
    task_type: str
    at_ms: int
    number: int
    """Where it stands among all messages that were learned from; rises."""


class SignatureBook:
    """What was learned from a list of messages; a function of that list and its order."""

    def __init__(self) -> None:
        self._leaves: dict[tuple[Group, int], list[str]] = {}
        self._of_group: Counter[Group] = Counter()
        self._of_task: Counter[str] = Counter()
        self.kinds: dict[str, Learned] = {}
        """By id, in the order in which they were learned."""

    def find(self, shape: Shape, task_type: str) -> str | None:
        """Give the kind of a failure; None: there is something to learn first."""
        covering = self._covering(shape)
        if covering is not None:
            return covering
        if self._nearest(shape) is not None:
            return None
        rest = self._rest(shape.group, task_type)
        return None if rest is None or rest not in self.kinds else rest

    def learn(self, met: Met) -> str:
        """Give the kind of a failure, learning it where it is not known."""
        known = self.find(met.shape, met.task_type)
        if known is not None:
            return known
        nearest = self._nearest(met.shape)
        if nearest is not None:
            kind = self.kinds[nearest]
            words = joined(kind.words, met.shape.words)
            self.kinds[nearest] = kind._replace(words=words, changed=met.number)
            return nearest
        return self._begin(met)

    def changed_since(self, number: int) -> list[Learned]:
        """Give the kinds that began or changed with this message or a later one."""
        return [kind for kind in self.kinds.values() if kind.changed >= number]

    def _begin(self, met: Met) -> str:
        group, words = met.shape
        rest = self._rest(group, met.task_type)
        if rest is not None:
            of_class = rest == _id(_of_class(group), _REST)
            group, words = (_of_class(group) if of_class else group), _REST
        else:
            self._leaves.setdefault((group, len(words)), [])
            self._of_group[group] += 1
            self._of_task[met.task_type] += 1
        kind = Learned(_id(group, words), group, words, met.task_type, met.at_ms, met.number, met.number)
        if rest is None:
            self._leaves[group, len(words)].append(kind.id)
        self.kinds[kind.id] = kind
        return kind.id

    def _covering(self, shape: Shape) -> str | None:
        for one in self._leaf(shape):
            if overlaps(self.kinds[one].words, shape.words):
                return one
        return None

    def _nearest(self, shape: Shape) -> str | None:
        """Give the kind whose words become more general by this message; of equals the older."""
        leaf = self._leaf(shape)
        likeness = {one: similarity(self.kinds[one].words, shape.words) for one in leaf}
        for one in sorted(leaf, key=lambda one: -likeness[one]):
            if likeness[one] < SIMILAR_MIN:
                return None
            wider = joined(self.kinds[one].words, shape.words)
            if not any(overlaps(wider, self.kinds[other].words) for other in leaf if other != one):
                return one
        return None

    def _leaf(self, shape: Shape) -> list[str]:
        return self._leaves.get((shape.group, len(shape.words)), [])

    def _rest(self, group: Group, task_type: str) -> str | None:
        """Give the kind of everything else, where there is no room for one more; None: there is."""
        if self._of_group[group] >= GROUP_MAX:
            return _id(group, _REST)
        if self._of_task[task_type] >= TASK_MAX or self._of_group.total() >= KINDS_MAX:
            return _id(_of_class(group), _REST)
        return None


def similarity(template: Iterable[str], words: tuple[str, ...]) -> float:
    """Give the share of equal words of two texts of one length; none are alike by all of nothing."""
    equal = sum(one == other for one, other in zip(template, words, strict=True))
    return equal / max(1, len(words))


def overlaps(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether some message has both templates; for a message without wildcards: whether it has the other."""
    return all(a == b or WILDCARD in (a, b) for a, b in zip(one, other, strict=True))


def joined(template: tuple[str, ...], words: tuple[str, ...]) -> tuple[str, ...]:
    """Give the template of both: a wildcard where they differ."""
    return tuple(a if a == b else WILDCARD for a, b in zip(template, words, strict=True))


def _of_class(group: Group) -> Group:
    return Group(group.error_class, "", "")


def _id(group: Group, words: tuple[str, ...]) -> str:
    text = "\x1f".join((*group, *words))
    return hashlib.blake2b(text.encode(), digest_size=8, person=b"signature").hexdigest()
