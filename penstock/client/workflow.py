"""Building a workflow: jobs with names that depend on one another, written down as jobs to submit."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from typing_extensions import Unpack

from penstock.client.errors import InvalidJob
from penstock.client.submission import DEFAULT_TENANT, Job, JobOptions
from penstock.identity import job_id_of_step

OnParentFailure = Literal["skip", "run", "wait"]
STEP_LABEL = "step"
"""Label that holds a job's name within its workflow."""
DEPENDS_ON_MAX = 1000
_OWN_FIELDS = frozenset(
    {"job_id", "idempotency_key", "workflow_id", "depends_on", "on_parent_failure", "tenant"}
)


class Step:
    """A job of a workflow that is being built."""

    def __init__(self, workflow: "Workflow", name: str, job: Job) -> None:
        self._workflow = workflow
        self.name = name
        self.job = job
        self.parents: list[str] = []
        self.parent_group: str | None = None
        self.on_parent_failure: OnParentFailure = "skip"

    @property
    def job_id(self) -> str:
        """The id it has when submitted: made from tenant, workflow and name."""
        return job_id_of_step(self._workflow.tenant, self._workflow.workflow_id, self.name)

    @property
    def group(self) -> str | None:
        """The group it belongs to."""
        return self.job.get("group")

    def after(self, *parents: "Step | str", on_failure: OnParentFailure = "skip") -> Self:
        """Let it start when all of these have succeeded; may be called repeatedly.

        Parameters
        ----------
        parents
            Steps, or their names; a name may be added later.
        on_failure
            What becomes of it when one of its parents ends without success: it is skipped, runs all the
            same once all have ended, or waits until the parent was tried again and succeeded. The last
            call counts.
        """
        if self.parent_group is not None:
            raise InvalidJob(f"`{self.name}` depends on the group `{self.parent_group}` already")
        names = [parent if isinstance(parent, str) else parent.name for parent in parents]
        self.parents.extend(name for name in names if name not in self.parents)
        self.on_parent_failure = on_failure
        return self

    def after_group(self, group: str, *, on_failure: OnParentFailure = "skip") -> Self:
        """Let it start when all jobs of a group have succeeded, however many they are."""
        if self.parents:
            raise InvalidJob(f"`{self.name}` depends on {self.parents[0]} already: use one of the two")
        self.parent_group, self.on_parent_failure = group, on_failure
        return self


class Workflow:
    """Jobs that depend on one another; ``workflow.add("load", {...}).after(extract)``.

    Nothing is sent: ``jobs`` gives what to submit, ``Client.submit_workflow`` submits it. Ids are made
    from the names, so the same workflow submitted twice runs once.

    Parameters
    ----------
    workflow_id
        1 to 200 characters; names one run of the workflow, such as ``nightly-2030-01-31``.
    """

    def __init__(self, workflow_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        self.workflow_id = workflow_id
        self.tenant = tenant
        self._steps: dict[str, Step] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, name: str) -> Step:
        return self._steps[name]

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps.values())

    def add(
        self,
        type: str,  # noqa: A002 - the name of the field in the public contract
        payload: Any = None,
        *,
        name: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Step:
        """Add a job.

        Parameters
        ----------
        payload
            None means ``{}``.
        name
            Its name in the workflow, unique; default is the type.
        options
            As for ``Client.submit``; ``group`` is the group it belongs to, for ``after_group``.

        Raises
        ------
        InvalidJob
            The name is taken, or an option is the builder's to set.
        """
        name = type if name is None else name
        if name in self._steps:
            raise InvalidJob(f"the workflow has a job `{name}` already: give this one another name")
        for field in sorted(_OWN_FIELDS & options.keys()):
            raise InvalidJob(f"`{field}` of `{name}` is set by the workflow: leave it out")
        job: Job = {"type": type, "payload": {} if payload is None else payload, **options}
        step = self._steps[name] = Step(self, name, job)
        return step

    def jobs(self) -> list[Job]:
        """Give the jobs as they are submitted, parents first.

        Raises
        ------
        InvalidJob
            Jobs depend on one another in a circle, on a name that was never added, or on too many.
        """
        self._check_names()
        return [self._written(self._steps[name]) for name in self._in_order()]

    def _members(self, group: str) -> list[str]:
        return [step.name for step in self if step.group == group]

    def _check_names(self) -> None:
        for step in self:
            for parent in step.parents:
                if parent not in self._steps:
                    raise InvalidJob(f"`{step.name}` depends on `{parent}`, which the workflow does not have")
            if len(step.parents) > DEPENDS_ON_MAX:
                raise InvalidJob(
                    f"`{step.name}` depends on {len(step.parents)} jobs, {DEPENDS_ON_MAX} are allowed: put "
                    "them into a group and use after_group"
                )

    def _in_order(self) -> list[str]:
        """Give the names, parents first; groups stand between their members and who depends on them."""
        above: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for step in self:
            parents = [("job", name) for name in step.parents]
            if step.parent_group is not None:
                parents = [("group", step.parent_group)]
                above.setdefault(("group", step.parent_group), [])
            above[("job", step.name)] = parents
            if step.group is not None:
                above.setdefault(("group", step.group), []).append(("job", step.name))
        return [name for kind, name in _sorted(above) if kind == "job"]

    def _written(self, step: Step) -> Job:
        job = step.job.copy()
        job["job_id"], job["workflow_id"] = step.job_id, self.workflow_id
        job["labels"] = {**(job.get("labels") or {}), STEP_LABEL: step.name}
        if self.tenant != DEFAULT_TENANT:
            job["tenant"] = self.tenant
        if step.parents:
            job["depends_on"] = [self._steps[name].job_id for name in step.parents]
        if step.parent_group is not None:
            group = step.parent_group
            job["depends_on"] = {"group": group, "count": len(self._members(group))}
        if step.on_parent_failure != "skip":
            job["on_parent_failure"] = step.on_parent_failure
        return job


_Vertex = tuple[str, str]


def _sorted(above: Mapping[_Vertex, list[_Vertex]]) -> list[_Vertex]:
    """Sort so that whatever is depended on comes first; without recursion, linear."""
    waiting = {vertex: len(parents) for vertex, parents in above.items()}
    below: dict[_Vertex, list[_Vertex]] = {vertex: [] for vertex in above}
    for vertex, parents in above.items():
        for parent in parents:
            below[parent].append(vertex)
    order = [vertex for vertex, left in waiting.items() if not left]
    for vertex in order:
        for child in below[vertex]:
            waiting[child] -= 1
            if not waiting[child]:
                order.append(child)
    if len(order) < len(above):
        raise InvalidJob(f"jobs depend on one another in a circle: {_circle(above, set(order))}")
    return order


def _circle(above: Mapping[_Vertex, list[_Vertex]], sorted_: set[_Vertex]) -> str:
    vertex = next(vertex for vertex in above if vertex not in sorted_)
    at: dict[_Vertex, int] = {}
    way: list[_Vertex] = []
    while vertex not in at:
        at[vertex] = len(way)
        way.append(vertex)
        vertex = next(parent for parent in above[vertex] if parent not in sorted_)
    way = [*way[at[vertex] :], vertex]
    return " -> ".join(name if kind == "job" else f"group {name}" for kind, name in way)
