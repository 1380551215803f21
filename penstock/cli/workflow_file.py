"""Workflows written down in a file, YAML or JSON: jobs by name, with the names they depend on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
import yaml
from typing_extensions import override

from penstock.cli.job_input import checked
from penstock.client import InvalidJob, Job, Workflow

STANDARD_INPUT = Path("-")
_TOP = frozenset({"workflow", "tenant", "defaults", "jobs"})
_DEPENDS = frozenset({"after", "after_group", "on_failure"})


def read_workflow(file: Path, workflow_id: str | None, tenant: str | None) -> Workflow:
    """Read a workflow; ``workflow_id`` and ``tenant`` go before what the file says.

    Raises
    ------
    typer.BadParameter
        Naming the job, the field and the remedy.
    """
    document = _mapping(_load(file), f"{file}")
    _refuse_unknown(document, _TOP, "the workflow")
    jobs = _mapping(document.get("jobs"), "`jobs`")
    if not jobs:
        raise typer.BadParameter("`jobs` is empty: name at least one job")
    name = workflow_id or document.get("workflow")
    if not isinstance(name, str):
        raise typer.BadParameter("the file has no `workflow` (a text): add it, or give --id")
    workflow = Workflow(name, tenant=str(tenant or document.get("tenant") or "default"))
    defaults = _mapping(document.get("defaults") or {}, "`defaults`")
    for job_name, members in jobs.items():
        _add(workflow, str(job_name), {**defaults, **_mapping(members or {}, f"job `{job_name}`")})
    return workflow


def jobs_of(workflow: Workflow) -> list[Job]:
    """Give the jobs to submit, each checked against the contract.

    Raises
    ------
    typer.BadParameter
        Naming the job, the field and the remedy.
    """
    try:
        jobs = workflow.jobs()
    except InvalidJob as error:
        raise typer.BadParameter(str(error)) from error
    for job in jobs:
        checked(job, f"job `{(job.get('labels') or {}).get('step')}`")
    return jobs


def _load(file: Path) -> Any:
    try:
        raw = typer.get_binary_stream("stdin").read() if file == STANDARD_INPUT else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from error
    try:
        # JSON is YAML; a bare date stays a text, as in JSON.
        return yaml.load(raw, Loader=_Loader)  # noqa: S506 - made from SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise typer.BadParameter(f"{file} is neither YAML nor JSON: {where}") from error


class _Loader(yaml.SafeLoader):
    """Gives the types JSON has, and refuses a key that is there twice."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a dictionary."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in some if tag != "tag:yaml.org,2002:timestamp"]
    for first, some in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _add(workflow: Workflow, name: str, members: dict[str, Any]) -> None:
    depends = {field: members.pop(field) for field in _DEPENDS & members.keys()}
    type_ = members.pop("type", name)
    payload = members.pop("payload", None)
    try:
        step = workflow.add(type_, payload, name=name, **members)
        failure = depends.get("on_failure", "skip")
        if depends.get("after"):
            after = depends["after"]
            step.after(*([after] if isinstance(after, str) else map(str, after)), on_failure=failure)
        if depends.get("after_group"):
            step.after_group(str(depends["after_group"]), on_failure=failure)
    except InvalidJob as error:
        raise typer.BadParameter(str(error)) from error


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise typer.BadParameter(f"{what} is no mapping: write names and what they mean")
    return dict(value)


def _refuse_unknown(members: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    unknown = members.keys() - known
    if unknown:
        raise typer.BadParameter(f"{what} has no field `{min(unknown)}`; it has {', '.join(sorted(known))}")
