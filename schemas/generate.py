"""Writes the public contract as files: ``python -m schemas.generate [--check]``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas.asyncapi import Document, asyncapi_document, job_schema

DIRECTORY = Path(__file__).parent / "generated"


def documents() -> dict[str, str]:
    """Give the text of every generated file by its name."""
    return {
        "job.schema.json": _text(job_schema()),
        "asyncapi.json": _text(asyncapi_document()),
    }


def write(directory: Path) -> list[str]:
    """Write the files that differ and give their names; existing equal files are not touched."""
    changed = stale(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for name in changed:
        (directory / name).write_text(documents()[name], encoding="utf-8")
    return changed


def stale(directory: Path) -> list[str]:
    """Name the files that are missing or differ from what the types say."""
    return [name for name, text in documents().items() if _read(directory / name) != text]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _text(document: Document) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None, directory: Path = DIRECTORY) -> int:
    """Write the files, or with ``--check`` only compare them; 1 when a file is stale."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    if not parser.parse_args(arguments).check:
        for name in write(directory):
            sys.stdout.write(f"wrote {directory / name}\n")
        return 0
    old = stale(directory)
    for name in old:
        sys.stderr.write(f"{directory / name} is not what the types say; run `make generate`\n")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
