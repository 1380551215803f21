"""What can be paused or limited, and what a dispatch that has to wait for that is held for."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from typing_extensions import override


class Scope(StrEnum):
    """What a subject is the name of."""

    TYPE = "type"
    TENANT = "tenant"
    POOL = "pool"


class Subject(NamedTuple):
    """All jobs of one type, tenant or pool."""

    scope: Scope
    name: str

    @override
    def __str__(self) -> str:
        """Write it as ``type/email.send``."""
        return f"{self.scope}/{self.name}"


class Cause(StrEnum):
    """Why a dispatch is held."""

    PAUSE = "pause"
    LIMIT = "limit"


class HeldFor(NamedTuple):
    """What a dispatch is held for; written ``pause/type/email.send``, as the keys of ``control`` are."""

    cause: Cause
    subject: Subject

    @override
    def __str__(self) -> str:
        """Write it as headers and keys have it."""
        return f"{self.cause}/{self.subject}"

    @classmethod
    def parse(cls, text: str) -> "HeldFor":
        """Read what ``str`` wrote; names may contain slashes.

        Raises
        ------
        ValueError
            It is something else.
        """
        cause, scope, name = text.split("/", 2)
        return cls(Cause(cause), Subject(Scope(scope), name))


class HasSubjects(Protocol):
    """The parts of a job that make it one of a subject."""

    @property
    def type(self) -> str:
        """Which task runs it."""
        ...

    @property
    def tenant(self) -> str:
        """Whose it is."""
        ...

    @property
    def pool(self) -> str:
        """Where it runs."""
        ...


class HasCircuit(HasSubjects, Protocol):
    """Those, and the circuit it belongs to."""

    @property
    def circuit(self) -> str:
        """Its type, or that narrowed to what it calls."""
        ...


class JobNames(NamedTuple):
    """Those parts alone, of a job of which no more is at hand."""

    type: str
    tenant: str
    pool: str
    circuit: str = ""


def subjects_of(job: HasSubjects) -> tuple[Subject, ...]:
    """Give all subjects of a job, in the order in which it is held for them."""
    return (
        Subject(Scope.POOL, job.pool),
        Subject(Scope.TENANT, job.tenant),
        Subject(Scope.TYPE, job.type),
    )
