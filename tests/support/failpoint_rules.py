"""Rules about failpoints that are read off the sources: an effect has one before it and one after it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.services import SERVICES

ROOT = Path(__file__).parents[2]
SHARED = (
    "adapters/kafka/appender.py",
    "adapters/postgres/desk_sink.py",
    "adapters/postgres/model_sink.py",
    "adapters/postgres/schedule_sink.py",
    "adapters/postgres/signature_sink.py",
    "adapters/postgres/sink.py",
    "adapters/runtime/presence.py",
    "adapters/runtime/service.py",
    "adapters/streams/faust_fold.py",
    "ports",
)
"""What services run besides their own directories. How a library sends one request is its own affair, so
the appender is looked through for points only."""
_EFFECT = re.compile(
    r"(appender\.append|member\.commit|workers\.(submit|cancel|kill_all|stop)"
    r"|self\._renew|self\._move|self\._merge)$"
)
"""Calls that leave the process: the log, a commit, a worker, a statement that writes."""
_TRANSACTION = re.compile(r"\.transaction\(\)$")
_POINT = re.compile(r"^Failpoint\.([A-Z_]+)$")


class Step(NamedTuple):
    """Something in a function, in source order: a failpoint, or an effect."""

    line: int
    column: int
    point: str | None
    """Name of the failpoint; None for an effect."""
    text: str


Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(root: Path = ROOT) -> list[Path]:
    """Give every file that services run their effects from."""
    files = [path for name in ("services", *SHARED) for path in _python_files(root / name)]
    return [path for path in files if path.name != "failpoints.py"]


def _python_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def steps_of(function: Function) -> list[Step]:
    """Give effects and failpoints of one function in source order, without those of functions inside it.

    The commit of a database transaction is where its block ends.
    """
    found: list[Step] = []
    for node in _own_nodes(function):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name == "reached" and (match := _POINT.match(ast.unparse(node.args[0]))):
                found.append(Step(node.lineno, node.col_offset, match[1], ast.unparse(node)))
            elif _EFFECT.search(name):
                found.append(Step(node.lineno, node.col_offset, None, f"{name}(...)"))
        elif isinstance(node, ast.AsyncWith) and any(
            _TRANSACTION.search(ast.unparse(item.context_expr)) for item in node.items
        ):
            end = node.body[-1]
            found.append(Step(end.end_lineno or 0, end.end_col_offset or 0, None, "end of the transaction"))
    return sorted(found)


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def functions_of(text: str) -> list[Function]:
    """Give every function of a file."""
    return [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def effects_of(text: str) -> list[Step]:
    """Give every effect in a file."""
    return [step for function in functions_of(text) for step in steps_of(function) if step.point is None]


def unguarded(text: str, name: str) -> list[str]:
    """Name the effects of a file without a failpoint right before or right after them."""
    problems: list[str] = []
    for function in functions_of(text):
        steps = steps_of(function)
        for index, step in enumerate(steps):
            if step.point is not None:
                continue
            before = index > 0 and steps[index - 1].point is not None
            after = index + 1 < len(steps) and steps[index + 1].point is not None
            side = " and ".join(s for s, there in (("before", before), ("after", after)) if not there)
            if side:
                problems.append(f"{name}:{step.line} {step.text}: no failpoint {side} it")
    return problems


def points_in_code(root: Path = ROOT) -> dict[str, set[str]]:
    """Give the failpoints by the service whose own directory they stand in; shared code under ``""``."""
    found: dict[str, set[str]] = {owner: set() for owner in ("", *(service.name for service in SERVICES))}
    for path in sources(root):
        parts = path.relative_to(root).parts
        owner = parts[1] if parts[0] == "services" and len(parts) > 2 else ""
        for function in functions_of(path.read_text()):
            found[owner] |= {step.point for step in steps_of(function) if step.point is not None}
    return found
