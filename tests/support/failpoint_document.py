"""Writes the table of ``docs/failpoints.md``: ``python -m tests.support.failpoint_document``."""

import sys
from pathlib import Path

from core.services import SERVICES
from ports.failpoint_list import PLACES

DOCUMENT = Path(__file__).parents[2] / "docs" / "failpoints.md"
HEADING = "## The failpoints\n"


def renewed(text: str) -> str:
    """Give the document with its tables as the list has them; they are its last section."""
    head, found, _ = text.partition(HEADING)
    assert found, f"no heading {HEADING!r}"
    return head + HEADING + "".join(_section(service.name) for service in SERVICES)


def _section(service: str) -> str:
    rows = "".join(f"| `{place.name}` | {place.between} |\n" for place in PLACES if place.service == service)
    return f"\n### {service}\n\n| Failpoint | There |\n|---|---|\n{rows}"


def main() -> int:
    """Write the document anew."""
    DOCUMENT.write_text(renewed(DOCUMENT.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
