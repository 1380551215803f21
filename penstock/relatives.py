"""What a running task knows of the jobs around its own: results of its parents, and jobs it adds."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

import msgspec
from typing_extensions import override

from penstock.errors import PermanentError
from penstock.identity import job_id_of_spawned, job_id_of_step

SPAWN_MAX_JOBS = 10_000
"""Jobs one attempt may add; more of them can be added by those."""
SPAWN_MAX_BYTES = 16 * 1024 * 1024
"""Of all records together: they wait in memory until the attempt has ended."""


class ParentResultsUnavailable(PermanentError):  # noqa: N818 - public name; says what happened
    """The results of the parents cannot be given; the message says why. Trying again cannot help."""


class ParentResults(Mapping[str, Any]):
    """What the parents of a job returned, by job id; those that did not succeed are not among them.

    A parent that was added to the workflow under a name is found by the name, too.

    Parameters
    ----------
    results
        JSON by job id.
    omitted
        Why there are none to be had; empty when there are.
    """

    __slots__ = ("_omitted", "_results", "_tenant", "_workflow_id")

    def __init__(
        self,
        results: Mapping[str, bytes],
        omitted: str = "",
        *,
        tenant: str = "default",
        workflow_id: str | None = None,
    ) -> None:
        self._results = results
        self._omitted = omitted
        self._tenant = tenant
        self._workflow_id = workflow_id

    @override
    def __getitem__(self, parent: str) -> Any:
        """Give what a parent returned.

        Raises
        ------
        KeyError
            It is no parent, or has not succeeded.
        ParentResultsUnavailable
            There are none to be had.
        """
        self._check()
        if parent in self._results:
            return msgspec.json.decode(self._results[parent])
        return msgspec.json.decode(self._results[self._id_of(parent)])

    @override
    def __iter__(self) -> Iterator[str]:
        self._check()
        return iter(self._results)

    @override
    def __len__(self) -> int:
        self._check()
        return len(self._results)

    @override
    def __contains__(self, parent: object) -> bool:
        self._check()
        return isinstance(parent, str) and (parent in self._results or self._id_of(parent) in self._results)

    def _id_of(self, name: str) -> str:
        if self._workflow_id is None:
            return name
        return job_id_of_step(self._tenant, self._workflow_id, name)

    def _check(self) -> None:
        if self._omitted:
            raise ParentResultsUnavailable(f"the results of the parents cannot be read: {self._omitted}")


class SpawnOptions(TypedDict, total=False):
    """Everything about a job to add beside type, payload and name; as in the job contract.

    Tenant and workflow are those of the job that adds it, and its id is made.
    """

    depends_on: Sequence[str] | Mapping[str, Any]
    """Job ids, or ``{"group": NAME, "count": N}``."""
    group: str
    on_parent_failure: str
    priority: int
    run_at: datetime | str
    deadline: datetime | str
    expires_at: datetime | str
    timeout_s: float
    max_attempts: int
    pool: str
    ordering_key: str
    sensitive: Sequence[str]
    labels: Mapping[str, str]


class Spawned:
    """The jobs one attempt adds, in order; each exactly once, however often the attempt is repeated."""

    def __init__(self, job_id: str, tenant: str, workflow_id: str | None) -> None:
        self._job_id = job_id
        self._fixed: dict[str, str] = {"tenant": tenant}
        if workflow_id is not None:
            self._fixed["workflow_id"] = workflow_id
        self._names: set[str] = set()
        self._bytes = 0
        self.records: list[bytes] = []
        """As they will stand in ``jobs``."""

    def add(self, type_: str, payload: object, name: str | None, options: SpawnOptions) -> str:
        """Take one job and give its id.

        Raises
        ------
        PermanentError
            It cannot be added; the message says why.
        """
        name = str(len(self.records)) if name is None else name
        unknown = options.keys() - SpawnOptions.__annotations__.keys()
        if unknown:
            raise PermanentError(f"ctx.spawn has no option {min(unknown)!r}")
        if name in self._names:
            raise PermanentError(f"two jobs are added as {name!r}; give each a name of its own")
        if len(self.records) == SPAWN_MAX_JOBS:
            raise PermanentError(
                f"more than {SPAWN_MAX_JOBS} jobs are added by one attempt; let jobs it adds add the others"
            )
        job_id = job_id_of_spawned(self._job_id, name)
        job = {"type": type_, "payload": payload, "job_id": job_id, **self._fixed, **_plain(options)}
        try:
            record = msgspec.json.encode(job)
        except (TypeError, ValueError, RecursionError) as error:
            raise PermanentError(f"the job added as {name!r} is not JSON: {error}") from error
        self._bytes += len(record)
        if self._bytes > SPAWN_MAX_BYTES:
            raise PermanentError(
                f"the jobs one attempt adds have more than {SPAWN_MAX_BYTES} bytes; put the data elsewhere"
            )
        self._names.add(name)
        self.records.append(record)
        return job_id


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in options.items() if value is not None}
    for name, value in plain.items():
        if isinstance(value, datetime) and value.tzinfo is None:
            raise PermanentError(f"`{name}` has no zone: pass an aware datetime, such as datetime.now(UTC)")
        if name == "depends_on" and not isinstance(value, Mapping):
            plain[name] = list(map(str, _listed(value)))
    return plain


def _listed(value: Iterable[str | uuid.UUID] | str) -> Iterable[str | uuid.UUID]:
    return [value] if isinstance(value, str) else value
