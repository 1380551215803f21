"""Holds files and functions to their sizes: ``python -m tests.support.sizes``.

Complexity is ruff's to check (C901); this adds what ruff does not count.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOTS = ("core", "schemas", "ports", "adapters", "services", "penstock", "tests", "benchmarks")
FILE_MAX_LINES = 400
FUNCTION_MAX_LINES = 60
"""Including the docstring, without decorators."""

EXCEPTIONS: dict[str, str] = {}
"""``FILE`` or ``FILE:FUNCTION`` and why it may be larger; one that is no longer needed is an error."""


def oversized(path: Path, name: str) -> Iterator[tuple[str, int, int]]:
    """Yield what is too large in a file: its name, its lines, the lines allowed."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > FILE_MAX_LINES:
        yield name, lines, FILE_MAX_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_MAX_LINES:
                yield f"{name}:{node.name}", length, FUNCTION_MAX_LINES


def problems(root: Path, exceptions: dict[str, str]) -> list[str]:
    """List what is too large and not excepted, and exceptions without need."""
    found = {}
    for top in ROOTS:
        for path in sorted((root / top).rglob("*.py")):
            for name, size, allowed in oversized(path, str(path.relative_to(root))):
                found[name] = f"{name}: {size} lines, allowed are {allowed}"
    too_large = [text for name, text in found.items() if name not in exceptions]
    needless = [f"{name}: excepted without need" for name in exceptions if name not in found]
    return too_large + needless


def main() -> int:
    """Print the problems of this tree; exit code 1 when there are any."""
    lines = problems(Path.cwd(), EXCEPTIONS)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
