"""What documents name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changelog.d").glob("*.md")],
)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
_OURS = r"(?:core|schemas|ports|adapters|services|penstock|tests|infra|docs|requirements)"
_PATH = re.compile(rf"`({_OURS}/[a-z0-9_./-]*)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_a_document_links_to_exists(document: Path) -> None:
    missing = [link for link in _LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_a_document_names_exists(document: Path) -> None:
    missing = [path for path in _PATH.findall(document.read_text()) if not (ROOT / path).exists()]
    assert not missing


def test_every_decision_has_all_its_parts_and_stands_in_the_index() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    records = sorted((ROOT / "docs" / "adr").glob("0*.md"))
    # Numbers may be reserved for decisions under way, and are never given twice.
    assert len({path.name[:4] for path in records}) == len(records)
    for path in records:
        text = path.read_text()
        assert path.name in index
        for part in (
            "**Status**",
            "## Context",
            "## Decision",
            "## Consequences",
            "## Rejected alternatives",
        ):
            assert part in text, (path.name, part)
