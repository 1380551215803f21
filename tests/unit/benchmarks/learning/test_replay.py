"""Kept vectors are those of the code that is there."""

import ast
from pathlib import Path

from benchmarks.learning.generator import made_up
from benchmarks.learning.replay import MAKERS, fingerprint
from benchmarks.machine import ROOT

NO_NUMBERS = {"adapters.learned.logged", "adapters.learned.rows", "ports.models"}
"""What makers import that changes no vector of the same jobs."""


def test_other_code_has_another_name(tmp_path: Path) -> None:
    jobs = made_up(50, 1.0, seed=1)
    copies = [tmp_path / f"{number}.py" for number in range(len(MAKERS))]
    for copy, maker in zip(copies, MAKERS, strict=True):
        copy.write_bytes(maker.read_bytes())
    before = fingerprint(jobs, copies)

    assert before == fingerprint(jobs, MAKERS)
    for copy in copies:
        kept = copy.read_bytes()
        copy.write_bytes(kept + b"\n")
        assert fingerprint(jobs, copies) != before
        copy.write_bytes(kept)


def test_other_jobs_have_another_name() -> None:
    one, other = (made_up(50, 1.0, seed=seed) for seed in (1, 2))
    assert fingerprint(one, MAKERS) != fingerprint(other, MAKERS)


def test_all_that_the_replay_is_made_of_is_named() -> None:
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MAKERS}
    used = {module for path in MAKERS for module in _imports(path)}
    # The columns themselves are part of the name.
    recordings = {module for module in used if module.startswith("adapters.recordings")}
    assert used - recordings - NO_NUMBERS <= named


def _imports(path: Path) -> set[str]:
    found = {
        node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
    }
    ours = ("core.", "adapters.", "ports.")
    return {module for module in found if module is not None and module.startswith(ours)}
