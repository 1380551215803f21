"""The AsyncAPI 3.0 document of the public topics, made from the types that are really used."""

from typing import Any, get_args

import msgspec

from core.ledger.notes import Note
from core.ledger.verdicts import Verdict
from schemas.accepted_job import DeadJob
from schemas.job import SubmittedJob
from schemas.rejected import RejectedRecord
from schemas.topics import RouteMap

Document = dict[str, Any]

_REF = "#/components/schemas/{name}"
_EVENTS = (*get_args(Verdict), *get_args(Note))


def job_schema() -> Document:
    """Give the JSON Schema (draft 2020-12) of a submitted job.

    It cannot say everything: duplicate keys, contradictions between fields, NUL characters, sizes,
    and which pools exist are checked by ingest alone.
    """
    schema = SubmittedJob.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def asyncapi_document() -> Document:
    """Describe what a producer may send and what a consumer may read."""
    routes = RouteMap()
    channels = {
        "jobs": (routes.jobs, "Jobs to run, from any Kafka client.", ["SubmittedJob"]),
        "rejected": (
            routes.rejected,
            "Records that are no valid job, with reason and remedy.",
            ["RejectedRecord"],
        ),
        "events": (routes.ledger, _EVENTS_SAY, sorted(event.__name__ for event in _EVENTS)),
        "dead": (routes.dead, "Jobs that will not be tried again.", ["DeadJob"]),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Penstock",
            "version": "1",
            "description": "A job pipeline on Kafka. Values are UTF-8 JSON. Topic names may carry a prefix.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            name: _channel(address, description, messages)
            for name, (address, description, messages) in channels.items()
        },
        "operations": {name: _operation("receive" if name == "jobs" else "send", name) for name in channels},
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


_EVENTS_SAY = (
    "The ledger: verdicts and notes about every job, told apart by `kind` (also a header). Which verdicts "
    "hold is said by folding a partition from its beginning; read the table `jobs` unless you do that."
)


def _channel(address: str, description: str, messages: list[str]) -> Document:
    return {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _operation(action: str, channel: str) -> Document:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _messages() -> Document:
    names = ["SubmittedJob", "RejectedRecord", "DeadJob", *(event.__name__ for event in _EVENTS)]
    return {
        name: {
            "name": name,
            "contentType": "application/json",
            "payload": {"$ref": _REF.format(name=name)},
        }
        for name in sorted(names)
    }


def _schemas() -> Document:
    _, components = msgspec.json.schema_components(
        [RejectedRecord, DeadJob, *map(_without_raw_defaults, _EVENTS)], ref_template=_REF
    )
    job = SubmittedJob.model_json_schema(ref_template="#/components/schemas/{model}")
    components.update(job.pop("$defs", {}))
    # An embedded schema with an id of its own would change the base of references around it.
    job.pop("$id", None)
    return dict(sorted({**components, "SubmittedJob": job}.items()))


def _without_raw_defaults(event: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Copy a type so that defaults of raw JSON are plain values: msgspec 0.22 cannot document them."""
    if not any(isinstance(field.default, msgspec.Raw) for field in msgspec.structs.fields(event)):
        return event
    config = event.__struct_config__
    return msgspec.defstruct(
        event.__name__,
        [_plain_field(field) for field in msgspec.structs.fields(event)],
        tag=config.tag,
        tag_field=config.tag_field,
        namespace={"__doc__": event.__doc__},
    )


def _plain_field(field: msgspec.structs.FieldInfo) -> tuple[str, type] | tuple[str, type, Any]:
    if isinstance(field.default, msgspec.Raw):
        return field.name, field.type, msgspec.json.decode(field.default)
    if field.required:
        return field.name, field.type
    return field.name, field.type, _default(field)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return msgspec.field(default_factory=field.default_factory)
