"""The check of sizes."""

from pathlib import Path

from tests.support.sizes import FILE_MAX_LINES, FUNCTION_MAX_LINES, problems


def put(root: Path, text: str) -> None:
    (root / "core").mkdir()
    (root / "core" / "a.py").write_text(text)


def function(lines: int) -> str:
    return "def f():\n" + "    pass\n" * (lines - 1)


def test_what_is_just_small_enough_passes(tmp_path: Path) -> None:
    put(tmp_path, function(FUNCTION_MAX_LINES) + "\n" * (FILE_MAX_LINES - FUNCTION_MAX_LINES))
    assert problems(tmp_path, {}) == []


def test_a_line_too_many_is_named(tmp_path: Path) -> None:
    put(tmp_path, function(FUNCTION_MAX_LINES + 1) + "\n" * FILE_MAX_LINES)
    assert [line.split(": ")[0] for line in problems(tmp_path, {})] == ["core/a.py", "core/a.py:f"]


def test_an_exception_holds_only_while_it_is_needed(tmp_path: Path) -> None:
    put(tmp_path, function(FUNCTION_MAX_LINES + 1))
    assert problems(tmp_path, {"core/a.py:f": "a table"}) == []
    assert problems(tmp_path, {"core/a.py:f": "a table", "core/a.py": "was long"}) == [
        "core/a.py: excepted without need"
    ]
