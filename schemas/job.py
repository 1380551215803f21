"""The public contract: what a record on the topic ``jobs`` may say.

Everything here is stable. JSON Schema and AsyncAPI are generated from it (``make generate``).
"""

from datetime import datetime
from typing import Annotated, Any, Literal, LiteralString, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.times import RFC3339_PATTERN, parse_rfc3339

DEPENDS_ON_MAX = 1000
GROUP_MAX = 1_000_000
"""Jobs of a group: the scheduler keeps about 500 bytes of each until the workflow is over."""
SENSITIVE_MAX = 100
"""Pointers are walked for every event that shows the payload."""
LABELS_MAX = 20
POINTER_MAX_CHARS = 1000

_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

Uuid = Annotated[
    str,
    StringConstraints(pattern=_UUID, to_lower=True),
    Field(json_schema_extra={"format": "uuid"}),
]
"""A UUID in its hyphenated form; upper case is accepted and made lower case."""
Time = Annotated[
    datetime,
    BeforeValidator(parse_rfc3339),
    Field(json_schema_extra={"pattern": f"^{RFC3339_PATTERN}$"}),
]
"""An RFC 3339 date-time with a zone."""
Pointer = Annotated[str, StringConstraints(pattern=r"^(/([^~/]|~[01])*)*$", max_length=POINTER_MAX_CHARS)]
"""An RFC 6901 JSON pointer; the empty one means the whole payload."""
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=63)]
LabelValue = Annotated[str, StringConstraints(max_length=255)]


GroupName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class DependsOnGroup(BaseModel):
    """All jobs of a group."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, title="Group")

    group: Annotated[GroupName, Field(description="Name of the group within the workflow.")]
    count: Annotated[
        int | None,
        Field(
            ge=0,
            le=GROUP_MAX,
            description="How many jobs the group has in the end. The first count said for a group seals it; "
            "nobody who depends on it starts before.",
        ),
    ] = None


def _kind_of_parents(value: object) -> str:
    return "[group]" if isinstance(value, dict | DependsOnGroup) else "[list]"


ParentList = Annotated[tuple[Uuid, ...], Field(strict=False, max_length=DEPENDS_ON_MAX), Tag("[list]")]
ParentGroup = Annotated[DependsOnGroup, Tag("[group]")]


class SubmittedJob(BaseModel):
    """A job as a producer submits it: the value of one record on the topic ``jobs``.

    A record is one UTF-8 JSON object without duplicate keys, NaN, NUL characters, integers beyond
    64 bits, or nesting deeper than 64. Unknown fields are refused. An optional field without
    another default may be ``null``, which means the same as leaving it out.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, title="Job", json_schema_extra={"$id": "urn:penstock:job:1"}
    )

    type: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$",
            max_length=100,
            description="Which task runs the job, such as `email.send`.",
            examples=["email.send"],
        ),
    ]
    payload: Annotated[
        Any,
        Field(
            default_factory=dict,
            json_schema_extra={"default": {}},
            description="Any JSON value; handed to the task byte for byte. The whole record, "
            "headers included, is at most 256 KiB by default.",
        ),
    ]
    tenant: Annotated[str, Field(min_length=1, max_length=100, description="Who the job belongs to.")] = (
        "default"
    )
    job_id: Annotated[
        Uuid | None,
        Field(
            description="The job's id, chosen by the producer; a repeated id is the same job. Made from the "
            "record's coordinate when absent. Not together with `idempotency_key`."
        ),
    ] = None
    idempotency_key: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=200)] | None,
        Field(
            description="Records with the same (tenant, key) are the same job, and it runs once. The id is "
            "made from both. Not together with `job_id`."
        ),
    ] = None
    priority: Annotated[
        int, Field(ge=0, le=9, description="0 (background) to 9 (critical); an integer literal.")
    ] = 5
    run_at: Annotated[
        Time | None,
        Field(description="RFC 3339 with zone: the job does not start before."),
    ] = None
    deadline: Annotated[
        Time | None,
        Field(description="RFC 3339 with zone: the job should be done by; not before `run_at`."),
    ] = None
    expires_at: Annotated[
        Time | None,
        Field(description="RFC 3339 with zone: dropped when not started by; after `run_at`."),
    ] = None
    timeout_s: Annotated[float, Field(ge=1, le=86_400, description="Limit of one attempt, seconds.")] = 300
    max_attempts: Annotated[
        int, Field(ge=1, le=50, description="Failed attempts after which the job is dead.")
    ] = 5
    pool: Annotated[
        str,
        Field(min_length=1, max_length=100, description="Execution pool; an unknown one is refused."),
    ] = "default"
    workflow_id: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=200)] | None,
        Field(description="Workflow of the tenant that the job belongs to."),
    ] = None
    depends_on: Annotated[
        ParentList | ParentGroup,
        Discriminator(_kind_of_parents),
        Field(
            description="Jobs of the workflow that must succeed first: their ids, or a group of them. They "
            "may be submitted later. Needs `workflow_id`."
        ),
    ] = ()
    group: Annotated[
        GroupName | None,
        Field(description="Group of the workflow that the job belongs to. Needs `workflow_id`."),
    ] = None
    on_parent_failure: Annotated[
        Literal["skip", "run", "wait"],
        Field(
            description="What happens when a job it depends on ends without success: `skip` this one too, "
            "`run` it once all have ended, or `wait` until that job was tried again and succeeded."
        ),
    ] = "skip"
    ordering_key: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=200)] | None,
        Field(
            description="Jobs with the same (tenant, key) run one at a time, in the order in which they "
            "reach the gate of that key, through retries and holds."
        ),
    ] = None
    on_busy: Annotated[
        Literal["wait", "skip"],
        Field(
            description="What happens when another job of its `ordering_key` has not ended: `wait` for it, "
            "or `skip` this job. Needs `ordering_key`."
        ),
    ] = "wait"
    sensitive: Annotated[
        tuple[Pointer, ...],
        Field(
            strict=False,
            max_length=SENSITIVE_MAX,
            description="RFC 6901 JSON pointers into the payload; what they point at is masked in events, "
            "tables, logs and metrics. A pointer to nothing is no error.",
            examples=[["/card/number"]],
        ),
    ] = ()
    labels: Annotated[
        dict[LabelKey, LabelValue],
        Field(
            default_factory=dict,
            json_schema_extra={"default": {}},
            max_length=LABELS_MAX,
            description="Short string pairs, for queries.",
        ),
    ]

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        if self.job_id is not None:
            self._check_own_id(self.job_id)
        if self.run_at is not None:
            self._check_not_before(self.run_at)
        if self.on_busy != "wait" and self.ordering_key is None:
            raise _contradiction("on_busy", "`on_busy` is given without `ordering_key`")
        self._check_workflow()
        return self

    def _check_own_id(self, job_id: str) -> None:
        # Two names for one job could name two different jobs; there is no honest precedence.
        if self.idempotency_key is not None:
            raise _contradiction("job_id", "`job_id` and `idempotency_key` are given together")
        if not isinstance(self.depends_on, DependsOnGroup) and job_id in self.depends_on:
            raise _contradiction("depends_on", "the job depends on itself")

    def _check_workflow(self) -> None:
        if self.workflow_id is None and self.depends_on:
            raise _contradiction("depends_on", "`depends_on` is given without `workflow_id`")
        if self.workflow_id is None and self.group is not None:
            raise _contradiction("group", "`group` is given without `workflow_id`")
        if isinstance(self.depends_on, DependsOnGroup) and self.depends_on.group == self.group:
            raise _contradiction("group", "the job depends on the group it belongs to")

    def _check_not_before(self, run_at: datetime) -> None:
        if self.expires_at is not None and self.expires_at <= run_at:
            raise _contradiction(
                "expires_at", "`expires_at` is not after `run_at`, so the job could never start"
            )
        if self.deadline is not None and self.deadline < run_at:
            raise _contradiction("deadline", "`deadline` is before `run_at`, so the job would always be late")


def _contradiction(field: str, message: LiteralString) -> PydanticCustomError:
    return PydanticCustomError("contradiction", message, {"field": field})
