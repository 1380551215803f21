"""From what was learned of failures to what their table is to show. Pure."""

from core.signatures.book import SignatureBook
from ports.signature_table import SignatureRow


def signature_rows(book: SignatureBook, since: int) -> list[SignatureRow]:
    """Give the rows that records from offset ``since`` on began or changed."""
    return [
        SignatureRow(
            signature=kind.id,
            error_class=kind.group.error_class,
            error_type=kind.group.error_type,
            template=kind.template,
            location=kind.group.location,
            task_type=kind.task_type,
            first_ms=kind.first_ms,
            log_offset=kind.begun,
            learned_offset=kind.changed,
        )
        for kind in book.changed_since(since)
    ]
