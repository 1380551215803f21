"""Views that are more than columns of a table."""

from collections.abc import Mapping
from typing import NamedTuple


class QueryView(NamedTuple):
    """A view that shows what a query gives."""

    name: str
    query: str
    columns: Mapping[str, str]
    """Comments by column, in the query's order."""
    comment: str


def query_statements(view: QueryView) -> list[str]:
    """Give the statements that create or extend a view, idempotently, with a comment on every column."""
    comments = [
        f'COMMENT ON COLUMN {view.name}."{name}" IS {quoted(comment)}'
        for name, comment in view.columns.items()
    ]
    create = f"CREATE OR REPLACE VIEW {view.name} AS {view.query}"
    return [create, f"COMMENT ON VIEW {view.name} IS {quoted(view.comment)}", *comments]


def quoted(text: str | None) -> str:
    """Write a text as an SQL literal."""
    assert text is not None
    return "'" + text.replace("'", "''") + "'"
