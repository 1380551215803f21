import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.asyncapi import asyncapi_document, job_schema
from schemas.generate import DIRECTORY, main, stale
from schemas.job_parser import FIELDS, ParsedJob, parse_job

UUID = "0190c5f2-7d1e-7abc-8def-0123456789ab"
TIME = "2030-01-31T08:00:00Z"

ACCEPTED: list[dict[str, Any]] = [
    {"type": "noop"},
    {"type": "email.send", "payload": {"to": "a@example.com"}, "tenant": "acme"},
    {"type": "a-b_c.d1", "payload": None},
    {"type": "a", "payload": [1, "x", {"deep": [None, True]}]},
    {"type": "a", "job_id": UUID, "priority": 0, "timeout_s": 1.5, "max_attempts": 50},
    {
        "type": "a",
        "idempotency_key": "k",
        "run_at": TIME,
        "deadline": TIME,
        "expires_at": "2031-01-01T00:00:00+01:00",
    },
    {"type": "a", "job_id": None, "idempotency_key": None, "run_at": None, "workflow_id": None},
    {"type": "a", "workflow_id": "w", "depends_on": [UUID], "ordering_key": "o"},
    {"type": "a", "workflow_id": "w", "depends_on": {"group": "g", "count": 0}, "on_parent_failure": "wait"},
    {"type": "a", "sensitive": ["", "/card/0", "/a~1b/m~0n"], "labels": {"team": "x", "empty": ""}},
]
REJECTED: list[object] = [
    [],
    None,
    {},
    {"type": "Upper"},
    {"type": "a" * 101},
    {"type": 1},
    {"type": "a", "tenant": ""},
    {"type": "a", "tenant": None},
    {"type": "a", "job_id": "x"},
    {"type": "a", "idempotency_key": ""},
    {"type": "a", "priority": 10},
    {"type": "a", "priority": "5"},
    {"type": "a", "priority": True},
    {"type": "a", "priority": 5.5},
    {"type": "a", "timeout_s": 0},
    {"type": "a", "timeout_s": "30s"},
    {"type": "a", "max_attempts": 51},
    {"type": "a", "run_at": 12},
    {"type": "a", "run_at": "2030-01-31T08:00:00"},
    {"type": "a", "depends_on": [UUID] * 1001},
    {"type": "a", "depends_on": UUID},
    {"type": "a", "sensitive": ["card"]},
    {"type": "a", "sensitive": ["/a~2"]},
    {"type": "a", "labels": {"k": 1}},
    {"type": "a", "labels": {"k" * 64: "v"}},
    {"type": "a", "labels": {str(n): "v" for n in range(21)}},
    {"type": "a", "Payload": {}},
]


def test_the_files_in_the_repository_are_what_the_types_say() -> None:
    assert stale(DIRECTORY) == []


def test_the_schema_of_a_job_is_a_valid_json_schema() -> None:
    Draft202012Validator.check_schema(job_schema())


@pytest.mark.parametrize("example", ACCEPTED, ids=json.dumps)
def test_what_the_parser_accepts_the_schema_accepts(example: dict[str, Any]) -> None:
    assert isinstance(parse_job(json.dumps(example).encode()), ParsedJob)
    Draft202012Validator(job_schema()).validate(example)


@pytest.mark.parametrize("example", REJECTED, ids=lambda example: json.dumps(example)[:60])
def test_what_the_parser_refuses_the_schema_refuses(example: object) -> None:
    assert not isinstance(parse_job(json.dumps(example).encode()), ParsedJob)
    assert not Draft202012Validator(job_schema()).is_valid(example)


def test_every_field_is_described() -> None:
    properties = job_schema()["properties"]
    assert set(properties) == set(FIELDS)
    assert all(field["description"] for field in properties.values())


def references(node: object) -> Iterator[str]:
    match node:
        case dict():
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for child in node.values():
                yield from references(child)
        case list():
            for child in node:
                yield from references(child)
        case _:
            pass


def resolve(document: object, reference: str) -> object:
    for token in reference.removeprefix("#/").split("/"):
        assert isinstance(document, dict)
        document = document[token]
    return document


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = json.loads(json.dumps(asyncapi_document()))
    found = set(references(document))
    assert "#/components/schemas/SubmittedJob" in found
    assert all(resolve(document, reference) for reference in found)


def test_the_schemas_of_the_asyncapi_document_are_valid() -> None:
    for schema in asyncapi_document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_public_topics_are_described() -> None:
    addresses = {channel["address"] for channel in asyncapi_document()["channels"].values()}
    assert addresses == {"jobs", "jobs.rejected", "jobs.events", "jobs.dead"}


def test_check_names_a_stale_file_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    (tmp_path / "job.schema.json").write_text("{}\n")
    capsys.readouterr()
    assert main(["--check"], tmp_path) == 1
    complaint = capsys.readouterr().err
    assert "job.schema.json" in complaint
    assert "make generate" in complaint
    assert "asyncapi.json" not in complaint
    assert (tmp_path / "job.schema.json").read_text() == "{}\n"
