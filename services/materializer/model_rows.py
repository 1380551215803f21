"""From records of ``models`` to what the tables of models are to show. Pure."""

from collections.abc import Iterable

from core.log import Record
from ports.model_table import ActRow, ModelRow, ModelRows
from schemas.codec import encode
from schemas.models import ModelManifest, Purpose, Standing, purpose_of, read_model_record


def model_rows(records: Iterable[Record]) -> ModelRows:
    """Give a row a model and a row an act, of every purpose; what is removed from the topic stays."""
    models: dict[tuple[str, Purpose], ModelRow] = {}
    acts: list[ActRow] = []
    for record in records:
        purpose = purpose_of(record)
        match read_model_record(record, purpose):
            case ModelManifest() as manifest:
                models[manifest.id, purpose] = _model(manifest)
            case Standing() as standing:
                acts.append(
                    ActRow(
                        record.offset,
                        record.timestamp_ms,
                        standing.champion,
                        standing.previous,
                        standing.shadow,
                        standing.enabled,
                        standing.by,
                        standing.reason or None,
                        purpose.value,
                    )
                )
            case _:
                pass
    return ModelRows(list(models.values()), acts)


def _model(manifest: ModelManifest) -> ModelRow:
    return ModelRow(
        id=manifest.id,
        kind=manifest.kind,
        created_ms=manifest.created_ms,
        created_by=manifest.by,
        code_version=manifest.code_version,
        begin_ms=manifest.begin_ms,
        cut_ms=manifest.cut_ms,
        rows=manifest.rows,
        features=_json(manifest.features),
        metrics=_json(manifest.metrics),
        beside=_json(manifest.beside),
        judged=manifest.judged or None,
        parent=manifest.parent or None,
        sha256=manifest.sha256,
        size_bytes=manifest.size_bytes,
        signed=bool(manifest.signature),
        purpose=manifest.purpose,
    )


def _json(value: object) -> str:
    return encode(value).decode()
